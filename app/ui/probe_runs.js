// Starting a run, following it, and the list of runs.
const place = { run: "", turn: "" };
let following = null;

const duration = (seconds) => {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};

const option = (name, value, text, hint, checked) => {
  const id = `probe-${name}-${value}`;
  return make("div", { className: "option" },
    make("input", { type: "checkbox", id, name, value, checked }),
    make("label", { htmlFor: id }, make("span", { textContent: text }), hint ? make("span", { className: "hint", textContent: hint }) : null));
};
const chosen = (name) => [...element.querySelectorAll(`.start input[name=${name}]:checked`)].map(({ value }) => value);

const drawChoices = ({ families, modes, passages }) => {
  known.families = new Map(families.map((family) => [family.family, family]));
  find(".families").append(...families.map(({ family, title, templates, lists }) =>
    option("family", family, title, `${templates} templates · ${lists.map((list) => list.title.toLowerCase()).join(", ")}`, true)));
  for (const { mode, words } of modes) {
    const box = option("mode", mode, words[0].toUpperCase() + words.slice(1), "", passages || mode === "off");
    box.querySelector("input").disabled = !passages && mode !== "off";
    find(".modes").append(box);
  }
  find(".families-told").replaceChildren(...families.map((family) => make("section", {},
    make("h3", { textContent: family.title }),
    make("p", { textContent: `${family.question} ${family.reason}` }),
    make("p", {}, "For example: ", make("q", { textContent: family.example })),
    make("ul", {}, ...family.lists.map(({ title, terms, reason }) => make("li", {}, make("strong", { textContent: `${title}: ` }), `${terms.join(", ")}. ${reason}`))),
    make("p", { className: "hint", textContent: `${family.templates} templates with as many neutral controls; ${family.version}.` }))));
};

const runItem = (run) => {
  const facts = [run.model, run.database ? passagesOf(run.database) : "", run.versions.join("; "), run.modes.map((mode) => MODE_SHORT[mode]).join(", ")];
  const item = button("", () => openReport(run.run, true), { className: "run", data: { run: run.run } });
  item.append(make("span", { className: "when", textContent: day(run.created) }),
    run.finished ? "" : make("span", { className: "badge", textContent: "not finished" }),
    make("span", { className: "hint", textContent: `${run.families.join(", ")} · ${facts.filter(Boolean).join(" · ")}` }));
  return make("li", {}, item);
};
const markRun = () => {
  for (const item of element.querySelectorAll(".run")) {
    if (item.dataset.run === place.run) item.setAttribute("aria-current", "true");
    else item.removeAttribute("aria-current");
  }
};
const drawRuns = (runs) => {
  find(".listed .empty").hidden = runs.length > 0;
  find(".listed ol").replaceChildren(...runs.map(runItem));
  markRun();
};

const say = (selector, text) => {
  const box = find(selector);
  if (box.textContent !== text) box.textContent = text;  // a screen reader reads what is set again
};

const drawJob = (job) => {
  const running = job?.stage === "running";
  find(".begin").disabled = running || !known.ready;
  find(".job").hidden = !job;
  if (!job) return;
  say(".job .stage", running ? (job.stopping ? "Cancelling …" : "Running. The chat can be used meanwhile.")
    : { done: "Finished.", cancelled: "Cancelled. What was finished is kept; start it again with the same choices to go on.", failed: `It failed: ${job.message}` }[job.stage]);
  const bar = find(".job progress");
  bar.hidden = !running;
  if (job.items) Object.assign(bar, { max: job.items, value: job.done });
  else bar.removeAttribute("value");
  const detail = [known.families.get(job.family)?.title, MODE_SHORT[job.mode], `${job.done.toLocaleString("en")} of ${counted(job.items, "item")}`, job.left === null ? null : `about ${duration(job.left)} left`];
  find(".job .detail").textContent = running && job.items ? detail.filter(Boolean).join(" · ") : "";
  find(".job .cancel").hidden = !running;
  find(".job .cancel").disabled = job.stopping;
};

const takeJob = async (answer) => {
  find(".start .problem").textContent = answer.problem ?? "";
  if (!("job" in answer)) return;
  drawJob(answer.job);
  clearTimeout(following);
  if (answer.job?.stage === "running") following = setTimeout(followJob, 700);
};

const followJob = async () => {
  if (!element.isConnected) return;
  if (!isShown()) {
    following = setTimeout(followJob, 2000);
    return;
  }
  const answer = await ask("probe_job");
  if (answer.problem) {
    following = setTimeout(followJob, 3000);
    return;
  }
  await takeJob(answer);
  if (answer.job && answer.job.stage !== "running") await ended(answer.job);
};

const ended = async (job) => {
  const { runs = [] } = await ask("probe_look");
  drawRuns(runs);
  if (job.stage === "done") await openReport(job.run);
};

const startRun = async () => takeJob(await ask("probe_start", { families: chosen("family"), modes: chosen("mode"), seed: Number(find("#probe-seed").value) }));
