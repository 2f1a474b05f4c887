// The inspector: which passages the model was shown for each chunk of a reply. The value is
// {conversation, turns, shown}; `shown` comes from payload.py, with offsets in code points.
// places.js stands before this file and shares its names.
// Titles, passages and replies are untrusted text, so nodes are built, never HTML strings.
const part = (name) => element.querySelector(`.${name}`);
const CHAT = "#chat";
const HOVER_MILLISECONDS = 120;
const state = { shown: null, chunk: 0, pinned: false, request: 0 };

window.retroscopeInspector?.abort(); // listeners of an earlier inspector on the same document
const ending = new AbortController();
window.retroscopeInspector = ending;
const on = (target, event, listener, capture = false) =>
  target.addEventListener(event, listener, { signal: ending.signal, capture });

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

// ----- the reply in the transcript

const replies = () => [...document.querySelectorAll(`${CHAT} [data-testid="bot"]`)];
const turns = () => props.value?.turns ?? [];

const replyElement = () => {
  const place = turns().indexOf(state.shown?.turn);
  return place < 0 ? null : (replies()[place] ?? null);
};

const chunkUnits = (chunk, last) => {
  const { text, running } = state.shown;
  return [units(text, chunk.start), running && last ? Infinity : units(text, chunk.end)];
};

const paint = () => {
  if (!CSS.highlights) return; // the ribbon does without
  const painted = { "chosen-chunk": [], "copied-words": [] };
  const box = replyElement();
  const { shown } = state;
  const chunk = shown?.chunks[state.chunk];
  const offset = box && chunk ? offsetIn(box, shown.text) : null;
  if (offset !== null) {
    const add = (name, start, end) => {
      const range = end > start ? rangeIn(box, offset + start, offset + end) : null;
      if (range) painted[name].push(range);
    };
    if (shown.chunks.length > 1) add("chosen-chunk", ...chunkUnits(chunk, state.chunk === shown.chunks.length - 1));
    for (const card of chunk.cards)
      for (const [start, end] of card.copied) add("copied-words", units(shown.text, start), units(shown.text, end));
  }
  for (const [name, ranges] of Object.entries(painted))
    if (ranges.length) CSS.highlights.set(name, new Highlight(...ranges));
    else CSS.highlights.delete(name);
};

// The chunk under the pointer, or null.
const chunkAt = (event) => {
  const box = event.target.closest?.(`${CHAT} [data-testid="bot"]`);
  if (!box || box !== replyElement()) return null;
  const caret = document.caretPositionFromPoint?.(event.clientX, event.clientY);
  if (!caret || !box.contains(caret.offsetNode)) return null;
  const before = document.createRange();
  before.selectNodeContents(box);
  before.setEnd(caret.offsetNode, caret.offset);
  const offset = offsetIn(box, state.shown.text);
  if (offset === null) return null;
  const at = before.toString().length - offset;
  const { chunks } = state.shown;
  const found = chunks.findIndex((chunk, i) => {
    const [start, end] = chunkUnits(chunk, i === chunks.length - 1);
    return at >= start && at < end;
  });
  return found < 0 ? null : found;
};

// ----- drawing

const markedText = (text, spans) => {
  const nodes = [];
  let at = 0;
  for (const [start, end] of spans) {
    nodes.push(slice(text, at, start), make("mark", { textContent: slice(text, start, end) }));
    at = end;
  }
  nodes.push(text.slice(units(text, at)));
  return nodes.filter((node) => node !== "");
};

const labelled = (label, text, spans) =>
  make("div", { className: "passage" },
    make("span", { className: "label", textContent: label }),
    make("p", {}, ...markedText(text, spans)));

const cardOf = (card) => {
  const heading = make("h3", {},
    make("span", { className: "rank", textContent: `${card.rank}` }),
    make("span", { className: "title", textContent: card.title || "Untitled" }));
  const distance = card.distance === null ? "-" : card.distance.toFixed(2);
  const place = `characters ${card.start}-${card.end}`;
  const where = make("p", { className: "where", title: card.source },
    make("span", { textContent: place }), make("span", { textContent: `distance ${distance}` }));
  const article = make("article", { className: "card" }, heading, where, labelled("passage", card.text, card.marks.text));
  if (card.continuation) article.append(labelled("continues", card.continuation, card.marks.continuation));
  article.setAttribute("aria-label", `Passage ${card.rank}: ${card.title}`);
  return article;
};

const findingOf = (finding) => {
  const words = make("p", { textContent: finding.explanation });
  const measure = `${finding.kind} · score ${finding.score}, threshold ${finding.threshold}`;
  const item = make("li", { className: finding.severity }, words);
  if (finding.quote.trim()) item.append(make("blockquote", { textContent: finding.quote }));
  item.append(make("p", { className: "measure", textContent: measure }));
  return item;
};

const drawHeader = () => {
  const { shown } = state;
  const place = turns().indexOf(shown.turn);
  const facts = [...shown.facts, shown.version].filter(Boolean).join(" · ");
  part("title").textContent = turns().length > 1 ? `Reply ${place + 1} of ${turns().length}` : "Reply";
  part("ending").textContent = shown.ending;
  part("facts").textContent = facts;
  part("steps").hidden = turns().length < 2;
  part("earlier").disabled = place <= 0;
  part("later").disabled = place < 0 || place >= turns().length - 1;
};

