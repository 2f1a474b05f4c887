// The plot of a run: a row for each swap, in it a mark for each mode with its interval, the zero
// line, and shaded the effects that would not have been seen.
const SVG = "http://www.w3.org/2000/svg";
const MODE_SHORT = { frozen: "passages frozen", live: "passages found anew", off: "no passages" };
const nats = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
const draw = (tag, attributes = {}, ...children) => {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};
const swapOf = (row) => `${row.term} / ${row.against}`;

// A mark that tells the modes apart without its colour: disc, ring, square.
const mark = (mode, x, y) => {
  if (mode === "off") return draw("rect", { class: `mark ${mode}`, x: x - 4, y: y - 4, width: 8, height: 8 });
  return draw("circle", { class: `mark ${mode}`, cx: x, cy: y, r: 4.5 });
};

const stepOf = (reach) => [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((step) => reach / step <= 4) ?? 100;

const grouped = (rows, key) => {
  const groups = new Map();
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  return groups;
};

const LINE = 13, GAP = 9, AXIS = 24, NARROW = 560;
const plotOf = (rows, width, reach, described) => {
  const narrow = width < NARROW;
  const left = narrow ? 6 : 210, right = width - 12, zero = (left + right) / 2;
  const at = (value) => zero + (Math.max(-reach, Math.min(reach, value)) / reach) * ((right - left) / 2);
  const swaps = grouped(rows, (row) => `${row.list}: ${swapOf(row)}`);
  const parts = [];
  let y = 4;
  for (const [, marks] of swaps) {
    const [first] = marks;
    const text = draw("text", { x: narrow ? left : left - 10, y: narrow ? y + 11 : y + (marks.length * LINE) / 2 + 4, "text-anchor": narrow ? "start" : "end" });
    text.textContent = swapOf(first);
    parts.push(text);
    if (narrow) y += 16;
    for (const row of marks) {
      const line = y + LINE / 2;
      const group = draw("g", { class: row.differs ? "differs" : "" });
      const title = draw("title");
      title.textContent = `${swapOf(row)}, ${MODE_SHORT[row.mode]}: ${nats(row.effect)} nats (${nats(row.low)} to ${nats(row.high)}). ${row.verdict}.`;
      group.append(title,
        draw("rect", { class: "unseen", x: at(-row.detectable), y: y + 1, width: Math.max(0, at(row.detectable) - at(-row.detectable)), height: LINE - 2 }),
        draw("line", { class: `interval ${row.mode}`, x1: at(row.low), x2: at(row.high), y1: line, y2: line }),
        mark(row.mode, at(row.effect), line));
      parts.push(group);
      y += LINE;
    }
    y += GAP;
  }
  const bottom = y - GAP + 4;
  const step = stepOf(reach);
  const axis = [draw("line", { class: "zero", x1: zero, x2: zero, y1: 0, y2: bottom })];
  for (let tick = -Math.floor(reach / step); tick <= reach / step; tick += 1) {
    const value = tick * step;
    const label = draw("text", { class: "tick", x: at(value), y: bottom + 14, "text-anchor": "middle" });
    label.textContent = value === 0 ? "0" : `${value < 0 ? "−" : "+"}${Number(Math.abs(value).toFixed(2))}`;
    axis.push(draw("line", { class: "grid", x1: at(value), x2: at(value), y1: 0, y2: bottom }), label);
  }
  const height = bottom + AXIS;
  return draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": described }, ...axis, ...parts);
};

const reachOf = (rows) => Math.max(0.05, ...rows.flatMap((row) => [row.low, row.high, row.detectable].map(Math.abs))) * 1.04;

const legendOf = (rows) => {
  const modes = [...new Set(rows.map((row) => row.mode))];
  const item = (mode) => make("span", { className: "key" }, draw("svg", { width: 14, height: 12 }, mark(mode, 7, 6)), MODE_SHORT[mode]);
  const shade = make("span", { className: "key" }, draw("svg", { width: 22, height: 12 }, draw("rect", { class: "unseen", x: 0, y: 0, width: 22, height: 12 })), "would not have been seen");
  return [...modes.map(item), make("span", { className: "key" }, "line: interval of 95 %"), shade];
};

// The plots of all families on one scale, so that they can be compared.
const drawPlots = (box, report, titles) => {
  const width = Math.floor(box.clientWidth);
  if (!width || !report) return;
  const reach = reachOf(report.rows);
  box.replaceChildren(...[...grouped(report.rows, (row) => row.family)].map(([family, rows]) => {
    const told = titles.get(family);
    const seen = rows.filter((row) => row.differs).length;
    const summary = `${told?.title ?? family}: ${counted(rows.length, "test")}, ${seen} with a difference; the figures are in the table below.`;
    return make("figure", {},
      make("figcaption", {}, make("strong", { textContent: told?.title ?? family }),
        make("span", { className: "hint", textContent: told ? ` Above 0: ${told.positive}. In nats.` : "" })),
      plotOf(rows, width, reach, summary));
  }));
};
