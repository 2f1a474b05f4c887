// What the detectors found in the reply, which of them ran, and what this annotator says of it.
const RULINGS = { accepted: "Accept", rejected: "Reject" };
const rulings = { turn: null, of: {}, waiting: null }; // by finding; `waiting` is for a name
const annotator = () => kept(ANNOTATOR);

const findingOf = (finding, index) => {
  const item = make("li", { className: finding.severity }, make("p", { textContent: finding.explanation }));
  if (finding.quote.trim()) {
    const quote = button("", () => showFinding(index), {
      className: "quote", title: "Show it in the reply", data: { key: `finding-${index}` },
    });
    quote.append(make("blockquote", { textContent: finding.quote }));
    item.append(quote);
  }
  const measure = `${finding.kind} · score ${finding.score}, threshold ${finding.threshold}`;
  item.append(make("p", { className: "measure", textContent: measure }));
  if (finding.quality) item.append(make("p", { className: "measure", textContent: `Such findings: ${finding.quality}.` }));
  if (finding.id !== undefined) item.append(rulingOf(finding, index)); // it is in the log
  return item;
};

const showFinding = (index) => {
  state.finding = state.finding === index ? null : index;
  markFinding();
  paint();
  if (state.finding === null) return;
  const { start, end } = state.shown.findings[index];
  reveal([start, end]);
};

const markFinding = () => {
  for (const quote of panel("findings").querySelectorAll(".quote"))
    quote.setAttribute("aria-pressed", String(quote.dataset.key === `finding-${state.finding}`));
};

// ----- accepting and rejecting

const rulingOf = (finding, index) =>
  make("div", { className: "acts rulings", aria: { role: "group", label: `Is finding ${index + 1} right?` } },
    ...Object.entries(RULINGS).map(([ruling, text]) =>
      button(text, () => ruleOn(finding.id, ruling), {
        data: { key: `ruling-${finding.id}-${ruling}`, finding: finding.id, ruling },
        aria: { label: `${text} finding ${index + 1}`, pressed: "false" },
      })));

const markRulings = () => {
  for (const node of panel("findings").querySelectorAll("[data-ruling]"))
    node.setAttribute("aria-pressed", String(rulings.of[node.dataset.finding] === node.dataset.ruling));
};

const readRulings = async () => {
  const { turn, findings } = state.shown;
  if (rulings.turn === turn || !annotator() || findings.every(({ id }) => id === undefined)) return markRulings();
  Object.assign(rulings, { turn, of: {} });
  markRulings();
  const answer = await ask("rulings", turn, annotator());
  if (rulings.turn !== turn) return; // another reply is shown meanwhile
  rulings.of = { ...answer.rulings, ...rulings.of };
  if (answer.problem) rulings.turn = null;
  markRulings();
};

const ruleOn = async (finding, ruling) => {
  const { turn } = state.shown;
  if (!annotator()) return askAnnotator({ turn, finding, ruling });
  const before = rulings.of[finding] ?? null;
  const after = before === ruling ? null : ruling;
  rulings.of[finding] = after;
  markRulings();
  const answer = await ask("rule", turn, finding, annotator(), after);
  if (state.shown?.turn !== turn) return;
  if (answer.problem) rulings.of[finding] = before;
  panel("findings").querySelector(".problem").textContent = answer.problem ? `Not saved: ${answer.problem}` : "";
  markRulings();
};

const askAnnotator = (waiting) => {
  rulings.waiting = waiting;
  const form = panel("findings").querySelector(".who");
  form.hidden = false;
  form.querySelector("input").focus();
};
const endAsking = () => {
  const { waiting } = rulings;
  rulings.waiting = null;
  panel("findings").querySelector(".who").hidden = true;
  panel("findings").querySelector(`[data-key="ruling-${waiting?.finding}-${waiting?.ruling}"]`)?.focus();
  return waiting;
};

// ----- marking what the detectors missed: in the queue, with the words that are selected here

const selectedSpan = () => {
  const picked = document.getSelection();
  const box = replyElement();
  if (!box || !picked.rangeCount || picked.isCollapsed || !box.contains(picked.anchorNode)) return {};
  const offset = offsetIn(box, state.shown.text);
  if (offset === null) return {};
  const [start, end] = placeOf(box, picked.getRangeAt(0)).map((at) => points(state.shown.text, Math.max(0, at - offset)));
  return end > start ? { start, end } : {};
};
const addressToMark = () => {
  const url = new URL("failures", window.location.href);
  const named = { view: "queue", turn: state.shown.turn, ...selectedSpan() };
  for (const [name, value] of Object.entries(named)) url.searchParams.set(name, value);
  return url.href;
};

const watchFindings = () => {
  const view = panel("findings");
  on(view.querySelector(".who"), "submit", (event) => {
    event.preventDefault();
    const name = view.querySelector(".who input").value.trim().replace(/\s+/g, " ");
    if (!name) return;
    keep(ANNOTATOR, name);
    const waiting = endAsking();
    if (waiting && waiting.turn === state.shown?.turn) ruleOn(waiting.finding, waiting.ruling);
  });
  on(view.querySelector(".who .cancel"), "click", endAsking);
  const mark = view.querySelector(".marking .mark");
  for (const event of ["pointerdown", "focus"]) // before a press lets go of the selection
    on(mark, event, () => (mark.href = addressToMark()));
};

// ----- drawing

const noFindings = ({ running, ran }) => {
  if (running) return "The detectors run when the reply is complete.";
  if (!ran.length) return "No detector has run on this reply.";
  const looked = ran.filter(({ status }) => status === "ok" || status === "found").length;
  const which = looked === 1 ? "1 detector ran and found nothing; " : `${looked} detectors ran and found nothing; `;
  return looked ? `${which}that does not mean that nothing is wrong.` : "No detector could look at this reply.";
};

const STATUS = { found: "Found something", ok: "Found nothing", skipped: "Did not apply", error: "Failed" };
const ranWith = (status, ran) => {
  const which = ran.filter((run) => run.status === status);
  if (!which.length) return null;
  const names = which.map(({ detector, message }) => (message ? `${detector} (${message})` : detector));
  return make("li", { className: `status-${status}` },
    make("strong", { textContent: STATUS[status] }), `: ${names.join(", ")}`);
};

const drawFindings = () => {
  const { shown } = state;
  const view = panel("findings");
  const count = shown.findings.length;
  tabOf("findings").textContent = count ? `Findings ${count}` : "Findings";
  const none = view.querySelector(".none");
  none.hidden = count > 0;
  none.textContent = count ? "" : noFindings(shown);
  view.querySelector(".problem").textContent = "";
  const inLog = turns().includes(shown.turn) && !shown.running; // the example is in none
  view.querySelector(".marking .mark").hidden = !inLog;
  if (inLog) view.querySelector(".marking .mark").href = addressToMark();
  view.querySelector(".marking .reword").hidden = !inLog;
  if (inLog) view.querySelector(".marking .reword").href = new URL(`failures?view=probe&turn=${encodeURIComponent(shown.turn)}`, window.location.href).href;
  view.querySelector(".marking .all").href = new URL("failures", window.location.href).href;
  keepFocus(() => view.querySelector(".found").replaceChildren(...shown.findings.map(findingOf)));
  view.querySelector(".ran").replaceChildren(...Object.keys(STATUS).map((status) => ranWith(status, shown.ran)).filter(Boolean));
  markFinding();
  readRulings();
};