const drawRibbon = () => {
  const ribbon = part("ribbon");
  const { chunks } = state.shown;
  while (ribbon.children.length > chunks.length) ribbon.lastChild.remove();
  while (ribbon.children.length < chunks.length) {
    const index = ribbon.children.length;
    const button = make("button", { type: "button", textContent: `${index + 1}` });
    button.addEventListener("click", () => choose(index, true));
    ribbon.append(button);
  }
  [...ribbon.children].forEach((button, i) => {
    button.setAttribute("aria-pressed", String(i === state.chunk));
    button.setAttribute("aria-label", `Chunk ${i + 1} of ${chunks.length}, ${chunks[i].cards.length} passages`);
    button.classList.toggle("bare", !chunks[i].cards.length);
  });
};

const drawChunk = () => {
  const { shown } = state;
  const chunk = shown.chunks[state.chunk];
  const cards = part("cards");
  if (!chunk) {
    part("caption").textContent = shown.running ? "" : "The reply ended before its first chunk.";
    cards.replaceChildren();
    return;
  }
  part("caption").textContent = chunk.cards.length
    ? `Chunk ${state.chunk + 1} of ${shown.chunks.length}: passages shown to the model while it wrote this chunk`
    : `Chunk ${state.chunk + 1} of ${shown.chunks.length}`;
  const nodes = chunk.cards.map(cardOf);
  if (chunk.absence) nodes.push(make("p", { className: "absence", textContent: chunk.absence }));
  if (chunk.cards.some((card) => card.copied.length))
    nodes.push(make("p", { className: "hint" }, make("mark", { textContent: "Marked" }),
      ": three or more words in a row that this part of the reply shares with the passage."));
  cards.replaceChildren(...nodes);
};

const draw = () => {
  const { shown } = state;
  part("welcome").hidden = Boolean(shown);
  part("report").hidden = !shown;
  if (shown) {
    drawHeader();
    drawRibbon();
    drawChunk();
    const prompt = part("prompt");
    prompt.hidden = !shown.prompt_passage;
    prompt.querySelector("p").textContent = shown.prompt_passage;
    const found = part("findings");
    found.hidden = !shown.findings.length;
    found.querySelector("ul").replaceChildren(...shown.findings.map(findingOf));
  }
  paint();
};

// ----- choosing

const choose = (index, pin) => {
  const last = (state.shown?.chunks.length ?? 0) - 1;
  if (last < 0) return;
  state.pinned = state.pinned || pin;
  state.chunk = Math.min(Math.max(index, 0), last);
  drawRibbon();
  drawChunk();
  paint();
};

const address = () => {
  if (!props.value) return; // the page has not read its address yet
  const url = new URL(window.location.href);
  for (const [name, id] of [["conversation", props.value?.conversation], ["turn", state.shown?.turn]])
    if (id) url.searchParams.set(name, id);
    else url.searchParams.delete(name);
  if (url.href !== window.location.href) window.history.replaceState(window.history.state, "", url);
};

const take = (shown) => {
  const same = shown && state.shown?.turn === shown.turn;
  const following = same && shown.running && !state.pinned;
  if (!same) Object.assign(state, { chunk: 0, pinned: false });
  state.shown = shown;
  state.request += 1;
  if (following) state.chunk = Math.max(0, shown.chunks.length - 1);
  draw();
  address();
};

const openReply = async (place) => {
  const turn = turns()[place];
  if (!turn || turn === state.shown?.turn) return;
  const request = (state.request += 1);
  const shown = await server.inspect(turn);
  if (request !== state.request) return; // another reply was opened meanwhile
  if (shown) take(shown);
  else part("caption").textContent = "That reply is no longer in the log.";
};

on(part("earlier"), "click", () => openReply(turns().indexOf(state.shown.turn) - 1));
on(part("later"), "click", () => openReply(turns().indexOf(state.shown.turn) + 1));

on(part("ribbon"), "keydown", (event) => {
  const last = state.shown.chunks.length - 1;
  const moves = { ArrowLeft: state.chunk - 1, ArrowRight: state.chunk + 1, Home: 0, End: last };
  if (!(event.key in moves)) return;
  event.preventDefault();
  choose(moves[event.key], true);
  part("ribbon").children[state.chunk]?.focus();
});

on(document, "keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable='true']");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !state.shown) return;
  if (event.key === "[") choose(state.chunk - 1, true);
  else if (event.key === "]") choose(state.chunk + 1, true);
  else if (event.key === "Escape") state.pinned = false;
});

on(document, "click", (event) => {
  const box = event.target.closest?.(`${CHAT} [data-testid="bot"]`);
  if (!box) return;
  const index = chunkAt(event);
  if (index === null) openReply(replies().indexOf(box));
  else choose(index, true);
});

let hover = 0;
on(document, "mousemove", (event) => {
  clearTimeout(hover);
  if (state.pinned || event.buttons || !event.target.closest?.(CHAT)) return;
  hover = setTimeout(() => {
    const index = chunkAt(event);
    if (index !== null && index !== state.chunk) choose(index, false);
  }, HOVER_MILLISECONDS);
});

let repaint = 0;
const watching = new MutationObserver(() => {
  clearTimeout(repaint);
  repaint = setTimeout(paint, 60);
});
watching.observe(document.body, { childList: true, subtree: true, characterData: true });
ending.signal.addEventListener("abort", () => watching.disconnect());

watch("value", () => take(props.value?.shown ?? null));
take(props.value?.shown ?? null);
