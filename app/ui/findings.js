// What the detectors found in the reply, and which of them ran.
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
  keepFocus(() => view.querySelector(".found").replaceChildren(...shown.findings.map(findingOf)));
  view.querySelector(".ran").replaceChildren(...Object.keys(STATUS).map((status) => ranWith(status, shown.ran)).filter(Boolean));
  markFinding();
};
