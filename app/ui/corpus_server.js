// The corpus page: talking with the server. nodes.js stands before this file. Names of files,
// titles and passages are untrusted text, so nodes are built, never HTML strings.
const find = (selector) => element.querySelector(selector);
const UNREACHABLE = "Retroscope does not answer. Is it still running?";

// What a function of the server answers; {problem} where it could not be reached.
const ask = async (name, value = null) => {
  try {
    return await server[name](value);
  } catch {
    return { problem: UNREACHABLE };
  }
};

// Says something to a screen reader that shows elsewhere on the page.
const announce = (text) => {
  find(".corpus > .said").textContent = text;
};

const complain = (section, answer) => {
  find(`${section} .problem`).textContent = answer.problem ?? "";
  return Boolean(answer.problem);
};

const address = () => new URL(window.location.href).searchParams;
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
