// The queue view: what an annotator does to a reply. Each action is saved before it is shown, and
// can be taken back.
const drawMarks = () => {
  drawItems();
  drawTarget();
  drawLines();
  paint();
};

// Puts an annotation of the server in the place of another, or beside them; makes it the current.
const put = (annotation, insteadOf = null) => {
  const marks = state.reply.annotations.filter(({ id }) => id !== insteadOf && id !== annotation.id);
  const focused = insteadOf && rowOf(`mark-${insteadOf}`)?.contains(document.activeElement) && document.activeElement.dataset.key;
  state.reply.annotations = [...marks, annotation];
  state.current = markKey(annotation);
  if (state.noting?.id === insteadOf && insteadOf) state.noting.id = annotation.id;
  drawMarks();
  if (focused) find(`[data-key="${CSS.escape(focused.replace(insteadOf, annotation.id))}"]`)?.focus({ preventScroll: true });
  if (isApart()) rowOf(state.current)?.scrollIntoView({ block: "nearest" });
};
// Takes a mark out; what stands next to it in the list is the current then.
const drop = (id) => {
  const before = items().map(({ key }) => key);
  const at = before.indexOf(`mark-${id}`);
  state.reply.annotations = state.reply.annotations.filter((mark) => mark.id !== id);
  const left = items().map(({ key }) => key);
  if (state.current === `mark-${id}`) state.current = left[Math.min(at, left.length - 1)] ?? null;
  const inside = find(`[data-key="mark-${CSS.escape(id)}"]`)?.contains(document.activeElement);
  drawMarks();
  if (inside) (rowOf(state.current) ?? replyBox).focus({ preventScroll: true });
};

// Marks the chosen words, or the whole reply, with a label; what is chosen counts when it is pressed.
const mark = (code) => {
  if (!state.reply) return null;
  const span = state.chosen ?? { start: 0, end: length() };
  const quote = slice(state.reply.text, span.start, span.end);
  return act(async () => {
    const title = labelOf(code)?.title ?? code;
    const same = state.reply.annotations.find((a) => a.mine && a.label === code && a.start === span.start && a.end === span.end);
    if (same) {
      goTo(markKey(same));
      return announce(`Already marked as ${title}.`);
    }
    const answer = await sendHere("mark", { label: code, ...span, quote, severity: state.severity, note: "" });
    if (complain(answer)) return;
    const { annotation } = answer;
    letGo();
    state.severity = 2;
    put(annotation);
    remember(`the mark ${title}`, () => takeOut(annotation.id));
    announce(`Marked ${wordsOf(annotation)} as ${title}, severity ${annotation.severity}. 1, 2, 3 change it, n adds a note.`);
  });
};

const takeOut = async (id) => {
  const answer = await send("withdraw", { id });
  if (!answer.problem) drop(id);
  return answer;
};
const putBack = async (id, insteadOf = null) => {
  const answer = await sendHere("restore", { id });
  if (!answer.problem) put(answer.annotation, insteadOf);
  return answer;
};

const withdraw = (id = null) =>
  act(async () => {
    const target = id ? state.reply.annotations.find((mark) => mark.id === id) : currentMark();
    if (!target) return announce("No mark of yours is in focus; j and k move.");
    if (complain(await takeOut(target.id))) return;
    remember(`taking back the mark ${target.title}`, () => putBack(target.id));
    announce(`The mark ${target.title} is taken back; u restores it.`);
  });

const reviseNow = async (id, changes, what) => {
  const old = state.reply.annotations.find((mark) => mark.id === id);
  if (!old || Object.entries(changes).every(([name, value]) => old[name] === value)) return drawMarks();
  const answer = await send("revise", { id, ...changes });
  if (complain(answer)) return null;
  put(answer.annotation, id);
  remember(what, () => putBack(id, answer.annotation.id));
  return announce(`Saved: ${what}.`);
};
const revise = (id, changes, what) => act(() => reviseNow(id, changes, what));

