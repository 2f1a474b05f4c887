// What the views of the failures page share: beginning when first shown, the address, and leading to
// one another. nodes.js and server.js stand before this file.
const VIEW = element.closest("[id^='view-']").id.replace("view-", "");

const linkTo = (view, fields = {}) => {
  const url = new URL(window.location.href);
  url.search = "";
  url.searchParams.set("view", view);
  for (const [name, value] of Object.entries(fields))
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  return url;
};

// Keeps what the view shows in the address without leaving it.
const keepAddress = (fields) => {
  const url = linkTo(VIEW, fields);
  if (url.href !== window.location.href) window.history.replaceState(window.history.state, "", url);
};

// Leads to another view, or to another part of this one, as a link would.
const followLink = (view, fields = {}) => {
  window.history.pushState(window.history.state, "", linkTo(view, fields));
  window.dispatchEvent(new CustomEvent("failures-go"));
};

// Runs `begin` when the view is shown for the first time, and `again` each time after that.
const whenShown = (begin, again = () => {}) => {
  let begun = false;
  const look = () => {
    if (document.body.dataset.view !== VIEW || !element.isConnected) return;
    if (begun) again();
    else begin();
    begun = true;
  };
  window.addEventListener("failures-view", look);
  look();
};
const isShown = () => document.body.dataset.view === VIEW;
