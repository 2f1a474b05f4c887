// The queue view: the reply as plain text, one text node. Lines under it show where findings and
// marks are; the words of the one in focus, and the chosen words, are painted by highlights.
const LANES = 5;
const LANE = 6; // pixels
const paper = find(".paper");
const replyBox = find(".paper .reply");
const scroller = find(".scroller");
const text = { words: [], sentences: [], cursor: null, hovered: null };

const unitsOf = ({ start, end }) => [units(state.reply.text, start), units(state.reply.text, end)];
const rangeOf = (span) => {
  const [start, end] = unitsOf(span);
  return end > start ? rangeIn(replyBox, start, end) : null;
};

// ----- drawing

const drawText = () => {
  if (replyBox.textContent !== state.reply.text) replyBox.textContent = state.reply.text;
  const words = [];
  for (const { segment, index, isWordLike } of new Intl.Segmenter("en", { granularity: "word" }).segment(state.reply.text)) {
    if (!segment.trim()) continue;
    const [before, end] = [words.at(-1), index + segment.length];
    if (before && before.end === index && !isWordLike && !before.isWord) before.end = end; // a run of signs
    else words.push({ start: index, end, isWord: isWordLike });
  }
  text.words = words;
  text.sentences = [];
  let first = 0;
  for (const { segment, index } of new Intl.Segmenter("en", { granularity: "sentence" }).segment(state.reply.text)) {
    let past = first;
    while (past < words.length && words[past].start < index + segment.length) past += 1;
    if (past > first) text.sentences.push({ first, last: past - 1 });
    first = past;
  }
  text.cursor = null;
};

// The lane of each span, so that no two in a lane overlap.
const lanesOf = (spans) => {
  const ends = [];
  return spans
    .map((span, index) => ({ ...span, index }))
    .sort((a, b) => a.start - b.start || b.end - a.end)
    .map((span) => {
      const free = ends.findIndex((end) => end <= span.start);
      const lane = free < 0 ? ends.length : free;
      ends[lane] = span.end;
      return { ...span, lane: Math.min(lane, LANES - 1) };
    });
};

// The boxes of a span, one for each line of text: a space at the end of a line has its own.
const boxesOf = (span) => {
  const boxes = [];
  for (const { left, right, bottom } of rangeOf(span)?.getClientRects() ?? []) {
    const before = boxes.at(-1);
    if (before && Math.abs(before.bottom - bottom) < 4 && left < before.right + 2) before.right = Math.max(before.right, right);
    else if (right - left > 1) boxes.push({ left, right, bottom });
  }
  return boxes;
};

const drawLines = () => {
  if (!state.reply || !isShown()) return;
  const spans = items()
    .filter(({ of }) => of.end > of.start && !isWhole(of))
    .map(({ key, kind, number, of }) => ({ key, number, look: kind === "finding" ? `finding ${of.severity}` : kind, start: of.start, end: of.end }));
  const laid = lanesOf(spans);
  const lanes = laid.reduce((most, { lane }) => Math.max(most, lane + 1), 1);
  paper.style.setProperty("--lanes", lanes);
  const box = paper.getBoundingClientRect();
  const nodes = laid.flatMap(({ key, number, look, lane, ...span }) => {
    return boxesOf(span).map(({ left, right, bottom }, i) => {
      const line = make("i", { className: look, data: { of: key, ...(i ? {} : { number }) } });
      line.style.left = `${left - box.left}px`;
      line.style.top = `${bottom - box.top + lane * LANE}px`;
      line.style.width = `${right - left}px`;
      return line;
    });
  });
  find(".paper .lines").replaceChildren(...nodes);
};

const setPaint = (name, span) => {
  const range = span && !isWhole(span) ? rangeOf(span) : null;
  if (range) CSS.highlights?.set(name, new Highlight(range));
  else CSS.highlights?.delete(name);
};
const paint = () => {
  const lit = state.reply && (text.hovered ?? currentItem()?.of ?? null);
  paper.classList.toggle("lit", Boolean(lit && length() && isWhole(lit)));
  setPaint("annotate-lit", lit);
  setPaint("annotate-chosen", state.reply && state.chosen);
};
const light = (span) => {
  text.hovered = span;
  paint();
};

// Whether the reply scrolls by itself, beside the lists: not so on a phone.
const isApart = () => getComputedStyle(scroller).overflowY === "auto";

// Brings words into view without moving the focus.
const reveal = (span) => {
  const range = rangeOf(span);
  if (!range) return;
  const there = range.getBoundingClientRect();
  const seen = isApart() ? scroller.getBoundingClientRect() : { top: 0, bottom: window.innerHeight - find(".desk").offsetHeight, height: window.innerHeight };
  if (there.top >= seen.top + 8 && there.bottom <= seen.bottom - 8) return;
  const by = there.top - seen.top - Math.max(24, (seen.height - there.height) / 3);
  if (isApart()) scroller.scrollTop += by;
  else window.scrollBy(0, by);
};

