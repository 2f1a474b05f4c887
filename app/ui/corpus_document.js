// One document with the bounds of its passages, and the question before one is removed.
const paper = find("dialog.document");
const sheet = paper.querySelector(".passages");
const view = { row: null, chosen: null, request: 0 };

const passageOf = ({ position, start, end, text }) => {
  const link = make("a", {
    className: "number", textContent: `${position + 1}`, href: `?document=${view.row.id}&passage=${position + 1}`,
    title: `Characters ${start} to ${end}`, aria: { label: `Passage ${position + 1}, characters ${start} to ${end}` },
  });
  const node = make("section", { data: { position }, aria: { label: `Passage ${position + 1}` } }, link, make("p", { textContent: text }));
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choosePassage(position);
  });
  return node;
};

const passageAt = (position) => sheet.querySelector(`section[data-position="${position}"]`);

const choosePassage = (position, scroll = false) => {
  passageAt(view.chosen)?.removeAttribute("aria-current");
  view.chosen = position;
  const node = passageAt(position);
  node?.setAttribute("aria-current", "true");
  if (scroll) node?.scrollIntoView({ block: "center" });
  setAddress({ document: view.row.id, passage: node ? position + 1 : null });
};

const readMore = async (button, first, earlier) => {
  button.disabled = true;
  const request = view.request;
  const answer = await ask("corpus_document", { id: view.row.id, first });
  if (request !== view.request) return;
  if (complain("dialog.document", answer)) {
    button.disabled = false;
    return;
  }
  const known = Number(sheet.querySelector("section").dataset.position);
  const nodes = answer.list.filter(({ position }) => !earlier || position < known).map(passageOf);
  const height = sheet.scrollHeight;
  button.replaceWith(...(earlier ? [moreBefore(first), ...nodes] : [...nodes, moreAfter(first + nodes.length)]).filter(Boolean));
  if (earlier) sheet.scrollTop += sheet.scrollHeight - height;
  else nodes[0]?.querySelector("a").focus({ preventScroll: true });
};

const AT_A_TIME = 60;
const moreBefore = (first) => {
  if (first <= 0) return null;
  const from = Math.max(0, first - AT_A_TIME);
  const made = button(`Passages ${from + 1} to ${first}`, () => readMore(made, from, true), { className: "more" });
  return made;
};
const moreAfter = (next) => {
  if (next >= view.row.passages) return null;
  const to = Math.min(view.row.passages, next + AT_A_TIME);
  const made = button(`Passages ${next + 1} to ${to}`, () => readMore(made, next, false), { className: "more" });
  return made;
};

const openDocument = async (id, position = null) => {
  const request = (view.request += 1);
  const answer = await ask("corpus_document", { id, passage: position ?? 0 });
  if (request !== view.request) return;
  if (answer.problem) {
    setAddress({ document: null, passage: null });
    complain(".documents", answer);
    if (paper.open) complain("dialog.document", answer);
    return;
  }
  Object.assign(view, { row: answer, chosen: null });
  complain("dialog.document", {});
  paper.querySelector("h2").textContent = titled(answer.title);
  paper.querySelector(".said").textContent = "";
  paper.querySelector(".facts").textContent = [
    answer.source, answer.topic, counted(answer.passages, "passage"), counted(answer.characters, "character"),
    `shown ${counted(answer.shown, "time")}`,
  ].filter(Boolean).join(" · ");
  const provenance = paper.querySelector(".provenance");
  provenance.hidden = !answer.uploaded;
  provenance.textContent = "Uploaded on this page. Nobody has checked what it says, and the model is shown it like any other text.";
  const first = answer.list[0]?.position ?? 0;
  sheet.replaceChildren(...[moreBefore(first), ...answer.list.map(passageOf), moreAfter(first + answer.list.length)].filter(Boolean));
  if (!paper.open) paper.showModal();
  sheet.scrollTop = 0;
  choosePassage(position, true);
  paper.querySelector("h2").focus();
};

const watchDocument = () => {
  paper.querySelector(".close").addEventListener("click", () => paper.close());
  paper.addEventListener("click", (event) => event.target === paper && paper.close()); // the backdrop
  paper.addEventListener("close", () => {
    view.request += 1;
    setAddress({ document: null, passage: null });
    // The browser gives the focus back to where it was, if that is still there.
    if (document.activeElement === document.body) find("#corpus-filter").focus();
  });
  paper.querySelector(".copy").addEventListener("click", async () => {
    const said = paper.querySelector(".said");
    try {
      await navigator.clipboard.writeText(window.location.href);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "The browser does not allow it; the link is this page’s address.";
    }
  });
  paper.querySelector(".remove").addEventListener("click", () => confirmRemoval(view.row));
};

// ----- removing

const question = find("dialog.confirm");
const asked = { row: null };

const confirmRemoval = (row) => {
  asked.row = row;
  complain("dialog.confirm", {});
  question.querySelector("h2").textContent = `Remove “${titled(row.title)}”?`;
  question.querySelector(".consequence").textContent =
    `Its ${counted(row.passages, "passage")} will not be shown to the model from the next reply on, and its text is deleted from the passages. ` +
    "Replies that are in the log keep the passages they were shown.";
  question.showModal();
  question.querySelector(".no").focus();
};

const removeDocument = async () => {
  const yes = question.querySelector(".yes");
  yes.disabled = true;
  yes.textContent = "Removing …";
  const answer = await ask("corpus_remove", { id: asked.row.id });
  yes.disabled = false;
  yes.textContent = "Remove";
  if (complain("dialog.confirm", answer)) return;
  question.close();
  if (paper.open) paper.close();
  announce(`“${titled(asked.row.title)}” was removed.`);
  await look();
  await listDocuments();
  forgetHits(asked.row.id);
  if (!element.contains(document.activeElement)) find("#corpus-filter").focus();
};

const watchQuestion = () => {
  question.querySelector(".yes").addEventListener("click", removeDocument);
  question.querySelector(".no").addEventListener("click", () => question.close());
  question.addEventListener("click", (event) => event.target === question && question.close());
};
