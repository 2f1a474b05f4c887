// Plots of the dashboard, drawn as SVG. Nodes are built, never markup; beside each plot stands a
// table of the same numbers. figures.js stands before this file.
const SVG = "http://www.w3.org/2000/svg";
const draw = (tag, properties = {}, ...children) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};
const number = (value, digits = 0) =>
  value === null || value === undefined ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const shareWords = ({ hits, of, value, low, high }) =>
  of ? `${number(hits)} of ${number(of)} = ${percent(value)} (95 % interval ${percent(low)} to ${percent(high)})` : "none";
const rate = (count, replies) => (replies ? (100 * count) / replies : null);

// A scale's end and its steps: 1, 2 or 5 times a power of ten.
const ticksUpTo = (most) => {
  if (!(most > 0)) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((times) => times * power >= rough);
  const ticks = [];
  for (let i = 0; (i - 1) * step < most; i += 1) ticks.push(i * step);
  return ticks;
};
const tickWords = (tick) => Number(tick.toPrecision(6)).toLocaleString("en");

const cell = (content, properties = {}) => make("td", { className: "number", ...properties }, content);
const table = (caption, heads, rows) => make("div", { className: "scroll" }, make("table", {},
  make("caption", { textContent: caption }),
  make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", textContent: text })))),
  make("tbody", {}, ...rows)));
const rowHead = (...content) => make("th", { scope: "row" }, ...content);

// A number that leads to the cases it counts.
const leading = (text, fields, what) => {
  const link = make("a", { href: linkTo("browse", fields).href, textContent: text, aria: what ? { label: what } : {} });
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    followLink("browse", fields);
  });
  return link;
};

const legend = (names) => make("p", { className: "legend" }, ...names.map(([name, text]) =>
  make("span", {}, make("i", { className: name, aria: { hidden: "true" } }), text)));

// A plot with a title that says what it shows, and its numbers as a table below.
const figure = (title, hint, plot, below, keys = null) => make("figure", {},
  make("figcaption", {}, make("h2", { textContent: title }), hint ? make("p", { className: "hint", textContent: hint }) : null),
  plot, keys, below && make("details", {}, make("summary", { textContent: "As a table" }), below));

const frame = (label, width, height, ...children) =>
  draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...children);

// Bars over a horizontal axis. `bars` are [{parts: [[class, value]], title, fields, label}], the
// parts one on the other, or beside each other.
const barPlot = (label, bars, { width = 720, beside = false, every }) => {
  const [height, left, bottom, top] = [220, 36, 26, 10];
  const sizes = bars.map(({ parts }) => (beside ? Math.max(...parts.map(([, v]) => v)) : parts.reduce((sum, [, v]) => sum + v, 0)));
  const ticks = ticksUpTo(Math.max(0, ...sizes));
  const most = ticks.at(-1);
  const y = (value) => height - bottom - (value / most) * (height - bottom - top);
  const step = (width - left) / Math.max(bars.length, 1);
  const gap = Math.min(step * 0.2, 6);
  const nodes = ticks.map((tick) => draw("g", { class: "grid" },
    draw("line", { x1: left, x2: width, y1: y(tick), y2: y(tick) }),
    Object.assign(draw("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }), { textContent: tickWords(tick) })));
  bars.forEach(({ parts, title, fields, text }, i) => {
    const x = left + i * step + gap / 2;
    const thick = Math.max(step - gap, 1);
    let base = 0;
    const drawn = parts.map(([name, value], j) => {
      const [from, x0, w] = beside ? [0, x + (j * thick) / parts.length, thick / parts.length] : [base, x, thick];
      base += value;
      return value > 0 ? draw("rect", { class: name, x: x0, width: w, y: y(from + value), height: Math.max(y(from) - y(from + value), 0.5) }) : null;
    });
    const whole = draw("rect", { class: "hit", x: left + i * step, width: step, y: top, height: height - bottom - top });
    const bar = draw("g", { class: fields ? "bar leads" : "bar" }, whole, ...drawn, Object.assign(draw("title"), { textContent: title }));
    if (fields) bar.addEventListener("click", () => followLink("browse", fields));
    nodes.push(bar);
    if (i % every === 0)
      nodes.push(Object.assign(draw("text", { x: left + i * step + step / 2, y: height - 8, "text-anchor": i === 0 ? "start" : "middle" }), { textContent: text }));
  });
  return frame(label, width, height, ...nodes);
};

// A share with its interval, on a scale from 0 to 1, and its value in words.
const shareCell = (share, name, none = "–") => make("td", { className: "share" }, make("div", {},
  intervalPlot(share, name), make("span", { textContent: share.of ? percent(share.value) : none, title: shareWords(share) })));
const intervalPlot = ({ of, value, low, high }, name) => {
  if (!of) return null;
  const x = (share) => 4 + share * 112;
  return draw("svg", { class: `interval ${name}`, viewBox: "0 0 120 14", "aria-hidden": "true" },
    draw("line", { class: "scale", x1: 4, x2: 116, y1: 7, y2: 7 }),
    draw("line", { class: "spread", x1: x(low), x2: x(high), y1: 7, y2: 7 }),
    draw("circle", { cx: x(value), cy: 7, r: 4 }));
};
