// The browse view begins: keys, and following the address.
const look = () => {
  const asked = fromAddress();
  const before = state.asked;
  state.asked = asked;
  drawFilters();
  const list = JSON.stringify({ ...asked, case: "" });
  if (list !== state.listed) {
    if (before && JSON.stringify(before.filter) !== JSON.stringify(asked.filter)) {
      state.selected.clear();
      state.current = 0;
    }
    state.listed = list;
    loadList();
  } else if (state.shown) drawSelection();
  find(".browse").classList.toggle("with-case", Boolean(asked.case));
  if (!asked.case) drawClosed();
  else if (asked.case !== opened.id) loadCase();
};

const typedIn = (node) =>
  Boolean(node?.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable='true']"));
const presses = (node) => Boolean(node?.closest?.("button, a, summary, input"));

const openCurrent = () => {
  const row = rows()[state.current];
  if (!row) return;
  show({ case: row.id });
  find(".browse .detail").focus({ preventScroll: true });
  find(".browse .detail").scrollIntoView({ block: "nearest" });
};
const escape = () => {
  if (find(".browse .detail").contains(document.activeElement) || state.asked.case) close();
  else setCurrent(state.current, true);
};
const page = (step) => {
  const { shown } = state;
  if (shown && shown.page + step >= 0 && shown.page + step < shown.pages) turnTo(shown.page + step);
};

const move = (step) => {
  setCurrent(state.current + step, true);
  state.anchor = state.current;
};
const stretch = (step) => {
  selectTo(Math.min(Math.max(state.current + step, 0), rows().length - 1), true);
  rowAt(state.current)?.focus();
};

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  a: () => doTo(chosen(), "accepted"),
  x: () => doTo(chosen(), "rejected"),
  r: () => find("#browse-label").focus(),
  u: undo,
  "[": () => page(-1),
  "]": () => page(1),
  "/": () => find("#browse-text").select(),
  Escape: escape,
};
const IN_THE_LIST = { ArrowDown: KEYS.j, ArrowUp: KEYS.k, Enter: openCurrent, " ": toggle };
const HELD = ["j", "k", "ArrowDown", "ArrowUp"];

const actionFor = ({ key, target, repeat, shiftKey }) => {
  if (repeat && !HELD.includes(key)) return null; // a key held down is one press
  if (typedIn(target)) {
    if (key === "Escape") return () => setCurrent(state.current, true);
    return key === "Enter" && target.id === "browse-label" ? relabel : null;
  }
  const inDetail = find(".browse .detail").contains(target);
  if (IN_THE_LIST[key] && !inDetail && !presses(target)) {
    if (shiftKey && key.startsWith("Arrow")) return () => stretch(key === "ArrowDown" ? 1 : -1);
    return IN_THE_LIST[key];
  }
  return KEYS[key];
};
const watchKeys = () => {
  document.addEventListener("keydown", (event) => {
    if (!element.isConnected || !isShown() || event.defaultPrevented || event.isComposing) return;
    if (event.altKey || event.metaKey || event.ctrlKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest?.("[role=tablist], .nav-holder")) return;
    const action = actionFor(event);
    if (!action) return;
    event.preventDefault();
    action();
  });
};

whenShown(() => {
  watchFilters();
  watchList();
  watchActions();
  watchKeys();
  loadChoices();
  look();
}, () => {
  if (!state.asked || JSON.stringify(fromAddress()) === JSON.stringify(state.asked)) state.listed = "";
  look();
});
