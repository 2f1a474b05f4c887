// What this browser remembers; where it refuses to, until the page is left.
const ANNOTATOR = "retroscope-annotator"; // under which it keeps who rules on findings and marks
const unkept = {};
const kept = (name) => {
  try {
    return localStorage.getItem(name) ?? "";
  } catch {
    return unkept[name] ?? "";
  }
};
const keep = (name, value) => {
  unkept[name] = value;
  try {
    if (value) localStorage.setItem(name, value);
    else localStorage.removeItem(name);
  } catch {
    // it will be asked for again
  }
};
