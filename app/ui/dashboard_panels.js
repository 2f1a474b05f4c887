// The panels of the dashboard, each made from its part of what the server counted. Numbers of cases
// lead to these cases in the browse view, limited to the same days and model.
const PARTS = [["alert", "alert"], ["warn", "warn"], ["info", "info"], ["marked", "marked by people"]];
// Width of the drawing, and how many words fit below it, so that they can be read on a phone.
const ROOM = window.innerWidth < 700 ? [400, 4] : window.innerWidth < 1000 ? [720, 7] : [1280, 8];
const STEPS = { 1: "day", 7: "week", 28: "four weeks" };

const within = (fields) => ({ ...asked(), ...fields });
const whole = (title, hint, ...content) => make("section", { className: "panel", aria: { label: title } },
  make("h2", { textContent: title }), hint ? make("p", { className: "hint", textContent: hint }) : null, ...content);
const widely = (...given) => {
  const panel = whole(...given);
  panel.classList.add("wide");
  return panel;
};

const dayPanel = ({ days }) => {
  const step = STEPS[days.step] ?? `${days.step} days`;
  const title = `Cases per 100 replies, by ${step}`;
  const of = (point, name) => rate(point[name], point.replies) ?? 0;
  const bars = days.points.map((point) => ({
    parts: PARTS.map(([name]) => [name, of(point, name)]),
    title: `${point.since}${point.until === point.since ? "" : ` to ${point.until}`}: ${PARTS.map(([n, text]) => `${number(point[n])} ${text}`).join(", ")} in ${counted(point.replies, "reply", "replies")}`,
    fields: within({ since: point.since, until: point.until }),
    text: point.since.slice(5),
  }));
  const rows = days.points.map((point) => make("tr", {},
    rowHead(point.until === point.since ? point.since : `${point.since} to ${point.until}`),
    cell(number(point.replies)),
    ...PARTS.map(([name, text]) => cell(leading(`${number(point[name])} (${number(rate(point[name], point.replies), 1)})`, within({
      since: point.since, until: point.until, ...(name === "marked" ? { source: "person" } : { source: "machine", severity: name }),
    }), `${number(point[name])} ${text} of ${point.since}`)))));
  const below = table(`${title}: cases, and in brackets per 100 replies`, ["Replies of", "Replies", ...PARTS.map(([, text]) => text)], rows);
  const plot = barPlot(`${title}; the numbers are in the table below`, bars, { width: ROOM[0], every: Math.ceil(bars.length / ROOM[1]) });
  const panel = make("section", { className: "panel wide", aria: { label: title } },
    figure(title, "What detectors found, by severity, and what people marked; one reply can have several. Days are those on which the replies were written (UTC).", plot, below, legend(PARTS)));
  return panel;
};

const kindPanel = ({ kinds }) => {
  const title = "Cases per 100 replies, by kind and model";
  const most = Math.max(0, ...kinds.rows.flatMap(({ cells }) => cells.flatMap((one, i) => [one.found, one.marked].map((n) => rate(n, kinds.models[i].replies) ?? 0))));
  const heat = (count, model, fields, what) => {
    const value = rate(count, model.replies);
    const made = cell(count ? leading(number(value, 1), within({ ...fields, model: model.name }), what) : "0");
    if (count) made.style.setProperty("--heat", `${Math.round(8 + 62 * Math.sqrt((value ?? 0) / (most || 1)))}%`);
    made.classList.add("heat");
    made.title = `${counted(count, "case")} in ${counted(model.replies, "reply", "replies")}`;
    return made;
  };
  const rows = kinds.rows.map(({ kind, title: name, cells }) => make("tr", {}, rowHead(name),
    ...cells.flatMap(({ found, marked }, i) => [
      heat(found, kinds.models[i], { kind, source: "machine" }, `${name}, ${kinds.models[i].name}: ${number(found)} found`),
      heat(marked, kinds.models[i], { kind, source: "person" }, `${name}, ${kinds.models[i].name}: ${number(marked)} marked`)])));
  const heads = ["Kind", ...kinds.models.flatMap(({ name, replies }) => [`${name}, found (${counted(replies, "reply", "replies")})`, `${name}, marked`])];
  return whole(title, "Found by detectors, and marked by people. A darker field has more.", table(title, heads, rows));
};

const precisionPanel = ({ precision }) => {
  const title = "How often the detectors are right";
  const rows = precision.map(({ kind, title: name, accepted, rejected, disputed, open, ruled, labelled }) => make("tr", {},
    rowHead(name),
    ...[["accepted", accepted], ["rejected", rejected], ["disputed", disputed], ["open", open]].map(([status, count]) =>
      cell(count ? leading(number(count), within({ kind, source: "machine", status }), `${name}: ${number(count)} ${status}`) : "0")),
    shareCell(ruled, "ruled", "not ruled on"), cell(ruled.of ? `${number(ruled.hits)} of ${number(ruled.of)}` : ""),
    shareCell(labelled, "labelled", "not measured"), cell(labelled.of ? `${number(labelled.hits)} of ${number(labelled.of)}` : "")));
  const hint = "Of the findings that people ruled on, the share accepted, with its 95 % interval; disputed ones count as not accepted. Beside it the same for the labelled cases of this project that no threshold was set on. People rule on what the queue shows them, not on a random sample of findings.";
  return widely(title, hint, table(title, ["Kind", "Accepted", "Rejected", "Disputed", "Open", "Accepted of ruled", "Counts", "Labelled cases", "Counts"], rows));
};

