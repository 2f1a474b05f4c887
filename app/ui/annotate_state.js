// The queue view: what it knows, one action after another, and taking back. view.js, kept.js and
// places.js stand before this file; annotate.js, the last one, begins. Offsets are code points.
const BLIND = "retroscope-blind";
const UNDOABLE = 100;
const SEVERITIES = { 1: "slight", 2: "clear", 3: "grave" };

// `asked` is the reply that the address named, "" for the queue's next. `current` is the key of the
// finding or mark in focus, `chosen` the span that the next mark is for, `showing` counts what was
// shown, `noting` is {id, text} while a note is written, `previous` the reply that was left last.
const state = {
  reply: null, asked: null, labels: [], current: null, chosen: null, severity: 2, showing: 0, noting: null,
  previous: null, loading: false,
};
const labelOf = (code) => state.labels.find((label) => label.code === code);

const isBlind = () => kept(BLIND) === "yes";

const announce = (text) => {
  find(".annotate > .said").textContent = text;
};
// Says why something was not done; whether it was not.
const complain = (answer) => {
  find(".annotate > .problem").textContent = answer.problem ?? "";
  return Boolean(answer.problem);
};
const send = (name, fields = {}) => ask(name, { annotator: kept(ANNOTATOR), ...fields });
const sendHere = (name, fields = {}) => send(name, { turn: state.reply.turn, ...fields });

// One action after another, however fast the keys come. What was pressed for one reply is not done
// to the next, and nothing is done while that is on its way.
let last = Promise.resolve();
const act = (doing) => {
  const { showing, loading } = state;
  if (loading) return last;
  const run = () => (showing === state.showing && state.reply ? doing() : null);
  last = last.then(run).catch((error) => console.error(error));
  return last;
};

// ----- taking back

const undoable = []; // newest last: {turn, what, back}
const remember = (what, back) => {
  undoable.push({ turn: state.reply.turn, what, back });
  undoable.splice(0, undoable.length - UNDOABLE);
  drawUndo();
};
const newestUndoable = () => undoable.findLastIndex(({ turn }) => turn === state.reply?.turn);
const drawUndo = () => {
  const at = newestUndoable();
  find(".undo").disabled = at < 0;
  find(".undo").title = at < 0 ? "" : `Take back: ${undoable[at].what}`;
};
const undo = () =>
  act(async () => {
    const at = newestUndoable();
    if (at < 0) return announce("There is nothing to take back in this reply.");
    const [{ what, back }] = undoable.splice(at, 1);
    const problem = complain(await back());
    drawUndo();
    if (!problem) announce(`Taken back: ${what}.`);
  });

// ----- what can be in focus

const findingKey = (finding) => `finding-${finding.id}`;
const markKey = (mark) => `mark-${mark.id}`;
const inOrder = (marks) => [...marks].sort((a, b) => a.start - b.start || a.end - b.end || (a.id < b.id ? -1 : 1));

// Findings, one's own marks and those of others, in the order of the lists beside the reply.
const items = () => {
  if (!state.reply) return [];
  const { findings, annotations } = state.reply;
  const [mine, others] = [annotations.filter(({ mine }) => mine), annotations.filter(({ mine }) => !mine)];
  return [
    ...findings.map((finding) => ({ key: findingKey(finding), kind: "finding", of: finding })),
    ...inOrder(mine).map((mark) => ({ key: markKey(mark), kind: "mine", of: mark })),
    ...inOrder(others).map((mark) => ({ key: markKey(mark), kind: "other", of: mark })),
  ].map((item, index) => ({ ...item, number: index + 1 }));
};
const currentItem = () => items().find(({ key }) => key === state.current) ?? null;
const currentMark = () => {
  const item = currentItem();
  return item?.kind === "mine" ? item.of : null;
};
const length = () => [...state.reply.text].length;
const isWhole = ({ start, end }) => start === 0 && end >= length();
const excerpt = (text, most = 80) => {
  const points = [...text.trim().replace(/\s+/g, " ")];
  return points.length > most ? `${points.slice(0, most - 1).join("").trimEnd()}…` : points.join("");
};
const wordsOf = (item) => (isWhole(item) ? "the whole reply" : item.quote.trim() ? `“${excerpt(item.quote)}”` : "no words");

// Nodes that are drawn anew keep the browser's focus by their key; that takes nothing into focus.
let refocusing = false;
const keepFocus = (redraw) => {
  const { activeElement } = document;
  const key = element.contains(activeElement) ? activeElement.dataset.key : null;
  redraw();
  refocusing = true;
  if (key && !activeElement.isConnected) find(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  refocusing = false;
};
