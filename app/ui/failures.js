// Which of the views of the failures page is shown. The address has it, so a link leads to it.
const tabs = [...element.querySelectorAll("[role=tab]")];
const VIEWS = tabs.map((tab) => tab.dataset.view);

const viewOf = () => {
  const asked = new URL(window.location.href).searchParams.get("view");
  return VIEWS.includes(asked) ? asked : VIEWS[0];
};

const showView = () => {
  const view = viewOf();
  for (const tab of tabs) {
    const shown = tab.dataset.view === view;
    tab.setAttribute("aria-selected", String(shown));
    tab.tabIndex = shown ? 0 : -1;
  }
  document.body.dataset.view = view;
  window.dispatchEvent(new CustomEvent("failures-view", { detail: view }));
};

const go = (view, focus = false) => {
  const url = new URL(window.location.href);
  url.search = "";
  url.searchParams.set("view", view);
  window.history.pushState(window.history.state, "", url);
  showView();
  if (focus) tabs.find((tab) => tab.dataset.view === view).focus();
};

for (const tab of tabs) tab.addEventListener("click", () => go(tab.dataset.view));
element.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const at = VIEWS.indexOf(viewOf());
  go(VIEWS[(at + step + VIEWS.length) % VIEWS.length], true);
});
// A view leads to another by changing the address and saying so; see followLink in view.js.
window.addEventListener("popstate", showView);
window.addEventListener("failures-go", showView);
showView();
