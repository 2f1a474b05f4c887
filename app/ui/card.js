// The model card: blocks that card.py and blocks.py made, drawn one by one. nodes.js stands before.
// Cards come with weights, which anyone may have made, so nodes are built, never HTML strings.
const SVG = "http://www.w3.org/2000/svg";
const about = element.querySelector(".about");
const OPEN = 3; // sections that are not folded on a phone; the first says what the model cannot do
const wide = window.matchMedia("(min-width: 1000px)");

const copyable = (row) => {
  const short = make("span", { className: "short", textContent: `${row.value}…` });
  const full = make("span", { className: "full", textContent: row.full });
  const said = make("span", { className: "said", aria: { role: "status" } });
  const copy = make("button", { type: "button", className: "fingerprint", title: row.full }, short, full);
  copy.setAttribute("aria-label", `${row.name}, SHA-256 ${row.full}: copy`);
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(row.full);
      said.textContent = "copied";
    } catch {
      said.textContent = "copying is not allowed here; select it instead";
    }
  });
  copy.addEventListener("blur", () => (said.textContent = ""));
  return [copy, said];
};

const definitions = (rows, className) => {
  const list = make("dl", { className });
  for (const row of rows) {
    const value = make("dd", {}, ...(row.full ? copyable(row) : [row.value]));
    list.append(make("div", {}, make("dt", { textContent: row.name }), value));
  }
  return list;
};

const tableOf = (block) => {
  const numbers = block.columns.map((column) => (column.number ? "number" : ""));
  const heads = block.columns.map((column, i) =>
    make("th", { scope: "col", className: numbers[i], textContent: column.name }));
  const rows = block.rows.map((row) =>
    make("tr", {}, ...row.map((cell, i) =>
      make(i ? "td" : "th", { className: numbers[i], textContent: cell, ...(i ? {} : { scope: "row" }) }))));
  const table = make("table", {}, make("caption", { textContent: block.caption }),
    make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
  // it scrolls sideways by itself where it is too wide, also by keyboard
  return make("div", { className: "scroll", tabIndex: 0, aria: { role: "region", label: block.caption } }, table);
};

const curveOf = (block) => {
  const [W, H] = [300, 90];
  const steps = block.points.map((p) => p[0]);
  const losses = block.points.map((p) => p[1]);
  const [left, right, low, high] = [Math.min(...steps), Math.max(...steps), Math.min(...losses), Math.max(...losses)];
  const x = (step) => ((step - left) / (right - left || 1)) * W;
  const y = (loss) => H - 4 - ((loss - low) / (high - low || 1)) * (H - 8);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", block.points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" "));
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${block.label}, ${block.text}`);
  svg.append(line);
  return make("figure", { className: "curve" }, make("figcaption", { className: "label", textContent: block.label }),
    svg, make("p", { textContent: block.text }));
};

const blockOf = (block) => {
  const label = block.label ? make("span", { className: "label", textContent: block.label }) : null;
  switch (block.kind) {
    case "list":
      return make("ul", {}, ...block.items.map((text) => make("li", { textContent: text })));
    case "facts":
      return make("div", {}, block.caption ? make("h4", { textContent: block.caption }) : null, definitions(block.rows, "facts"));
    case "terms":
      return make("div", {}, label, definitions(block.rows, "terms"));
    case "table":
      return tableOf(block);
    case "curve":
      return curveOf(block);
    case "command":
      return make("div", {}, make("span", { className: "label", textContent: "Command" }), make("code", { textContent: block.text }));
    default:
      return make("div", { className: "text" }, label, make("p", { textContent: block.text }));
  }
};

const sectionOf = (section, index) => {
  const details = make("details", { open: wide.matches || index < OPEN },
    make("summary", {}, make("h3", { textContent: section.title })),
    ...section.blocks.map(blockOf));
  details.dataset.title = section.title;
  return details;
};

let drawn = "";
const drawCard = (card) => {
  const key = JSON.stringify(card);
  if (key === drawn) return;
  drawn = key;
  const folded = new Map([...about.querySelectorAll("details")].map((d) => [d.dataset.title, d.open]));
  const sections = card.sections.map(sectionOf);
  for (const details of sections) if (folded.has(details.dataset.title)) details.open = folded.get(details.dataset.title);
  const stage = make("p", { className: `stage ${card.stage}`, textContent: card.message, hidden: !card.message });
  stage.setAttribute("role", card.stage === "failed" ? "alert" : "status");
  about.replaceChildren(
    make("h2", { textContent: `Model: ${card.title}` }), stage,
    make("p", { className: "weakness", textContent: card.weakness, hidden: !card.weakness, aria: { role: "note" } }),
    ...sections);
};
