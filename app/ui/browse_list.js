// The list of cases: filtered, sorted and paged by the server. One row is current and has the
// focus when the list has it; any may be selected.
const rows = () => state.shown?.rows ?? [];
const rowAt = (index) => find(`.browse tbody tr:nth-child(${index + 1})`);
const chosen = () => {
  if (state.selected.size) return [...state.selected];
  const row = rows()[state.current];
  return row ? [row.id] : [];
};

const badge = (text, kind) => make("span", { className: `badge ${kind}`, textContent: text });
const statusOf = (row) => badge(row.status, row.status);
const levelOf = (row) => badge(row.level, `level-${row.severity}`);
const rowOf = (row, index) => {
  const box = make("input", { type: "checkbox", tabIndex: -1, aria: { label: `Select ${row.title}: ${row.quote || "no words"}` } });
  box.addEventListener("click", (event) => {
    event.stopPropagation();
    if (event.shiftKey) selectTo(index, box.checked);
    else select(index, box.checked);
  });
  const made = make("tr", { tabIndex: -1, data: { id: row.id }, aria: { selected: "false" } },
    make("td", { className: "box" }, box),
    make("th", { scope: "row", className: "kind", textContent: row.title, title: row.kind }),
    make("td", {}, levelOf(row)),
    make("td", {}, statusOf(row)),
    make("td", { className: "words" }, make("q", { textContent: row.quote || "no words" }), make("span", { className: "message", textContent: row.message })),
    make("td", { className: "by", textContent: row.annotator || "detector" }),
    make("td", { className: "spare", textContent: row.model }),
    make("td", { className: "date", textContent: row.written }));
  made.addEventListener("click", (event) => {
    if (event.shiftKey) return selectTo(index, true);
    setCurrent(index);
    state.anchor = index;
    show({ case: row.id });
  });
  return made;
};

const drawSelection = () => {
  const all = rows();
  all.forEach(({ id }, index) => {
    const row = rowAt(index);
    row.setAttribute("aria-selected", String(state.selected.has(id)));
    row.querySelector("input").checked = state.selected.has(id);
    row.tabIndex = index === state.current ? 0 : -1;
    row.classList.toggle("current", index === state.current);
    row.classList.toggle("opened", id === state.asked.case);
  });
  const count = state.selected.size;
  find(".bar .count").textContent = count ? `${counted(count, "case")} selected` : "";
  const box = find(".bar .every input");
  box.checked = count > 0 && count === all.length;
  box.indeterminate = count > 0 && count < all.length;
  for (const one of [".accept", ".reject", ".relabel"]) find(`.bar ${one}`).disabled = !all.length;
};

const setCurrent = (index, focus = false) => {
  if (!rows().length) return;
  state.current = Math.min(Math.max(index, 0), rows().length - 1);
  drawSelection();
  const row = rowAt(state.current);
  if (focus) row.focus({ preventScroll: true });
  if (focus) row.scrollIntoView({ block: "nearest" });
};
const select = (index, on) => {
  const row = rows()[index];
  if (!row) return;
  if (on) state.selected.add(row.id);
  else state.selected.delete(row.id);
  state.anchor = index;
  setCurrent(index);
};
const selectTo = (index, on) => {
  const [from, to] = [Math.min(state.anchor, index), Math.max(state.anchor, index)];
  for (const { id } of rows().slice(from, to + 1)) {
    if (on) state.selected.add(id);
    else state.selected.delete(id);
  }
  setCurrent(index);
};
const toggle = () => select(state.current, !state.selected.has(rows()[state.current]?.id));

const empty = (all) => all
  ? "No case fits these filters. Take one of them away to see more."
  : "There is no case yet. Detectors look at every reply as soon as it is written; in the queue you mark what they missed. Both appear here.";

const drawList = () => {
  const { shown } = state;
  const held = find(".browse tbody").contains(document.activeElement);
  find(".browse tbody").replaceChildren(...shown.rows.map(rowOf));
  find(".browse table").hidden = !shown.rows.length;
  find(".browse .empty").hidden = Boolean(shown.rows.length);
  find(".browse .empty").textContent = shown.rows.length ? "" : empty(shown.all);
  const part = shown.total < shown.all ? ` — of ${shown.all.toLocaleString("en")} in the log` : "";
  find(".browse .summary").textContent = `${shown.summary}${part}`;
  drawSorting(state.asked);
  drawPager(shown, shown.total);
  const there = new Set(shown.rows.map(({ id }) => id));
  for (const id of [...state.selected]) if (!there.has(id)) state.selected.delete(id);
  setCurrent(state.current, held);
  drawSelection();
};

// Asks for the list again, also where the address asks for what is shown: cases may have changed.
const loadList = async () => {
  const request = (state.request += 1);
  const { filter, sort, descending, page } = state.asked;
  const answer = await ask("cases", { filter, sort, descending, page });
  if (request !== state.request) return;
  find(".browse .columns").classList.toggle("failed", complain(answer));
  if (answer.problem) return;
  state.shown = answer;
  drawList();
};

const turnTo = (page) => {
  state.current = 0;
  show({ page });
};
const watchList = () => {
  watchSorting((sort) => {
    const again = sort === state.asked.sort;
    show({ sort, descending: again ? !state.asked.descending : ["written", "severity"].includes(sort), page: 0 });
  });
  find(".bar .every input").addEventListener("change", ({ target }) => {
    state.selected = new Set(target.checked ? rows().map(({ id }) => id) : []);
    drawSelection();
  });
  watchPager(() => state.shown, turnTo);
};
