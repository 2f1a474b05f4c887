// The queue view: its keys. They act while the view is shown, no dialog is open and nothing is typed.
const typedIn = (node) =>
  Boolean(node?.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable='true']"));

const showKeys = () => find("dialog.keys").showModal();

const toggleGuidelines = () => {
  const panel = find(".guidelines");
  panel.hidden = !panel.hidden;
  find(".guide").setAttribute("aria-expanded", String(!panel.hidden));
  if (!panel.hidden) find(".guidelines h2").focus();
  else (rowOf(state.current) ?? find(".guide")).focus({ preventScroll: true });
};

const escape = () => {
  if (!find(".guidelines").hidden && find(".guidelines").contains(document.activeElement)) toggleGuidelines();
  else if (state.chosen) letGo();
  else if (!find(".guidelines").hidden) toggleGuidelines();
};

const ALWAYS = { g: toggleGuidelines, "?": showKeys, Escape: escape };
const ON_A_REPLY = {
  a: () => rule("accepted"),
  x: () => rule("rejected"),
  u: undo,
  s: () => skip(),
  n: () => act(() => writeNote()),
  l: () => openFinder(),
  1: () => setSeverity(1),
  2: () => setSeverity(2),
  3: () => setSeverity(3),
  "[": () => stepChunk(-1),
  "]": () => stepChunk(1),
  Backspace: () => withdraw(),
  Delete: () => withdraw(),
};
const REPEATED = { j: () => move(1), k: () => move(-1) };

const actionFor = ({ key, repeat }) => {
  const ready = state.reply && !state.loading;
  if (REPEATED[key]) return ready && REPEATED[key];
  if (repeat) return null; // a key held down is one press
  if (ALWAYS[key]) return ALWAYS[key];
  if (!ready) return null;
  const label = labelKeys().find((label) => label.key === key);
  return ON_A_REPLY[key] ?? (label && (() => mark(label.code)));
};

const watchKeys = () => {
  document.addEventListener("keydown", (event) => {
    if (!element.isConnected || !isShown() || event.defaultPrevented || event.isComposing) return;
    if (event.altKey || event.metaKey || typedIn(event.target) || document.querySelector("dialog[open]")) return;
    if (event.ctrlKey) {
      if (event.key !== "Enter" || event.repeat || !state.reply) return;
      event.preventDefault();
      finish();
      return;
    }
    const action = actionFor(event);
    if (!action) return;
    event.preventDefault();
    action();
  });
  find(".undo").addEventListener("click", () => undo());
  find(".skip").addEventListener("click", () => skip());
  find(".finish").addEventListener("click", () => finish());
  find(".help").addEventListener("click", showKeys);
  find(".guide").addEventListener("click", toggleGuidelines);
  find(".guidelines .close").addEventListener("click", toggleGuidelines);
};
