// The chosen chunk in words, and a card for each passage that the model was shown for it.
const passageText = (text, spans) => {
  const nodes = markedText(text, spans);
  if (typeof nodes[0] === "string") nodes[0] = nodes[0].replace(/^\n+/, ""); // between two paragraphs
  return nodes.filter((node) => node !== "");
};

const labelled = (label, text, spans) =>
  make("div", { className: "passage" },
    make("span", { className: "label", textContent: label }),
    make("p", {}, ...passageText(text, spans)));

const titleOf = (card) => card.title.trim() || "Untitled";

const cardOf = (card, index) => {
  const act = (name, text, action) =>
    button(text, action, { className: name, data: { key: `card-${index}-${name}` }, aria: { label: `${text}: passage ${card.rank}` } });
  const heading = make("h3", {},
    make("span", { className: "rank", textContent: `${card.rank}` }),
    make("span", { className: "title", textContent: titleOf(card) }),
    make("span", { className: "word" }));
  const where = make("p", { className: "where" },
    card.source ? make("span", { className: "source", textContent: card.source }) : null,
    card.document ? make("span", { textContent: `characters ${card.start}–${card.end}` }) : null,
    card.distance === null ? null : make("span", { textContent: `distance ${card.distance.toFixed(2)}` }),
    card.pinned ? make("span", { textContent: "pinned" }) : null);
  const context = act("context", "Context", () => openContext(index));
  context.hidden = !card.document;
  const judged = (name, text, verdict) => {
    const made = act(name, text, () => judge(index, verdict));
    made.dataset.verdict = verdict;
    return made;
  };
  const article = make("article", { className: "card", aria: { label: `Passage ${card.rank}: ${titleOf(card)}` } },
    heading, where, make("div", { className: "measures" }),
    labelled("passage", card.text, card.marks.text),
    card.continuation ? labelled("continues", card.continuation, card.marks.continuation) : null,
    make("div", { className: "acts" }, context, judged("useful", "Useful", "useful"), judged("not", "Not useful", "not"),
      act("pin", "Pin", () => trigger("pin", { turn: state.shown.turn, chunk: state.chunk, rank: index })),
      act("without", "Regenerate without", () => regenerateWithout(index))),
    make("p", { className: "problem", aria: { role: "alert" }, hidden: true }));
  article.addEventListener("pointerenter", () => light(index));
  article.addEventListener("pointerleave", () => light(null));
  article.addEventListener("focusin", () => light(index));
  article.addEventListener("focusout", () => light(null));
  return article;
};

// What the card shares with the reply is lit while it is pointed at or has the focus.
const light = (index) => {
  state.lit = index;
  paint();
};

// ----- what was measured

const meter = (share, className = "") => {
  const inner = make("i");
  inner.style.width = `${Math.min(100, 100 * Math.abs(share))}%`;
  return make("span", { className: `meter ${className}`, aria: { hidden: "true" } }, inner);
};

const measuresOf = (effect, most) => {
  const way = direction(effect.shapley);
  const meaning =
    `The average over all orders in which the passages of this chunk can join (Shapley value): this one changed the ` +
    `log-probability of the text by ${signed(effect.shapley)} nats. Leaving it out alone changes it by ${signed(effect.left_out)}.`;
  return [
    make("p", { className: `effect ${way}`, title: meaning },
      make("span", { className: "label", textContent: "effect" }),
      meter((effect.shapley ?? 0) / (2 * most || 1), "from-middle"),
      make("strong", { textContent: `${signed(effect.shapley)} nats` })),
    make("p", { className: "attention", title: "The share of the cross-attention that this passage received." },
      make("span", { className: "label", textContent: "attention" }),
      meter(effect.attention ?? 0),
      make("strong", { textContent: effect.attention === null ? "n/a" : percent(effect.attention) }),
      make("span", { className: "hint", textContent: "where it looked, not what it changed" })),
  ];
};

