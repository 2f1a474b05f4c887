// Presets: a list, and a form for the chosen one. What was typed and not saved is a draft, kept for
// each preset while the tab is open. nodes.js stands before.
// Names and templates are untrusted text, so nodes are built, never HTML strings.
const shelf = element.querySelector(".shelf");
const form = element.querySelector(".editor");
const inForm = (name) => form.querySelector(name);
const DRAFTS = "retroscope-preset-drafts";
const state = { answer: null, chosen: null, drafts: {}, inputs: {} };

try {
  state.drafts = JSON.parse(sessionStorage.getItem(DRAFTS)) ?? {};
} catch {
  state.drafts = {}; // unreadable, or storage is not allowed
}
const keepDrafts = () => {
  try {
    sessionStorage.setItem(DRAFTS, JSON.stringify(state.drafts));
  } catch {
    // they last until the page is left
  }
};

const presetOf = (name) => state.answer.presets.find((preset) => preset.name === name);
const isOwn = (name) => name === state.answer.own;
const savedName = (name) => (isOwn(name) ? "" : name);

// ----- the fields

const sameValue = (field, a, b) => {
  if (field.kind === "number" || field.kind === "whole")
    return String(a).trim() !== "" && Number(a) === Number(b);
  return a === b;
};
const differing = (a, b) => state.answer.fields.filter((field) => !sameValue(field, a[field.name], b[field.name]));

const fieldOf = (field) => {
  const id = `preset-${field.name}`;
  const label = make("label", { htmlFor: id, textContent: field.label });
  const describedBy = { describedby: `problem-${field.name} info-${field.name}` };
  let input;
  if (field.kind === "choice")
    input = make("select", {}, ...field.choices.map(([value, text]) => make("option", { value, textContent: text })));
  else if (field.kind === "switch") input = make("input", { type: "checkbox" });
  else input = make("input", { type: "number", min: field.least, max: field.most, step: field.step, inputMode: "decimal" });
  Object.assign(input, { id });
  input.setAttribute("aria-describedby", describedBy.describedby);
  state.inputs[field.name] = input;
  const info = make("p", { className: "info", id: `info-${field.name}`, textContent: field.info });
  const problem = make("p", { className: "problem", id: `problem-${field.name}` });
  return make("div", { className: `field ${field.kind}` }, label, input, info, problem);
};

const buildFields = () => {
  state.inputs.template = inForm("#preset-template");
  const fields = state.answer.fields.filter((field) => field.kind !== "template");
  inForm(".grid").replaceChildren(...fields.map(fieldOf));
};

const fill = ({ name, values }) => {
  inForm("#preset-name").value = name;
  for (const field of state.answer.fields) {
    const input = state.inputs[field.name];
    const value = values[field.name];
    if (field.kind === "switch") input.checked = value;
    else if (field.kind === "template") input.value = value || state.answer.template;
    else input.value = value;
  }
};

const readForm = () => {
  const values = {};
  for (const field of state.answer.fields) {
    const input = state.inputs[field.name];
    if (field.kind === "switch") values[field.name] = input.checked;
    else if (field.kind === "template") values[field.name] = input.value === state.answer.template ? "" : input.value;
    else values[field.name] = input.validity?.badInput ? "no number" : input.value;
  }
  return { name: inForm("#preset-name").value, values };
};

const isChanged = (name, draft) =>
  draft.name.trim() !== savedName(name) || differing(draft.values, presetOf(name).values).length > 0;

const showProblems = (problems) => {
  for (const place of form.querySelectorAll(".problem")) {
    const name = place.id.replace("problem-", "");
    const text = problems[name] ?? "";
    if (place.classList.contains("general")) {
      if (problems[""] !== undefined) place.textContent = problems[""];
      continue;
    }
    place.textContent = text;
    const input = inForm(`[aria-describedby~="${place.id}"]`);
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }
};
const nameProblem = () => inForm("#problem-name").textContent;
const say = (text) => (inForm(".saved").textContent = text);

// ----- the list

const drawList = () => {
  const { presets, preferred } = state.answer;
  shelf.querySelector(".hint").replaceChildren("New chat pages start with ", make("b", { textContent: preferred }), ".");
  const rows = presets.map(({ name }) => {
    const row = make("button", { type: "button", className: "preset" }, make("span", { className: "title", textContent: name }));
    if (name === preferred) row.append(make("span", { className: "badge", textContent: "default" }));
    if (state.drafts[name]) row.append(make("span", { className: "badge draft", textContent: "not saved" }));
    if (name === state.chosen) row.setAttribute("aria-current", "true");
    row.addEventListener("click", () => choose(name));
    return make("li", {}, row);
  });
  const focused = document.activeElement?.closest?.(".names li button .title, .names li button")?.querySelector(".title")?.textContent;
  shelf.querySelector(".names").replaceChildren(...rows);
  if (focused) rows.find((row) => row.querySelector(".title").textContent === focused)?.firstChild.focus();
};

// ----- the chosen one

const confirmDelete = (name, remove) => {
  const close = () => {
    question.remove();
    remove.hidden = false;
    remove.focus();
  };
  const keep = button("Keep", close);
  const question = make("div", { className: "confirm", aria: { role: "group", label: `Delete ${name}` } },
    make("span", { textContent: "Delete it for good?" }),
    button("Delete", () => send("preset_delete", { name }, "Deleted."), { className: "danger" }), keep);
  question.addEventListener("keydown", (event) => event.key === "Escape" && close());
  remove.hidden = true;
  remove.after(question);
  keep.focus();
};

