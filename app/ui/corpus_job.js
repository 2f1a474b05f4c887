// Files from this machine, and the job that makes documents of them.
const chooser = find(".adding input[type=file]");
const sending = { names: [], done: 0 };
let drawnJob = "";

const duration = (seconds) => {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};
const mebibytes = (bytes) => `${Math.ceil((10 * bytes) / 2 ** 20) / 10} MiB`;

// ----- sending

const unfit = (files) => {
  const { suffixes, file: largest, files: most, total } = state.corpus.limits;
  if (files.length > most) return `${files.length} files are too many at a time; give up to ${most}.`;
  for (const { name, size } of files) {
    if (!suffixes.some((suffix) => name.toLowerCase().endsWith(suffix))) return `“${name}” is not read; expected ${suffixes.join(", ")}.`;
    if (size > largest) return `“${name}” has ${mebibytes(size)}; a file may have ${mebibytes(largest)}. Split it, or use: python app.py ingest PATH`;
  }
  const sum = files.reduce((all, { size }) => all + size, 0);
  return sum > total ? `The files have ${mebibytes(sum)} together; up to ${mebibytes(total)} are taken at a time.` : "";
};

const busy = () => Boolean(sending.names.length || state.corpus.job?.running || state.corpus.job?.resumable);

const send = async (files) => {
  if (!files.length) return;
  const problem = busy() ? "Another upload is not finished; wait, or see below." : unfit(files);
  if (complain(".adding", { problem })) return;
  Object.assign(sending, { names: files.map(({ name }) => name), done: 0 });
  const arrived = [];
  try {
    for (const file of files) {
      drawJob();
      const { path } = await upload(file);
      arrived.push({ path, name: file.name });
      sending.done += 1;
    }
  } catch (error) {
    sending.names = [];
    complain(".adding", { problem: `“${files[arrived.length].name}” could not be sent: ${error.message || UNREACHABLE}` });
    drawJob();
    return;
  }
  const answer = await ask("corpus_add", { files: arrived });
  sending.names = [];
  takeJob(answer);
};

// ----- the job

const takeJob = (answer) => {
  complain(".adding", answer);
  if ("job" in answer) state.corpus.job = answer.job;
  drawJob();
  follow();
};

const drive = async (action) => takeJob(await ask("corpus_drive", action));

const HEADINGS = {
  waiting: "Waiting", reading: "Reading", embedding: "Making the keys of the passages", publishing: "Putting the passages in place",
  cancelled: "Cancelled", interrupted: "An earlier upload was interrupted", failed: "The upload failed",
  done: "Added", refused: "Nothing was added",
};

const describe = (job) => {
  const files = counted(job.files, "file");
  const of = `${job.done.toLocaleString("en")} of ${counted(job.passages, "passage")}`;
  switch (job.stage) {
    case "waiting":
      return job.message ? `${job.message} This goes on when that has finished.` : files;
    case "reading":
      return `File ${Math.min(job.read + 1, job.files)} of ${job.files}`;
    case "embedding":
      return [of, job.rate ? `${job.rate < 10 ? job.rate.toFixed(1) : Math.round(job.rate)} passages a second` : "", job.left === null ? "" : `about ${duration(job.left)} left`].filter(Boolean).join(" · ");
    case "publishing":
      return counted(job.passages, "passage");
    case "cancelled":
    case "interrupted": {
      const kept = job.done ? ` What was done with ${of} is kept.` : "";
      return `Waiting: ${files} (${namesOf(job)}). The passages are as they were.${kept}`;
    }
    case "failed":
      return `${job.message} The files are kept.`;
    case "refused":
      return job.message;
    default: {
      const { added, replaced, unchanged, passages, seconds } = job.report;
      const parts = [`${counted(added, "document")} with ${counted(passages, "passage")} in ${duration(seconds)}`];
      if (replaced) parts.push(`${counted(replaced, "older version")} replaced`);
      if (unchanged) parts.push(`${unchanged} unchanged`);
      return `${parts.join(" · ")}. The next reply can be shown them.`;
    }
  }
};

