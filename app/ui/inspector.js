// The inspector: which passages the model was shown for each chunk of a reply, and what they
// changed. The value is {conversation, turns, shown, example}; `shown` comes from payload.py, with
// offsets in code points. inspector.py puts the parts of this script before it: they share names.
// Titles, passages and replies are untrusted text, so nodes are built, never HTML strings.
const part = (name) => element.querySelector(`.report .${name}`);
const panel = (name) => element.querySelector(`#inspector-${name}`);
const tabOf = (name) => element.querySelector(`#inspector-${name}-tab`);
const TABS = ["chunks", "tokens", "findings", "raw"];
const HOVER_MILLISECONDS = 120;
const MEASURE_MILLISECONDS = 150; // after a reply is shown: one that is only passed is not measured
// `lit` is the card that is pointed at, `finding` the one that is shown in the reply (indices), and
// `token` the span of the one that is pointed at.
const state = { shown: null, chunk: 0, pinned: false, request: 0, tab: "chunks", lit: null, finding: null, token: null };
const measured = new Map(); // by turn: {pending}, {error}, or what measured.py says

window.retroscopeInspector?.abort(); // listeners of an earlier inspector on the same document
const ending = new AbortController();
window.retroscopeInspector = ending;
const on = (target, event, listener, capture = false) =>
  target.addEventListener(event, listener, { signal: ending.signal, capture });

// An answer of the server, {problem} if there is none.
const ask = async (name, ...given) => {
  try {
    return await server[name](...given);
  } catch {
    return { problem: "the application did not answer; see whether it is still running" };
  }
};

// ----- what was measured

const effectsOf = () => {
  const known = measured.get(state.shown?.turn);
  return known && !known.pending && !known.problem ? known : null;
};

const measurable = (shown) => shown && !shown.running && shown.chunks.some((chunk) => chunk.cards.length);

let waiting = 0;
const measureSoon = () => {
  clearTimeout(waiting);
  if (measurable(state.shown) && !measured.has(state.shown.turn)) waiting = setTimeout(measure, MEASURE_MILLISECONDS);
};

const measure = async () => {
  const { turn } = state.shown;
  measured.set(turn, { pending: true });
  drawEffects();
  measured.set(turn, await ask("measure", turn));
  if (state.shown?.turn === turn) drawEffects();
};

const totalWords = () => {
  const known = measured.get(state.shown.turn);
  if (!measurable(state.shown) || !known) return "";
  if (known.pending) return "Measuring what the passages changed …";
  if (known.problem) return `Effect: n/a (${known.problem})`;
  return `All passages together ${madeLikelier(known.gain, "this reply")}.`;
};

const drawEffects = () => {
  const words = totalWords();
  const total = part("total").querySelector("p");
  if (total.textContent !== words) total.textContent = words;
  part("total").hidden = !words;
  part("measure").hidden = !measured.get(state.shown.turn)?.problem;
  drawRibbon();
  fillChunk();
  if (state.tab === "tokens") colourTokens();
};

// ----- drawing

const drawHeader = () => {
  const { shown } = state;
  const example = props.value?.example;
  const place = turns().indexOf(shown.turn);
  const facts = [...shown.facts, shown.version].filter(Boolean).join(" · ");
  part("title").textContent = example ? example.label : turns().length > 1 ? `Reply ${place + 1} of ${turns().length}` : "Reply";
  part("ending").textContent = shown.ending;
  part("facts").textContent = facts;
  part("steps").hidden = turns().length < 2;
  part("earlier").disabled = place <= 0;
  part("later").disabled = place < 0 || place >= turns().length - 1;
  part("sample").hidden = !example;
  part("sample").querySelector(".asked").textContent = example?.message ?? "";
  const reply = example ? shown.text.trim() : "";
  if (sample().textContent !== reply) sample().textContent = reply;
};

const drawTabs = () => {
  for (const name of TABS) {
    const chosen = name === state.tab;
    tabOf(name).setAttribute("aria-selected", String(chosen));
    tabOf(name).tabIndex = chosen ? 0 : -1;
    panel(name).hidden = !chosen;
  }
};

const drawTab = () => {
  if (state.tab === "tokens") openTokens();
  if (state.tab === "raw") openRaw();
};

const draw = () => {
  const { shown } = state;
  element.querySelector(".welcome").hidden = Boolean(shown);
  element.querySelector(".report").hidden = !shown;
  if (shown) {
    drawHeader();
    drawChunk();
    drawEffects();
    drawFindings();
    drawTab();
    part("prompt").hidden = !shown.prompt_passage;
    part("prompt").querySelector("p").textContent = shown.prompt_passage;
    for (const node of part("again").querySelectorAll("button")) node.disabled = shown.running;
  }
  paint();
};

// ----- choosing

// Chooses a chunk; by hand unless the pointer only passes over it.
const choose = (index, byHand = true) => {
  const last = (state.shown?.chunks.length ?? 0) - 1;
  if (last < 0) return;
  state.pinned = state.pinned || byHand;
  state.chunk = Math.min(Math.max(index, 0), last);
  markChosen();
  drawChunk();
  if (state.tab === "tokens") markTokenChunk();
  paint();
  if (!byHand) return;
  reveal(chunkSpan(state.chunk));
  address();
};