// 1, 2, 3: of the mark in focus, else of the next one; chosen words wait for a next one.
const setSeverity = (severity) =>
  act(async () => {
    const target = state.chosen ? null : currentMark();
    if (target) return reviseNow(target.id, { severity }, `severity ${severity}, ${SEVERITIES[severity]}`);
    state.severity = severity;
    drawTarget();
    announce(`The next mark has severity ${severity}, ${SEVERITIES[severity]}.`);
  });

// ----- notes: what is typed is kept by the browser until it is saved

const DRAFT = "retroscope-note";
const writeNote = (id = null, typed = null) => {
  const target = id ? state.reply?.annotations.find((mark) => mark.id === id) : currentMark();
  if (!target) return announce("No mark of yours is in focus; j and k move.");
  state.noting = { id: target.id, text: typed ?? target.note };
  state.current = markKey(target);
  drawMarks();
  const area = find(".items textarea");
  area.focus();
  area.setSelectionRange(area.value.length, area.value.length);
};
const typeNote = (typed) => {
  state.noting.text = typed;
  keep(DRAFT, JSON.stringify(state.noting));
};
const endNote = (save, focus) => {
  const { noting } = state;
  if (!noting) return;
  state.noting = null;
  drawMarks();
  if (focus) rowOf(markKey(noting))?.focus({ preventScroll: true });
  if (!save) keep(DRAFT, "");
  else revise(noting.id, { note: noting.text.trim() }, "the note").then(() => find(".annotate > .problem").textContent || keep(DRAFT, ""));
};
const resumeNote = () => {
  try {
    const { id, text: typed } = JSON.parse(kept(DRAFT));
    if (state.reply.annotations.some((mark) => mark.mine && mark.id === id)) writeNote(id, String(typed));
  } catch {
    // no note was being written
  }
};

// ----- rulings and verdicts

const applyRuling = async (id, ruling) => {
  const answer = await sendHere("rule", { finding: id, ruling });
  if (answer.problem) return answer;
  state.reply.findings.find((finding) => finding.id === id).ruling = ruling;
  drawMarks();
  return answer;
};

// By key: the finding in focus, and on to the next that waits for a ruling.
const rule = (ruling, id = null) =>
  act(async () => {
    const item = id ? items().find(({ key }) => key === `finding-${id}`) : currentItem();
    if (item?.kind !== "finding") return announce("No finding is in focus; j and k move.");
    const { ruling: before, title } = item.of;
    if (complain(await applyRuling(item.of.id, ruling))) return;
    remember(`${ruling ?? "no ruling"} on the finding ${title}`, async () => {
      const answer = await applyRuling(item.of.id, before);
      if (!answer.problem) goTo(item.key);
      return answer;
    });
    const inside = rowOf(item.key)?.contains(document.activeElement);
    const { findings } = state.reply;
    const at = findings.indexOf(item.of);
    const waiting = [...findings.slice(at + 1), ...findings.slice(0, at)].find((finding) => !finding.ruling);
    const said = ruling ? `${ruling === "accepted" ? "Accepted" : "Rejected"}: ${title}.` : `No ruling: ${title}.`;
    if (id) return announce(said);
    if (waiting) goTo(findingKey(waiting), inside);
    announce(`${said} ${waiting ? `Next: ${waiting.title}.` : "Every finding has a ruling."}`);
  });

const applyVerdict = async (chunk, rank, verdict) => {
  const answer = await sendHere("judge", { chunk, rank, verdict });
  if (answer.problem) return answer;
  state.reply.chunks[chunk].cards[rank].verdict = verdict;
  drawVerdicts();
  return answer;
};
const judge = (chunk, rank, verdict) =>
  act(async () => {
    const card = state.reply.chunks[chunk].cards[rank];
    const { verdict: before } = card;
    const after = before === verdict ? null : verdict;
    if (complain(await applyVerdict(chunk, rank, after))) return;
    remember(`the verdict on passage ${rank + 1} of chunk ${chunk + 1}`, () => applyVerdict(chunk, rank, before));
  });