const namesOf = (job) => job.names.join(", ") + (job.files > job.names.length ? ", …" : "");

const fractionOf = (job) => {
  if (job.stage === "reading") return [job.read, job.files];
  if (job.stage === "embedding") return [job.done, job.passages];
  return [0, 0];
};

const actionsOf = (job) => {
  const again = job.stage === "failed" ? "Try again" : "Resume";
  if (job.running) return [button(job.stopping ? "Cancelling …" : "Cancel", () => drive("cancel"), { disabled: job.stopping })];
  if (job.resumable) return [button(again, () => drive("resume"), { className: "primary" }), button("Discard", () => drive("discard"))];
  return [button("Dismiss", () => drive("dismiss"))];
};

const drawJob = () => {
  const sendingNow = sending.names.length > 0;
  const job = sendingNow
    ? { stage: "sending", running: true, skipped: [], unread: 0 }
    : state.corpus.job;
  find(".job").hidden = !job;
  const closed = busy();
  find(".drop").classList.toggle("closed", closed);
  find(".choose").disabled = closed;
  find(".invitation").textContent = !closed
    ? "Drop text files here, or choose them."
    : job.running ? "More files can be added when this is finished." : "Resume or discard the upload below first.";
  if (!job) return;
  const heading = sendingNow ? "Sending" : HEADINGS[job.stage];
  const [done, total] = sendingNow ? [sending.done, sending.names.length] : fractionOf(job);
  find(".job .stage").textContent = heading;
  find(".job .detail").textContent = sendingNow ? `File ${sending.done + 1} of ${sending.names.length}: ${sending.names[sending.done]}` : describe(job);
  const bar = find(".job progress");
  bar.hidden = !job.running;
  bar.setAttribute("aria-label", heading);
  if (total) Object.assign(bar, { max: total, value: done });
  else bar.removeAttribute("value");
  const key = JSON.stringify([job.stage, job.stopping]);
  if (key !== drawnJob) {
    drawnJob = key;
    const held = find(".job .actions").contains(document.activeElement);
    find(".job .actions").replaceChildren(...(sendingNow ? [] : actionsOf(job)));
    if (held) (find(".job .actions button:not(:disabled)") ?? find(".choose")).focus();
    announce(`${heading}. ${find(".job .detail").textContent}`);
  }
  drawSkipped(job);
};

const drawSkipped = ({ skipped, unread }) => {
  const box = find(".job .skipped");
  box.hidden = !unread;
  if (!unread) return;
  box.querySelector("summary").textContent = `${unread.toLocaleString("en")} not read`;
  const items = skipped.map(({ source, reason }) =>
    make("li", {}, make("span", { className: "name", textContent: source }), make("span", { className: "reason", textContent: reason })));
  if (unread > skipped.length) items.push(make("li", { textContent: `and ${unread - skipped.length} more` }));
  const list = box.querySelector("ul");
  const said = items.map((item) => item.textContent).join("\n");
  if (list.dataset.said === said) return; // a selection in it is kept
  list.dataset.said = said;
  list.replaceChildren(...items);
};

const watchJob = () => {
  const drop = find(".drop");
  find(".choose").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    const files = [...chooser.files];
    chooser.value = ""; // so that the same file can be chosen again
    send(files);
  });
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    if (entries.some((entry) => entry?.isDirectory)) {
      complain(".adding", { problem: "A folder cannot be dropped; choose the files in it, or use: python app.py ingest FOLDER" });
      return;
    }
    send([...event.dataTransfer.files]);
  });
  const { suffixes, file, files, total } = state.corpus.limits;
  chooser.accept = suffixes.join(",");
  find(".limits").textContent = `${suffixes.join(", ")} in UTF-8; up to ${files} files of ${mebibytes(file)}, ${mebibytes(total)} together. A file with the name of an earlier upload replaces it.`;
};