const missedPanel = ({ missed }) => {
  const title = "What the detectors missed";
  if (!missed.share.of)
    return whole(title, "", make("p", { textContent: "This cannot be known yet: no reply without a finding that was drawn at random has been read to the end. The queue mixes such replies in; finish some of them." }));
  const { share, labels } = missed;
  const items = labels.map(({ kind, title: name, replies }) => make("li", {},
    leading(`${name}: ${counted(replies, "reply", "replies")}`, within({ drawn: "sample", source: "person", kind }))));
  return whole(title, "Of replies without a finding, drawn at random and read to the end by somebody, those in which a reader marked a failure.",
    make("p", { className: "headline" }, leading(shareWords(share), within({ drawn: "sample", source: "person" })), " ", intervalPlot(share, "missed")),
    items.length ? make("ul", {}, ...items) : null);
};

const gainPanel = ({ gains }) => {
  const title = "What passages changed, in flagged and in clean replies";
  const { flagged, clean, bins, unmeasured } = gains;
  if (!flagged.count && !clean.count)
    return whole(title, "", make("p", { textContent: "No effect has been measured. The inspector beside the chat measures what the passages changed in a reply." }));
  const part = (bin, name, of) => (of.count ? (100 * bin[name]) / of.count : 0);
  const bars = bins.map((bin) => ({
    parts: [["flagged", part(bin, "flagged", flagged)], ["clean", part(bin, "clean", clean)]],
    title: `${plainNumber(bin.from)} to ${plainNumber(bin.to)} nats: ${number(bin.flagged)} flagged, ${number(bin.clean)} clean`,
    text: plainNumber(bin.from),
  }));
  const rows = [["Flagged: with a finding", flagged], ["Clean: without", clean]].map(([name, one]) => make("tr", {}, rowHead(name),
    cell(number(one.count)), cell(plainNumber(one.low)), cell(plainNumber(one.median)), cell(plainNumber(one.high))));
  const hint = `Retrieval gain in nats: how much likelier all passages together made the reply. Bars are shares of each group in %; the outermost bars have all beyond. Only measured replies: ${counted(unmeasured, "reply was", "replies were")} not measured, so these need not be like all others.`;
  return make("section", { className: "panel", aria: { label: title } },
    figure(title, hint, barPlot(`${title}; the quartiles are in the table below`, bars, { beside: true, width: Math.min(ROOM[0], 720), every: 4 }), null, legend([["flagged", "flagged"], ["clean", "clean"]])),
    table("Retrieval gain, nats", ["Replies", "Measured", "Lower quartile", "Median", "Upper quartile"], rows));
};

const documentPanel = ({ documents }) => {
  const title = "Passages behind findings";
  if (!documents.rows.length)
    return whole(title, "", make("p", { textContent: "No finding lies in a chunk for which a passage was shown." }));
  const rows = documents.rows.map(({ title: name, source, behind }) => make("tr", {},
    rowHead(make("span", { textContent: name || "Untitled", title: source })),
    cell(leading(number(behind.hits), within({ document: name }), `${name}: shown ${number(behind.hits)} times behind a finding`)),
    cell(number(behind.of)), shareCell(behind, "behind")));
  const hint = `How often a document was shown for a chunk that a finding lies in, against how often it was shown at all. Over all documents: ${shareWords(documents.all)}. A passage was shown to the model there; that does not say that it led to what was found.`;
  return whole(title, hint, table(title, ["Document", "Behind a finding", "Shown", "Share"], rows));
};

const kappaCells = ({ raw, kappa, both, only_first: first, only_second: second, neither }) => [
  cell(raw === null ? "–" : percent(raw)), cell(kappa === null ? "undefined" : plainNumber(kappa, 2)),
  ...[both, first, second, neither].map((count) => cell(number(count)))];
const KAPPA_HEADS = ["Agree", "Kappa", "Both", "First alone", "Second alone", "Neither"];
const agreementPanel = ({ agreement, rulings }) => {
  const title = "Agreement between people";
  if (!agreement.rows.length && !rulings.length)
    return whole(title, "", make("p", { textContent: "This cannot be known yet: no reply has been read to the end by two people, and no finding ruled on by two." }));
  const marks = agreement.rows.map((row) => make("tr", {}, rowHead(`${row.first}, ${row.second}: `,
    row.label ? leading(row.title, within({ kind: row.label, source: "person" })) : row.title), ...kappaCells(row)));
  const rules = rulings.map((row) => make("tr", {}, rowHead(`${row.first}, ${row.second}`), ...kappaCells(row)));
  const more = agreement.left_out ? `The ${number(agreement.left_out)} rows with the rarest labels are left out.` : "";
  return whole(title, "Cohen's kappa with its four counts. Where failures are rare, people agree on most replies whatever they do: then kappa is low or undefined although they agree.",
    marks.length ? table("Which failures a reply has, over the replies that both have read to the end", ["People: label", ...KAPPA_HEADS], marks) : null,
    more ? make("p", { className: "hint", textContent: more }) : null,
    rules.length ? table("Whether a finding is accepted, over the findings that both have ruled on", ["People", ...KAPPA_HEADS], rules) : null);
};

const runPanel = ({ runs }) => {
  const title = "Replies that detectors did not look at";
  if (!runs.length) return whole(title, "", make("p", { textContent: "No detector has run." }));
  const rows = runs.map(({ title: name, detector, looked, skipped, failed }) => make("tr", {}, rowHead(make("span", { textContent: name, title: detector })),
    cell(number(looked)), ...[skipped, failed].map((one) => cell(one.of ? `${number(one.hits)} (${percent(one.value)})` : "0", { title: shareWords(one) }))));
  return whole(title, "A detector is skipped where it does not apply, such as looking for words in passages where none was shown. Such a reply is not clean; nobody looked.",
    table(title, ["Detector", "Looked", "Skipped", "Failed"], rows));
};

const PANELS = [dayPanel, kindPanel, precisionPanel, missedPanel, gainPanel, documentPanel, agreementPanel, runPanel];
