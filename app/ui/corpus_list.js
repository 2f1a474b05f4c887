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
  const { rows, found, total } = shelf;
  const focused = document.activeElement?.closest?.(".documents tr")?.dataset.id;
  find(".documents tbody").replaceChildren(...rows.map(rowOf));
  if (focused) find(`.documents tr[data-id="${focused}"] .open`)?.focus();
  drawSorting(listing);
  find(".documents table").hidden = !rows.length;
  const empty = find(".documents .empty");
  empty.hidden = Boolean(rows.length);
  empty.textContent = total
    ? "No document has these words in its title, source or topic."
    : "There is no document yet, so the model is shown no passages. Add text files to begin.";
  find(".documents .filter").hidden = !total;
  drawPager(shelf, found);
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
  watchSorting((sort) => {
    const again = listing.sort === sort;
    Object.assign(listing, { sort, descending: again ? !listing.descending : sort !== "title", page: 0 });
    listDocuments();
  });
  watchPager(() => ({ page: listing.page, pages: shelf.pages }), turnTo);
};