const openTab = (name, focus = false) => {
  const inside = panel(state.tab).contains(document.activeElement);
  state.tab = name;
  if (name !== "tokens") state.token = null;
  if (name !== "findings") state.finding = null;
  drawTabs();
  drawTab();
  markFinding();
  paint();
  if (focus || inside) tabOf(name).focus();
};

// The address of the shown reply; a chunk is named once it was chosen by hand.
const link = (chunk = state.pinned) => {
  const url = new URL(window.location.href);
  const named = { turn: state.shown?.turn, chunk: chunk && state.shown?.chunks.length ? state.chunk + 1 : null };
  if (!turns().includes(named.turn)) named.turn = named.chunk = null; // the example has no address
  url.searchParams.delete("conversation"); // in addresses of old
  for (const [name, value] of Object.entries(named))
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  return url;
};

const address = () => {
  if (!props.value) return; // the page has not read its address yet
  const url = link();
  if (url.href !== window.location.href) window.history.replaceState(window.history.state, "", url);
};

// The chunk that the page's address names, until a reply is shown.
let arrival = new URL(window.location.href).searchParams;
const arrive = (shown) => {
  const chunk = arrival?.get("turn") === shown.turn ? Number.parseInt(arrival.get("chunk"), 10) : NaN;
  arrival = null;
  if (!(chunk >= 1 && shown.chunks.length)) return;
  Object.assign(state, { chunk: Math.min(chunk, shown.chunks.length) - 1, pinned: true });
  setTimeout(() => state.shown?.turn === shown.turn && reveal(chunkSpan(state.chunk)), 600); // the transcript scrolls to its end first
};

const take = (shown) => {
  const same = shown && state.shown?.turn === shown.turn;
  const following = same && shown.running && !state.pinned;
  if (!same) Object.assign(state, { chunk: 0, pinned: false, lit: null, finding: null, token: null });
  state.shown = shown;
  state.request += 1;
  if (following) state.chunk = Math.max(0, shown.chunks.length - 1);
  if (shown && arrival) arrive(shown);
  draw();
  address();
  measureSoon();
};

const openReply = async (place) => {
  const turn = turns()[place];
  if (!turn || turn === state.shown?.turn) return;
  const request = (state.request += 1);
  const shown = await ask("inspect", turn);
  if (request !== state.request) return; // another reply was opened meanwhile
  if (shown.measured) measured.set(turn, shown.measured);
  if (shown.problem) part("ending").textContent = shown.problem;
  else take(shown);
};

// ----- keys and the pointer

const walk = (event, at, last, go) => {
  const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last };
  if (!(event.key in moves)) return;
  event.preventDefault();
  go(Math.min(Math.max(moves[event.key], 0), last));
};

const cardInFocus = () => {
  const cards = [...part("cards").querySelectorAll(".card")];
  return Math.max(0, cards.findIndex((card) => card.contains(document.activeElement)));
};

const release = () => {
  Object.assign(state, { pinned: false, finding: null });
  markFinding();
  paint();
  address();
};

const KEYS = {
  "[": () => choose(state.chunk - 1),
  "]": () => choose(state.chunk + 1),
  c: () => openContext(cardInFocus()),
  w: () => regenerateWithout(cardInFocus()),
  "?": () => dialogOf("keys").showModal(),
  Escape: release,
  ...Object.fromEntries(TABS.map((name, i) => [`${i + 1}`, () => openTab(name)])),
};

on(document, "keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable='true']");
  if (typing || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !state.shown || anyOpen()) return;
  if (!(event.key in KEYS)) return;
  KEYS[event.key]();
  if (event.key !== "Escape") event.preventDefault();
});

on(document, "click", (event) => {
  const box = replyUnder(event.target);
  if (!box) return;
  const index = chunkAt(event);
  if (index === null) openReply(replies().indexOf(box));
  else choose(index);
});

let hover = 0;
on(document, "mousemove", (event) => {
  clearTimeout(hover);
  if (state.pinned || event.buttons || !replyUnder(event.target)) return;
  hover = setTimeout(() => {
    const index = chunkAt(event);
    if (index !== null && index !== state.chunk) choose(index, false);
  }, HOVER_MILLISECONDS);
});

for (const name of TABS) on(tabOf(name), "click", () => openTab(name));
on(part("tabs"), "keydown", (event) =>
  walk(event, TABS.indexOf(state.tab), TABS.length - 1, (index) => openTab(TABS[index], true)));
on(part("ribbon"), "keydown", (event) =>
  walk(event, state.chunk, state.shown.chunks.length - 1, (index) => {
    choose(index);
    part("ribbon").children[index]?.focus();
  }));
on(part("earlier"), "click", () => openReply(turns().indexOf(state.shown.turn) - 1));
on(part("later"), "click", () => openReply(turns().indexOf(state.shown.turn) + 1));
on(part("measure"), "click", measure);
watchTokens();
watchRaw();
watchFindings();
watchDialogs();

let repaint = 0;
const watching = new MutationObserver((changes) => {
  if (changes.every(({ target }) => element.contains(target))) return; // our own drawing
  clearTimeout(repaint);
  repaint = setTimeout(paint, 60);
});
watching.observe(document.body, { childList: true, subtree: true, characterData: true });
ending.signal.addEventListener("abort", () => watching.disconnect());

drawTabs();
watch("value", () => take(props.value?.shown ?? null));
take(props.value?.shown ?? null);