const drawActions = () => {
  const name = state.chosen;
  const nodes = [];
  if (name === state.answer.preferred) nodes.push(make("span", { className: "badge", textContent: "default of new chat pages" }));
  else nodes.push(button("Make default", () => send("preset_prefer", { name }, "New chat pages start with it now.")));
  nodes.push(button("Duplicate", () => send("preset_copy", { name }, "Duplicated.")));
  if (!isOwn(name)) {
    const remove = button("Delete", () => confirmDelete(name, remove));
    nodes.push(remove);
  }
  inForm(".actions").replaceChildren(...nodes);
  inForm(".chosen").textContent = name;
  inForm("label").textContent = isOwn(name) ? "Name of the new preset" : "Name";
};

const saveChanges = () => save(state.chosen, "Saved.");
const saveNew = () => save(null, "Saved as a new preset.");
const undo = () => {
  delete state.drafts[state.chosen];
  keepDrafts();
  choose(state.chosen);
  say("Your changes are undone.");
};
const save = (replaces, words) => {
  const draft = readForm();
  const from = state.chosen;
  return send("preset_save", { ...draft, replaces }, words, () => delete state.drafts[from]);
};

const change = button("Save changes", saveChanges, { className: "primary" });
const saveAs = button("Save as a new preset", saveNew);
const back = button("Undo changes", undo);
inForm(".bar").prepend(change, saveAs, back);

const drawBar = () => {
  const draft = state.drafts[state.chosen];
  change.hidden = isOwn(state.chosen);
  change.disabled = back.disabled = !draft;
  saveAs.classList.toggle("primary", isOwn(state.chosen));
  inForm(".warning").hidden = readForm().values.template === "";
  inForm(".reset").disabled = readForm().values.template === "";
};

const choose = (name) => {
  state.chosen = name;
  fill(state.drafts[name] ?? { name: savedName(name), values: presetOf(name).values });
  showProblems({ "": "" });
  say("");
  drawList();
  drawActions();
  drawBar();
  drawComparison();
  askPreview();
};

const typed = () => {
  const draft = readForm();
  const had = Boolean(state.drafts[state.chosen]);
  if (isChanged(state.chosen, draft)) state.drafts[state.chosen] = draft;
  else delete state.drafts[state.chosen];
  keepDrafts();
  say("");
  if (had !== Boolean(state.drafts[state.chosen])) drawList();
  drawBar();
  drawComparison();
  askPreview();
};

// ----- what the application answers

// Asks for something to be done with the presets; `done` runs where it was.
const send = async (action, request, words, done = () => {}) => {
  let answer;
  try {
    answer = await server[action](request);
  } catch {
    answer = { problems: { "": "The application does not answer, so nothing was saved. Is it still running?" } };
  }
  if (answer.problems) {
    if (answer.presets) state.answer = answer;
    if (!presetOf(state.chosen)) return choose(state.answer.own);
    drawList();
    showProblems({ "": "", ...answer.problems });
    const first = Object.keys(answer.problems).find((name) => name);
    if (first) inForm(`[aria-describedby~="problem-${first}"]`)?.focus();
    return;
  }
  done();
  if (!answer.presets.some((preset) => preset.name === state.chosen)) delete state.drafts[state.chosen];
  keepDrafts();
  state.answer = answer;
  choose(answer.done);
  say(words);
  if (!form.contains(document.activeElement)) inForm("#preset-name").focus();
};

// ----- comparing

const shownValue = (field, value) => {
  if (field.kind === "switch") return value ? "on" : "off";
  if (field.kind === "choice") return Object.fromEntries(field.choices)[value] ?? value;
  if (field.kind === "template") return value || state.answer.template;
  return String(value);
};

const drawComparison = () => {
  const { presets, fields } = state.answer;
  const select = inForm("#compare-with");
  const others = presets.filter((preset) => preset.name !== state.chosen).map((preset) => preset.name);
  const before = others.includes(select.value) ? select.value : "";
  select.replaceChildren(make("option", { value: "", textContent: others.length ? "no other preset" : "there is no other preset yet" }),
    ...others.map((name) => make("option", { value: name, textContent: name })));
  select.value = before;
  const place = inForm(".comparison .scroll");
  place.hidden = !before;
  if (!before) return place.replaceChildren();
  const here = readForm().values;
  const there = presetOf(before).values;
  const unlike = new Set(differing(here, there).map((field) => field.name));
  const rows = fields.map((field) =>
    make("tr", { className: unlike.has(field.name) ? "differs" : "" },
      make("th", { scope: "row", textContent: field.label }),
      ...[here, there].map((values) => make("td", { className: field.kind === "template" ? "text" : "", textContent: shownValue(field, values[field.name]) })),
      make("td", { textContent: unlike.has(field.name) ? "differs" : "same" })));
  const mine = state.drafts[state.chosen] ? `${state.chosen}, with your changes` : state.chosen;
  const heads = ["Setting", mine, before, "Compared"].map((text) => make("th", { scope: "col", textContent: text }));
  const caption = `${unlike.size} of ${fields.length} settings differ`;
  place.replaceChildren(make("table", {}, make("caption", { textContent: caption }),
    make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows)));
};
