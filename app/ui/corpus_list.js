// The list of documents: filtered, sorted and paged by the server, since there may be many.
const listing = { filter: "", sort: "title", descending: false, page: 0 };
const shelf = { rows: [], found: 0, total: 0, pages: 1, first: 0, request: 0 };
const TYPING = 150; // milliseconds without a key before the list is asked for

const rowOf = (row) => {
  const open = button(titled(row.title), () => openDocument(row.id), { className: "open" });
  const remove = button("Remove", () => confirmRemoval(row), { className: "remove", aria: { label: `Remove ${titled(row.title)}` } });
  return make("tr", { data: { id: row.id } },
    make("th", { scope: "row" }, open, make("span", { className: "origin", textContent: origin(row), title: row.source })),
    make("td", { className: "number", textContent: row.passages.toLocaleString("en") }),
    make("td", { className: "number", textContent: row.shown.toLocaleString("en") }),
    make("td", { className: "end" }, remove));
};

const drawList = () => {
  const { rows, found, total, first, pages, page } = shelf;
  const focused = document.activeElement?.closest?.(".documents tr")?.dataset.id;
  find(".documents tbody").replaceChildren(...rows.map(rowOf));
  if (focused) find(`.documents tr[data-id="${focused}"] .open`)?.focus();
  for (const head of element.querySelectorAll(".documents th[data-sort]"))
    if (head.dataset.sort === listing.sort) head.setAttribute("aria-sort", listing.descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  find(".documents table").hidden = !rows.length;
  const empty = find(".documents .empty");
  empty.hidden = Boolean(rows.length);
  empty.textContent = total
    ? "No document has these words in its title, source or topic."
    : "There is no document yet, so the model is shown no passages. Add text files to begin.";
  find(".documents .filter").hidden = !total;
  find(".pager").hidden = pages < 2;
  find(".pager .place").textContent = `${(first + 1).toLocaleString("en")} to ${(first + rows.length).toLocaleString("en")} of ${found.toLocaleString("en")}`;
  for (const name of ["first", "previous"]) find(`.pager .${name}`).disabled = page === 0;
  for (const name of ["next", "last"]) find(`.pager .${name}`).disabled = page >= pages - 1;
  drawCount();
};

const drawCount = () => {
  const { documents = 0, passages = 0 } = state.corpus;
  const all = `${counted(documents, "document")}, ${counted(passages, "passage")}`;
  find(".documents .count").textContent = listing.filter ? `${shelf.found.toLocaleString("en")} of ${counted(documents, "document")}` : all;
};

const listDocuments = async () => {
  const request = (shelf.request += 1);
  const answer = await ask("corpus_documents", listing);
  if (request !== shelf.request) return; // asked for again meanwhile
  if (complain(".documents", answer)) return;
  Object.assign(shelf, answer);
  listing.page = answer.page;
  drawList();
};

const turnTo = async (page) => {
  listing.page = page;
  await listDocuments();
  find(".listing").scrollTop = 0;
};

const watchList = () => {
  let typing = 0;
  find("#corpus-filter").addEventListener("input", (event) => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      Object.assign(listing, { filter: event.target.value.trim(), page: 0 });
      listDocuments();
    }, TYPING);
  });
  for (const head of element.querySelectorAll(".documents th[data-sort]"))
    head.querySelector("button").addEventListener("click", () => {
      const { sort } = head.dataset;
      const again = listing.sort === sort;
      Object.assign(listing, { sort, descending: again ? !listing.descending : sort !== "title", page: 0 });
      listDocuments();
    });
  find(".pager .first").addEventListener("click", () => turnTo(0));
  find(".pager .previous").addEventListener("click", () => turnTo(listing.page - 1));
  find(".pager .next").addEventListener("click", () => turnTo(listing.page + 1));
  find(".pager .last").addEventListener("click", () => turnTo(shelf.pages - 1));
};