// ----- choosing words

const choose = (span) => {
  state.chosen = span;
  paint();
  drawTarget();
};
const letGo = () => {
  if (state.chosen) announce("No words are chosen.");
  if (replyBox.contains(document.getSelection().anchorNode)) document.getSelection().removeAllRanges();
  choose(null);
};
const spanOf = (from, to) => {
  const raw = state.reply.text.slice(from, to);
  if (!raw.trim()) return null;
  const start = from + raw.length - raw.trimStart().length;
  return { start: points(state.reply.text, start), end: points(state.reply.text, start + raw.trim().length) };
};

document.addEventListener("selectionchange", () => {
  if (!isShown() || !state.reply || !element.isConnected) return;
  const picked = document.getSelection();
  if (!picked.rangeCount || !replyBox.contains(picked.anchorNode)) return;
  const span = picked.isCollapsed ? null : spanOf(...placeOf(replyBox, picked.getRangeAt(0)));
  if (span?.start === state.chosen?.start && span?.end === state.chosen?.end) return;
  if (span) {
    const [from, to] = unitsOf(span);
    const last = text.words.findLastIndex(({ start }) => start < to);
    text.cursor = { from: text.words.findIndex(({ end }) => end > from), to: last };
  }
  choose(span);
});

// The words from one end of the cursor to the other.
const chooseWords = (from, to) => {
  if (!text.words.length) return;
  text.cursor = { from, to };
  const [first, final] = [text.words[Math.min(from, to)], text.words[Math.max(from, to)]];
  const [base, extent] = to < from ? [final.end, first.start] : [first.start, final.end];
  const node = replyBox.firstChild;
  document.getSelection().setBaseAndExtent(node, base, node, extent);
  const span = spanOf(first.start, final.end);
  choose(span);
  reveal(span);
  announce(`Chosen: ${excerpt(state.reply.text.slice(first.start, final.end), 160)}`);
};

const stepWords = (to, extend) => {
  const at = Math.min(Math.max(to, 0), text.words.length - 1);
  chooseWords(extend && state.chosen && text.cursor ? text.cursor.from : at, at);
};
const stepSentences = (step, extend) => {
  const { sentences, cursor } = text;
  const at = cursor ? sentences.findIndex(({ last }) => last >= cursor.to) : -1;
  if (extend && cursor && state.chosen) {
    const to = step > 0 ? sentences.find(({ last }) => last > cursor.to)?.last : sentences.findLast(({ first }) => first < cursor.to)?.first;
    return chooseWords(cursor.from, to ?? cursor.to);
  }
  const here = sentences[at];
  const onIt = here && state.chosen && Math.min(cursor.from, cursor.to) === here.first && Math.max(cursor.from, cursor.to) === here.last;
  const next = sentences[Math.min(Math.max(here && !onIt ? at : at + step, 0), sentences.length - 1)];
  return next && chooseWords(next.first, next.last);
};

replyBox.addEventListener("keydown", (event) => {
  if (!state.reply || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = text.cursor?.to ?? -1;
  const moves = {
    ArrowRight: () => stepWords(at + 1, event.shiftKey),
    ArrowLeft: () => stepWords(at < 0 ? 0 : at - 1, event.shiftKey),
    Home: () => stepWords(0, event.shiftKey),
    End: () => stepWords(text.words.length - 1, event.shiftKey),
    ArrowDown: () => stepSentences(1, event.shiftKey),
    ArrowUp: () => stepSentences(-1, event.shiftKey),
  };
  if (!moves[event.key]) return;
  event.preventDefault();
  moves[event.key]();
});

// A click on words takes the finding or mark there into focus; another click the next one there.
replyBox.addEventListener("click", () => {
  const picked = document.getSelection();
  if (!state.reply || !picked.isCollapsed || !replyBox.contains(picked.anchorNode)) return;
  const at = points(state.reply.text, picked.anchorOffset);
  const there = items().filter(({ of }) => of.start <= at && at < of.end && !isWhole(of));
  there.sort((a, b) => a.of.end - a.of.start - (b.of.end - b.of.start));
  if (there.length) goTo(there[(there.findIndex(({ key }) => key === state.current) + 1) % there.length].key);
});

let drawnWidth = 0;
new ResizeObserver(() => {
  if (paper.clientWidth === drawnWidth) return;
  drawnWidth = paper.clientWidth;
  drawLines();
}).observe(paper);
