// Talking with the server, for the scripts of a component that come after. Names, titles and texts
// are untrusted, so nodes are built, never HTML strings.
const UNREACHABLE = "Retroscope does not answer. Is it still running?";
const find = (selector) => element.querySelector(selector);
const address = () => new URL(window.location.href).searchParams;

// What a function of the server answers; {problem} where it could not be reached.
const ask = async (name, value = null) => {
  try {
    return await server[name](value);
  } catch {
    return { problem: UNREACHABLE };
  }
};
