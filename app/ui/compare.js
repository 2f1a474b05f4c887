// The drawer with two replies side by side. The value comes from comparing.py; offsets are code
// points (nodes.js and places.js stand before this file). Replies and titles are untrusted text, so nodes are
// built, never HTML strings.
const dialog = element.querySelector("dialog");
const part = (name) => dialog.querySelector(`.${name}`);
const form = dialog.querySelector("form");
let shown = null; // the opening that is on the page: a closed drawer is not opened by its own news
let opener = null;

// ----- drawing

// The words that differ are marked, and the first token that differs by itself.
const textOf = (side) => {
  const nodes = [];
  let at = 0;
  const take = (end, className) => {
    if (end <= at) return;
    const text = slice(side.text, at, end);
    nodes.push(className === undefined ? text : make("mark", { className, textContent: text }));
    at = end;
  };
  const [first, last] = side.parting ?? [0, 0];
  for (const [start, end] of side.marks) {
    take(start);
    take(Math.min(first, end), "");
    take(Math.min(last, end), "first");
    take(end, "");
  }
  nodes.push(side.text.slice(units(side.text, at)));
  if (typeof nodes[0] === "string") nodes[0] = nodes[0].trimStart(); // the space after the prompt
  return nodes.filter((node) => node !== "");
};

const fillText = (node, side) => {
  node.replaceChildren(...textOf(side));
  if (!side.text) node.append(make("span", { className: "hint", textContent: side.running ? "…" : "It is empty." }));
  return node;
};

const sideOf = (side, name, busy) => {
  const section = make("section", { className: side.running ? "side running" : "side", aria: { label: `Reply ${name}: ${side.heading}` } },
    make("h3", {}, make("span", { className: "letter", textContent: name }), make("span", { textContent: side.heading })));
  section.append(fillText(make("p", { className: "text" }), side),
    make("p", { className: "ending", textContent: side.ending }),
    make("p", { className: "hint", textContent: side.facts.join(" · ") }));
  const visit = () => {
    dialog.close();
    trigger("visit", { turn: side.turn });
  };
  if (side.running) section.append(button("Stop", () => trigger("stop", {}), { className: "stop" }));
  else section.append(button(`Open ${name} in the chat`, visit, { className: "visit", disabled: busy }));
  return section;
};

const drawEarlier = (value) => {
  const group = part("earlier");
  group.hidden = value.earlier.length < 2;
  group.replaceChildren(...value.earlier.map((comparison) => {
    const recall = () => trigger("recall", { comparison: comparison.id, turn: value.a.turn });
    return button(comparison.change, recall, { disabled: value.busy, aria: { pressed: comparison.id === value.comparison } });
  }));
};

const VOTED = { a: "Saved: A is better.", b: "Saved: B is better.", tie: "Saved: they are equally good." };
const drawVotes = (value) => {
  part("votes").hidden = !value.comparison;
  for (const button of part("votes").querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.dataset.vote === value.vote));
  part("voted").textContent = value.vote ? `${VOTED[value.vote]} Press it again to take it back.` : "";
};

const drawForm = (value) => {
  const { kind, preset } = form.elements;
  const names = [...preset.options].map((option) => option.value);
  if (String(names) !== String(value.presets))
    preset.replaceChildren(...value.presets.map((name) => make("option", { value: name, textContent: name })));
  kind.querySelector("[value=preset]").disabled = !value.presets.length;
  for (const label of form.querySelectorAll("[data-for]")) {
    label.hidden = label.dataset.for !== kind.value;
    label.querySelector("input, select, textarea").disabled = label.hidden; // and so not required
  }
  form.querySelector("[type=submit]").setAttribute("aria-disabled", String(value.busy)); // it keeps the focus
};

const keepFocus = (redraw) => {
  const focused = part("sides").contains(document.activeElement) ? document.activeElement.className : null;
  redraw();
  if (focused) (part("sides").querySelector(`.${focused}`) ?? part("close")).focus();
};

// While reply B grows only its text is drawn anew: a click on a button needs it to stay the same one.
const drawSides = (value) => {
  const growing = part("sides").querySelector(".running");
  if (growing && value.b?.running && growing.dataset.opening === value.opening) {
    fillText(growing.querySelector(".text"), value.b);
    return;
  }
  const sides = [sideOf(value.a, "A", value.busy)];
  if (value.b) sides.push(sideOf(value.b, "B", value.busy));
  for (const side of sides) side.dataset.opening = value.opening;
  keepFocus(() => part("sides").replaceChildren(...sides));
};

const draw = (value) => {
  part("message").textContent = value.message;
  part("problem").hidden = !value.problem;
  part("problem").textContent = value.problem;
  if (part("parting").textContent !== value.parting) part("parting").textContent = value.parting;
  drawSides(value);
  drawEarlier(value);
  drawVotes(value);
  drawForm(value);
};

// ----- opening and closing

const labelOf = (node) => node.getAttribute("aria-label") ?? node.textContent;

const open = () => {
  if (dialog.open) return;
  opener = document.activeElement;
  dialog.showModal();
};

// What was focused before may have been drawn anew meanwhile; then it is the one with its label.
dialog.addEventListener("close", () => {
  if (opener && opener !== document.body && opener.isConnected) return; // the browser did it
  const places = [...document.querySelectorAll("#inspector button, #branches button")];
  const again = opener && places.find((node) => labelOf(node) === labelOf(opener));
  (again ?? document.querySelector("#box textarea"))?.focus();
});

part("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // the backdrop

// ----- asking

for (const button of part("votes").querySelectorAll("button"))
  button.addEventListener("click", () => {
    const { comparison, vote } = props.value;
    trigger("vote", { comparison, vote: button.dataset.vote === vote ? null : button.dataset.vote });
  });

form.elements.kind.addEventListener("change", () => drawForm(props.value));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (props.value.busy) return;
  const { kind, temperature, seed, preset, pasted } = form.elements;
  const changes = {
    off: { kind: "off" },
    random: { kind: "random" },
    temperature: { kind: "sampling", temperature: Number(temperature.value) },
    seed: { kind: "seed", seed: Number(seed.value) },
    preset: { kind: "preset", name: preset.value },
    pasted: { kind: "pasted", text: pasted.value },
  };
  trigger("vary", { turn: props.value.a.turn, change: changes[kind.value] });
});

const take = () => {
  const { value } = props;
  if (!value) return;
  draw(value);
  const fresh = value.opening !== shown;
  if (fresh) part("again").open = false;
  if (!value.b && !value.busy) part("again").open = true; // there is nothing yet to compare
  if (!fresh) return;
  shown = value.opening;
  open();
  dialog.scrollTop = 0;
};

watch("value", take);
take();
