// One case with the reply it is in, what was measured, the passages that the model was shown, and
// what people say; below it, similar cases.
const WAITING = 900; // milliseconds between two looks at a case whose key is being made
const PATIENCE = 40; // looks
const opened = { id: "", request: 0 };

const part = (title, ...children) => make("section", {}, make("h3", { textContent: title }), ...children);
const line = (text, className = "") => make("p", { className, textContent: text });

const markedReply = ({ text, start, end }) => {
  const [from, to] = [units(text, start), units(text, end)];
  const mark = to > from ? make("mark", { textContent: text.slice(from, to) }) : make("mark", { className: "point", textContent: "▏", title: "No words: this place" });
  return make("p", { className: "reply" }, text.slice(0, from), mark, text.slice(to));
};

const people = (shown) => {
  const said = shown.rulings.map(({ annotator, ruling }) => `${annotator} ${ruling} it`);
  return said.length ? `${said.join(", ")}.` : "Nobody has ruled on it.";
};
const evidenceOf = (shown) => {
  const facts = [...shown.evidence];
  if (shown.finding) {
    const { score, threshold, quality } = shown.finding;
    facts.unshift({ name: "score", value: `${score}, threshold ${threshold}` });
    if (quality) facts.push({ name: "such findings", value: quality });
  }
  if (!facts.length) return null;
  return part("What was measured", make("dl", {}, ...facts.map(({ name, value }) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value })))));
};
const passageOf = ({ title, source, text, continuation, distance }) => make("li", {},
  make("p", { className: "title" }, make("strong", { textContent: title || "Untitled" }), ` ${source}`,
    distance === null ? "" : `, distance ${distance}`),
  make("blockquote", {}, text, make("span", { className: "continuation", textContent: continuation })));
const passagesOf = ({ passages }) => {
  const lists = passages.flatMap(({ chunk, passages: shown }) => [
    line(shown.length ? `Shown to the model while it wrote chunk ${chunk}:` : `No passage was shown for chunk ${chunk}.`, "hint"),
    ...(shown.length ? [make("ul", { className: "passages" }, ...shown.map(passageOf))] : [])]);
  return lists.length ? part("Passages shown to the model", ...lists) : null;
};
const otherOf = (row) => {
  const item = make("li", {}, button("", () => show({ case: row.id }), { className: "other" }));
  item.firstChild.append(make("strong", { textContent: row.title }), ` ${row.level}, ${row.status}, ${row.annotator ? `by ${row.annotator}` : "by a detector"}: `,
    make("q", { textContent: row.quote || "no words" }));
  if (row.likeness !== undefined) item.firstChild.append(make("span", { className: "hint", textContent: ` likeness ${row.likeness.toFixed(2)}` }));
  if (row.note && row.annotator) item.append(line(row.note, "note"));
  return item;
};
const READ = { done: "read it to the end", open: "has begun to read it", skipped: "skipped it" };
const othersOf = ({ others, reviews }) => {
  const readers = reviews.map(({ annotator, state: how }) => `${annotator} ${READ[how]}`);
  return part("Also in this reply",
    others.length ? make("ul", {}, ...others.map(otherOf)) : line("No other case.", "hint"),
    readers.length ? line(`${readers.join(", ")}.`, "hint") : null);
};
const linksOf = ({ turn }) => make("p", { className: "links" },
  make("a", { href: new URL(`?turn=${encodeURIComponent(turn)}`, new URL(".", window.location.href)).href, textContent: "Open in the chat" }),
  button("Review in the queue", () => followLink("queue", { turn }), { className: "link" }));

const actionsFor = ({ id, source, mine }) => make("p", { className: "actions" },
  ...(source === "machine" ? [
    button("Accept", () => doTo([id], "accepted"), { aria: { pressed: String(mine === "accepted") } }),
    button("Reject", () => doTo([id], "rejected"), { aria: { pressed: String(mine === "rejected") } })] : []));

const drawCase = (shown) => {
  const box = find(".browse .detail");
  const by = shown.annotator ? `marked by ${shown.annotator}` : "found by a detector";
  box.replaceChildren(...[
    make("header", {},
      button("Close", () => close(), { className: "close" }),
      make("h2", { tabIndex: -1 }, shown.title, " ", levelOf(shown), " ", statusOf(shown)),
      line(`${shown.kind} · ${by} · ${shown.created} UTC`, "hint")),
    actionsFor(shown),
    shown.note ? line(shown.note, "note") : null,
    shown.finding ? line(people(shown), "hint") : null,
    part("The reply", line(shown.message, "asked"), markedReply(shown), line(`${shown.facts.join(" · ")} · ${shown.ending}`, "hint")),
    evidenceOf(shown),
    passagesOf(shown),
    othersOf(shown),
    linksOf(shown),
    make("section", { className: "similar" }, make("h3", { textContent: "Similar cases" }), make("p", { className: "hint", role: "status" }, "Looking …"), make("ul")),
  ].filter(Boolean));
};

const drawSimilar = (answer) => {
  const box = find(".detail .similar");
  if (!box) return;
  const words = answer.problem ?? answer.absent ?? (answer.waiting
    ? `This case is being encoded; ${answer.compared.toLocaleString("en")} of ${counted(answer.of, "case")} are ready to be compared.`
    : `Compared with ${answer.compared.toLocaleString("en")} of ${counted(answer.of, "case")}, by the sentences they lie in; nearest first, other replies only.`);
  box.querySelector(".hint").textContent = words;
  box.querySelector("ul").replaceChildren(...(answer.rows ?? []).map(otherOf));
};
const loadSimilar = async (request) => {
  for (let looks = 0; looks < PATIENCE; looks += 1) {
    const answer = await ask("similar", { id: opened.id });
    if (request !== opened.request || !isShown()) return;
    drawSimilar(answer);
    if (!answer.waiting) return;
    await new Promise((later) => setTimeout(later, WAITING));
  }
};

const closedWords = () => make("p", { className: "hint", textContent: "Open a case to see the reply it is in, what was measured, and similar cases." });
const drawClosed = () => {
  opened.id = "";
  opened.request += 1;
  find(".browse .detail").replaceChildren(closedWords());
};

// Shows the case that the address names. One that an action of ours made go is closed.
const loadCase = async (acted = false) => {
  const request = (opened.request += 1);
  opened.id = state.asked.case;
  const answer = await ask("case", { id: opened.id, annotator: kept(ANNOTATOR) });
  if (request !== opened.request) return;
  if (answer.problem && acted) return close(false);
  if (answer.problem) return find(".browse .detail").replaceChildren(button("Close", () => close(), { className: "close" }), line(answer.problem, "problem"));
  const held = find(".browse .detail").contains(document.activeElement);
  drawCase(answer);
  if (held) find(".browse .detail h2").focus({ preventScroll: true });
  loadSimilar(request);
};
const close = (focus = true) => {
  show({ case: "" });
  if (focus) setCurrent(state.current, true);
};
