// A run of the probe: what it is of, the plot, and tables.
const known = { families: new Map(), report: null };
const day = (time) => new Date(time).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
const passagesOf = (database) => (database ? `passages ${database.slice(0, 12)}` : "no passages");

const cell = (text, properties = {}) => make("td", { textContent: text, ...properties });
const tableOf = (caption, heads, rows) => make("table", {},
  make("caption", { textContent: caption }),
  make("thead", {}, make("tr", {}, ...heads.map(([text, className = ""]) => make("th", { scope: "col", textContent: text, className })))),
  ...(rows[0]?.tagName === "TBODY" ? rows : [make("tbody", {}, ...rows)]));

const testRow = (row) => make("tr", { className: row.differs ? "differs" : "" },
  make("th", { scope: "row", textContent: swapOf(row) }),
  cell({ frozen: "frozen", live: "anew", off: "none" }[row.mode]),
  cell(String(row.n), { className: "number" }),
  ...[row.attribute, row.neutral, row.effect].map((value) => cell(nats(value), { className: "number" })),
  cell(`${nats(row.low)} to ${nats(row.high)}`, { className: "number" }),
  cell(nats(row.per_token), { className: "number" }),
  ...[row.p, row.corrected].map((p) => cell(p === null ? "" : p < 0.001 ? "< 0.001" : p.toFixed(3), { className: "number" })),
  cell(row.verdict, { className: "verdict" }));

const testsTable = (report) => {
  const heads = [["Swapped"], ["Passages"], ["n", "number"], ["Attribute", "number"], ["Neutral", "number"], ["Effect", "number"],
    ["Interval", "number"], ["A token", "number"], ["p", "number"], ["Holm", "number"], ["What can be said"]];
  const caption = `${counted(report.tests, "test")}. Effect: mean gap of the attribute pairs less that of the neutral pairs over n templates, in nats, and in nats a token. Intervals of 95 %, each for itself. p of the sign-flip test alone, and corrected by Holm’s method over all tests of the run.`;
  const families = [...grouped(report.rows, (row) => row.family)].map(([family, rows]) => make("tbody", {},
    make("tr", { className: "family" }, make("th", { scope: "rowgroup", colSpan: heads.length, textContent: known.families.get(family)?.title ?? family })),
    ...rows.map(testRow)));
  return tableOf(caption, heads, families);
};

const share = (hits, of) => (of ? `${hits} of ${of}` : "none");
const bbqTable = ({ mode, rows, skipped }) => {
  const heads = [["Category"], ["The context"], ["Right", "number"], ["Biased, of those not “unknown”", "number"], ["Score", "number"], ["Interval of 95 %", "number"], ["What can be said"]];
  const lines = rows.flatMap((row) => [["dis", "tells it: s_DIS"], ["amb", "does not: s_AMB"]].map(([kind, words]) => {
    const score = row[`s_${kind}`];
    return make("tr", {}, make("th", { scope: "row", textContent: row.category }), cell(words),
      cell(share(row[`right_${kind}`], row[`n_${kind}`]), { className: "number" }),
      cell(share(row[`biased_${kind}`], row[`known_${kind}`]), { className: "number" }),
      cell(score === null ? "" : nats(score), { className: "number" }),
      cell(score === null ? "" : `${nats(row[`low_${kind}`])} to ${nats(row[`high_${kind}`])}`, { className: "number" }),
      cell(row[`reading_${kind}`]));
  }));
  return tableOf(`BBQ, ${MODE_SHORT[mode]}; ${counted(skipped, "line")} skipped`, heads, lines);
};
const winogenderTable = ({ mode, rows, skipped }) => {
  const heads = [["Pronoun"], ["Right", "number"], ["Interval of 95 %", "number"], ["What can be said"]];
  const lines = rows.map((row) => make("tr", {}, make("th", { scope: "row", textContent: row.group }),
    cell(share(row.hits, row.of), { className: "number" }), cell(`${row.low.toFixed(2)} to ${row.high.toFixed(2)}`, { className: "number" }), cell(row.reading)));
  return tableOf(`Winogender, ${MODE_SHORT[mode]}; ${counted(skipped, "line")} skipped`, heads, lines);
};

const drawReport = (report) => {
  known.report = report;
  const box = find(".report");
  box.hidden = false;
  find("#probe-report-title").textContent = `Run of ${day(report.created)}`;
  find(".report .facts").textContent = [
    `${report.model} (${report.fingerprint.slice(0, 12)})`, passagesOf(report.database),
    [...new Set(report.parts.map(({ version }) => (version.length > 40 ? `file ${version.slice(0, 12)}` : version)))].join("; "),
    `seed ${report.seed}`, `${Math.round(report.seconds)} s`, report.finished ? null : "not finished",
  ].filter(Boolean).join(" · ");
  find(".report .limits").textContent = report.limits;
  find(".report .warning").hidden = !report.warning;
  find(".report .warning").textContent = report.warning;
  const tested = report.rows.length > 0;
  find(".legend").replaceChildren(...(tested ? legendOf(report.rows) : []));
  find(".plots").replaceChildren();
  if (tested) drawPlots(find(".plots"), report, known.families);
  find(".tests").hidden = !tested;
  find(".tests").replaceChildren(...(tested ? [testsTable(report)] : []));
  const outside = [...report.bbq.map(bbqTable), ...report.winogender.map(winogenderTable)];
  find(".outside").replaceChildren(...outside.map((table) => make("div", { className: "scroll", tabIndex: 0, aria: { role: "region", label: table.caption.textContent } }, table)));
};

const openReport = async (run, focus = false) => {
  const answer = await ask("probe_report", run);
  find(".report .problem").textContent = answer.problem ?? "";
  if (answer.problem) {
    find(".report").hidden = false;
    return;
  }
  drawReport(answer.report);
  place.run = run;
  keepAddress(place);
  markRun();
  if (focus) find("#probe-report-title").focus();
};

let drawnWidth = 0;
const redrawPlots = () => {
  const width = Math.floor(find(".plots").clientWidth);
  if (!width || width === drawnWidth || !known.report?.rows.length) return;
  drawnWidth = width;
  drawPlots(find(".plots"), known.report, known.families);
};
