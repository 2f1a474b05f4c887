// The queue view: the passages that the model was shown for each chunk, to be judged one by one.
const FEW = 2; // chunks; of a longer reply they are folded
const VERDICTS = { useful: "Useful", not: "Not useful", misleading: "Misleading" };

const passageOf = (card, chunk, rank) => {
  const verdicts = Object.entries(VERDICTS).map(([verdict, words]) =>
    keyed(words, `verdict-${chunk}-${rank}-${verdict}`, "", () => judge(chunk, rank, verdict), { data: { verdict }, aria: { label: `${words}: passage ${rank + 1} of chunk ${chunk + 1}` } }));
  return make("article", { data: { chunk, rank }, aria: { label: `Passage ${card.rank}` } },
    make("p", { className: "head" }, make("strong", { textContent: card.title.trim() || "Untitled" }),
      make("span", { className: "hint", textContent: [card.source, card.distance === null ? "" : `distance ${card.distance.toFixed(2)}`].filter(Boolean).join(" · ") })),
    make("p", { className: "text" }, ...markedText(card.text, card.marks.text),
      card.continuation ? make("span", { className: "continuation" }, ...markedText(card.continuation, card.marks.continuation)) : null),
    make("div", { className: "acts", aria: { role: "group", label: "For answering this message, the passage is" } }, ...verdicts));
};

const chunkOf = (chunk, index, few) => {
  const words = excerpt(slice(state.reply.text, chunk.start, chunk.end), 46);
  const summary = make("summary", { data: { key: `chunk-${index}` } },
    make("strong", { textContent: `Chunk ${index + 1}` }), words ? make("q", { textContent: words }) : "", make("span", { className: "hint judged" }));
  const made = make("details", { open: few, className: "chunk" }, summary,
    chunk.absence ? make("p", { className: "hint", textContent: chunk.absence }) : make("p", { className: "hint", textContent: chunk.origin }),
    ...chunk.cards.map((card, rank) => passageOf(card, index, rank)));
  const span = { start: chunk.start, end: chunk.end };
  for (const [event, lit] of [["pointerenter", span], ["pointerleave", null], ["focusin", span], ["focusout", null]])
    summary.addEventListener(event, () => light(lit));
  return made;
};

const drawPassages = () => {
  const { chunks } = state.reply;
  const total = chunks.reduce((sum, { cards }) => sum + cards.length, 0);
  find(".shown > .hint").textContent = total
    ? "Judge each for answering this message. Marked words stand in the reply as well."
    : "No passage was shown to the model.";
  find(".shown .chunks").replaceChildren(...chunks.map((chunk, index) => chunkOf(chunk, index, chunks.length <= FEW)));
  drawVerdicts();
};

const drawVerdicts = () => {
  const { chunks } = state.reply;
  for (const article of element.querySelectorAll(".shown article")) {
    const { verdict } = chunks[article.dataset.chunk].cards[article.dataset.rank];
    for (const node of article.querySelectorAll("[data-verdict]"))
      node.setAttribute("aria-pressed", String(node.dataset.verdict === verdict));
  }
  chunks.forEach(({ cards }, index) => {
    const judged = cards.filter(({ verdict }) => verdict).length;
    const words = judged ? `${judged} of ${cards.length} judged` : counted(cards.length, "passage");
    element.querySelectorAll(".shown .judged")[index].textContent = words;
  });
};

// [ and ]: unfolds the passages of the chunk before or after the one with the focus.
const stepChunk = (step) => {
  const chunks = [...element.querySelectorAll(".shown details.chunk")];
  if (!chunks.length) return announce("No passage was shown to the model.");
  const at = chunks.findIndex((chunk) => chunk.contains(document.activeElement));
  const next = chunks[at < 0 ? (step > 0 ? 0 : chunks.length - 1) : Math.min(Math.max(at + step, 0), chunks.length - 1)];
  next.open = true;
  (next.querySelector("[data-verdict]") ?? next.querySelector("summary")).focus({ preventScroll: true });
  return next.scrollIntoView({ block: "nearest" });
};
