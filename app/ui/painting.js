// The reply in the transcript: which chunk is under the pointer, and what is lit in it. Nothing in
// the transcript's own nodes is changed: ranges of it are painted by the Custom Highlight API.
const CHAT = "#chat";
const PAINTS = ["chosen-chunk", "copied-words", "card-words", "found-words", "chosen-token"];

const replies = () => [...document.querySelectorAll(`${CHAT} [data-testid="bot"]`)];
const turns = () => props.value?.turns ?? [];
const sample = () => element.querySelector(".sample .reply"); // the text of the stored example

const replyElement = () => {
  if (props.value?.example) return sample();
  const place = turns().indexOf(state.shown?.turn);
  return place < 0 ? null : (replies()[place] ?? null);
};
const replyUnder = (target) => target.closest?.(`${CHAT} [data-testid="bot"], .inspector .sample .reply`);

// The span of a chunk in code points; the last one of a reply that is being written has no end yet.
const chunkSpan = (index) => {
  const { chunks, running } = state.shown;
  const { start, end } = chunks[index];
  return [start, running && index === chunks.length - 1 ? Infinity : end];
};
const spanInUnits = ([start, end]) =>
  [units(state.shown.text, start), end === Infinity ? end : units(state.shown.text, end)];

// Ranges of the transcript for spans of the reply.
const rangesOf = (spans) => {
  const box = replyElement();
  const offset = box ? offsetIn(box, state.shown.text) : null;
  if (offset === null) return [];
  const ranges = spans.map(spanInUnits).map(([from, to]) => (to > from ? rangeIn(box, offset + from, offset + to) : null));
  return ranges.filter(Boolean);
};

const paint = () => {
  if (!CSS.highlights) return; // the ribbon does without
  const spans = {};
  const { shown } = state;
  const chunk = shown?.chunks[state.chunk];
  if (chunk) {
    spans["chosen-chunk"] = shown.chunks.length > 1 ? [chunkSpan(state.chunk)] : [];
    spans["copied-words"] = chunk.cards.flatMap((card) => card.copied);
    spans["card-words"] = chunk.cards[state.lit]?.copied ?? [];
  }
  const finding = shown?.findings[state.finding];
  if (finding) spans["found-words"] = [[finding.start, finding.end]];
  if (state.token) spans["chosen-token"] = [state.token];
  for (const name of PAINTS) {
    const ranges = spans[name]?.length ? rangesOf(spans[name]) : [];
    if (ranges.length) CSS.highlights.set(name, new Highlight(...ranges));
    else CSS.highlights.delete(name);
  }
};

// Brings a span of the reply into view inside the transcript, without moving the page.
const reveal = (span) => {
  const [range] = rangesOf([span]);
  if (!range || replyElement() === sample()) return;
  let box = replyElement();
  while (box && box.id !== CHAT.slice(1) && box.scrollHeight <= box.clientHeight + 1) box = box.parentElement;
  if (!box) return;
  const [there, seen] = [range.getBoundingClientRect(), box.getBoundingClientRect()];
  if (there.top >= seen.top && there.bottom <= seen.bottom) return;
  const above = Math.max(16, (seen.height - there.height) / 3);
  box.scrollTop += there.top - seen.top - above;
};

// The chunk under the pointer, or null.
const chunkAt = (event) => {
  const box = replyUnder(event.target);
  if (!box || box !== replyElement()) return null;
  const caret = document.caretPositionFromPoint?.(event.clientX, event.clientY);
  if (!caret || !box.contains(caret.offsetNode)) return null;
  const before = document.createRange();
  before.selectNodeContents(box);
  before.setEnd(caret.offsetNode, caret.offset);
  const offset = offsetIn(box, state.shown.text);
  if (offset === null) return null;
  const at = before.toString().length - offset;
  const found = state.shown.chunks.findIndex((_, i) => {
    const [start, end] = spanInUnits(chunkSpan(i));
    return at >= start && at < end;
  });
  return found < 0 ? null : found;
};
