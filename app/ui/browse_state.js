// The browse view: what it shows, which the address has, and the filters. kept.js, places.js
// and table.js stand before this file; browse.js, the last one, begins.
const FIELDS = [
  "kind", "source", "status", "severity", "model", "preset", "annotator", "text", "since", "until", "drawn", "document",
];
const TYPING = 300; // milliseconds without a key before the list is asked for
const FORMATS = { jsonl: "JSONL", csv: "CSV", w3c: "W3C annotations", labelstudio: "Label Studio" };
const DRAWN = {
  sample: "replies without a finding, drawn at random and read to the end",
  flagged: "replies with a finding, drawn by the queue and read to the end",
  chosen: "replies that somebody chose and read to the end",
};

// `asked` is what the address asks for, `shown` the answer of the server to it.
const state = { asked: null, shown: null, listed: "", current: 0, anchor: 0, selected: new Set(), request: 0 };

const fromAddress = () => {
  const given = address();
  const filter = {};
  for (const name of FIELDS) if (given.get(name)) filter[name] = given.get(name);
  return {
    filter,
    sort: given.get("sort") ?? "written",
    descending: given.get("order") !== "up",
    page: Math.max(0, (Number.parseInt(given.get("page"), 10) || 1) - 1),
    case: given.get("case") ?? "",
  };
};
const toAddress = ({ filter, sort, descending, page, case: id }) => ({
  ...filter,
  sort: sort === "written" ? "" : sort,
  order: descending ? "" : "up",
  page: page ? page + 1 : "",
  case: id,
});
const show = (change) => followLink("browse", toAddress({ ...state.asked, ...change }));
const filterBy = (change) => {
  const filter = { ...state.asked.filter, ...change };
  for (const name of FIELDS) if (!filter[name]) delete filter[name];
  return { filter, page: 0 };
};

const complain = (answer) => {
  find(".browse > .problem").textContent = answer.problem ?? "";
  return Boolean(answer.problem);
};
const announce = (text) => {
  find(".browse .said").textContent = text;
};

// ----- filters

const option = (value, text, title = "") => make("option", { value, textContent: text, title });
const fill = (selector, none, options) => {
  const list = find(selector);
  const { value } = list;
  list.replaceChildren(option("", none), ...options);
  list.value = value;
};
const depthOf = (code) => code.split(".").length - (code.startsWith("W.") ? 2 : 1);
const kindOptions = (kinds) => {
  const own = kinds.filter(({ code }) => !code.startsWith("W."));
  const risks = kinds.filter(({ code }) => code.startsWith("W."));
  const line = ({ code, title, meaning }) => option(code, `${"\u2003".repeat(depthOf(code))}${title}`, meaning);
  return { own: own.map(line), risks: risks.map(line) };
};

const loadChoices = async () => {
  const choices = await ask("choices");
  if (complain(choices)) return;
  for (const [selector, none, whole] of [["#browse-kind", "any", true], ["#browse-label", "New label …", false]]) {
    const { own, risks } = kindOptions(choices.kinds);
    const area = make("optgroup", { label: "Risks (Weidinger et al. 2021)" }, whole ? option("W", "Any of the risks") : null, ...risks);
    fill(selector, none, [...own, area]);
  }
  const seen = {};
  for (const { name } of choices.models) seen[name] = (seen[name] ?? 0) + 1;
  const models = choices.models.flatMap(({ name, fingerprint }) =>
    seen[name] > 1 ? [option(fingerprint.slice(0, 12), `${name} (${fingerprint.slice(0, 8)})`)] : [option(name, name)]);
  fill("#browse-model", "any", models);
  fill("#browse-preset", "any", choices.ways.map(({ value, text }) => option(value, text)));
  fill("#browse-annotator", "anybody", choices.annotators.map((name) => option(name, name)));
  drawFilters();
};

// A filter of an address that no list offers is shown all the same.
const drawFilters = () => {
  if (!state.asked) return;
  for (const field of find(".filters").elements) {
    if (!field.name || (field.name === "text" && field === document.activeElement)) continue; // being typed
    const value = state.asked.filter[field.name] ?? "";
    const offered = field.tagName !== "SELECT" || [...field.options].some((one) => one.value === value);
    if (!offered) field.append(option(value, value));
    field.value = value;
    field.classList.toggle("set", Boolean(value));
  }
  const { drawn, document: title } = state.asked.filter;
  const also = find(".browse .also");
  also.hidden = !drawn && !title;
  also.replaceChildren(
    ...(drawn ? [`Only ${DRAWN[drawn] ?? drawn}. `, button("All replies", () => show(filterBy({ drawn: "" })))] : []),
    ...(title ? [`Only replies where “${title}” was shown behind a finding. `, button("Any document", () => show(filterBy({ document: "" })))] : []));
  find(".filters .clear").disabled = !Object.keys(state.asked.filter).length;
  find(".browse .export").replaceChildren(find(".browse .export > span"), ...Object.entries(FORMATS).map(([format, text]) => {
    const url = new URL("failures/export", new URL(".", window.location.href));
    for (const [name, value] of Object.entries({ format, ...state.asked.filter })) url.searchParams.set(name, value);
    return make("a", { href: url.href, textContent: text, download: "" });
  }));
};

const watchFilters = () => {
  const form = find(".filters");
  let typing = 0;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    clearTimeout(typing);
    if (target.name && (state.asked.filter[target.name] ?? "") !== target.value) show(filterBy({ [target.name]: target.value }));
  });
  find("#browse-text").addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      keepAddress(toAddress({ ...state.asked, ...filterBy({ text: target.value.trim() }) }));
      look();
    }, TYPING);
  });
  find(".filters .clear").addEventListener("click", () => show({ filter: {}, page: 0 }));
};