const fillCard = (article, index, effect, most) => {
  const card = state.shown.chunks[state.chunk].cards[index];
  const word = article.querySelector(".word");
  const measures = article.querySelector(".measures");
  word.textContent = effect?.word ?? "";
  word.dataset.word = word.textContent;
  const words = pendingWords();
  if (effect) measures.replaceChildren(...measuresOf(effect, most));
  else measures.replaceChildren(...(words ? [make("p", { className: "effect", textContent: words })] : []));
  for (const node of article.querySelectorAll("[data-verdict]"))
    node.setAttribute("aria-pressed", String(node.dataset.verdict === card.verdict));
};

const pendingWords = () => {
  const known = measured.get(state.shown.turn);
  if (known?.pending) return "effect: measuring …";
  return known?.problem ? "effect: n/a" : "";
};

const gainWords = (effect) => {
  const these = state.shown.chunks[state.chunk].cards.length === 1 ? "This passage" : "These passages";
  const random = effect.random;
  return [
    `${these} ${madeLikelier(effect.gain, "this text")}: log p ${plainNumber(effect.on)} with, ${plainNumber(effect.off)} without.`,
    random ? `One random passage instead: ${signed(random[0])} to ${signed(random[1])} nats.` : "",
  ].join(" ").trim();
};

const fillChunk = () => {
  const effects = effectsOf()?.chunks;
  const effect = effects?.[state.chunk];
  const chunk = state.shown.chunks[state.chunk];
  const most = Math.max(...(effects ?? []).flatMap((e) => (e?.cards ?? []).map((card) => Math.abs(card.shapley ?? 0))));
  part("gain").textContent = effect && chunk?.cards.length ? gainWords(effect) : "";
  [...part("cards").querySelectorAll(".card")].forEach((node, i) => fillCard(node, i, effect?.cards[i], most));
};

// ----- the chosen chunk

const drawChunk = () => {
  const { shown } = state;
  const chunk = shown.chunks[state.chunk];
  const query = part("query");
  state.lit = null;
  part("caption").setAttribute("aria-live", shown.running ? "off" : "polite"); // not chunk by chunk
  query.hidden = !chunk?.query.trim() || !chunk.cards.length;
  query.querySelector("p").textContent = chunk?.query ?? "";
  part("origin").textContent = chunk?.origin ?? "";
  if (!chunk) {
    part("caption").textContent = shown.running ? "" : "The reply ended before its first chunk.";
    part("gain").textContent = "";
    part("cards").replaceChildren();
    return;
  }
  const length = chunk.tokens ? ` · ${counted(chunk.tokens, "token")}` : "";
  part("caption").textContent = `Chunk ${state.chunk + 1} of ${shown.chunks.length}${shown.running ? "" : length}`;
  const nodes = chunk.cards.map(cardOf);
  if (chunk.absence) nodes.push(make("p", { className: "absence", textContent: chunk.absence }));
  if (chunk.cards.some((card) => card.copied.length))
    nodes.push(make("p", { className: "hint" }, make("mark", { textContent: "Marked" }),
      ": three or more words in a row that this part of the reply shares with the passage."));
  keepFocus(() => part("cards").replaceChildren(...nodes));
  fillChunk();
};

// Nodes that are drawn anew keep the focus by their key.
const keepFocus = (redraw) => {
  const { activeElement } = document;
  const key = element.contains(activeElement) ? activeElement.dataset.key : null;
  redraw();
  if (key && !activeElement.isConnected) element.querySelector(`[data-key="${key}"]`)?.focus({ preventScroll: true });
};

// ----- judging

const judge = async (index, verdict) => {
  const { turn, chunks } = state.shown;
  const place = state.chunk;
  const card = chunks[place].cards[index];
  const before = card.verdict;
  card.verdict = before === verdict ? null : verdict;
  fillChunk();
  const answer = await ask("judge", turn, place, index, card.verdict);
  if (answer.problem) card.verdict = before;
  if (state.shown.turn !== turn || state.chunk !== place) return;
  fillChunk();
  const problem = part("cards").querySelectorAll(".card")[index]?.querySelector(".problem");
  if (!problem) return;
  problem.hidden = !answer.problem;
  problem.textContent = answer.problem ? `Not saved: ${answer.problem}` : "";
};
