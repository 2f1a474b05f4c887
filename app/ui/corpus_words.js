// The corpus page: what it says, its address, and the words for documents. nodes.js and server.js
// stand before this file.

// Says something to a screen reader that shows elsewhere on the page.
const announce = (text) => {
  find(".corpus > .said").textContent = text;
};

const complain = (section, answer) => {
  find(`${section} .problem`).textContent = answer.problem ?? "";
  return Boolean(answer.problem);
};

const setAddress = (fields) => {
  const url = new URL(window.location.href);
  for (const [name, value] of Object.entries(fields))
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  if (url.href !== window.location.href) window.history.replaceState(window.history.state, "", url);
};

const titled = (title) => title || "Untitled";
// The end of a path tells more than its beginning.
const shortened = (source) => {
  const parts = source.split("/");
  return parts.length > 3 ? `…/${parts.slice(-2).join("/")}` : source;
};
const origin = (row) => [row.uploaded ? "uploaded" : null, shortened(row.source), row.topic].filter(Boolean).join(" · ");
const whole = (value) => {
  const number = Number(value);
  return value !== null && value !== "" && Number.isSafeInteger(number) ? number : null;
};
