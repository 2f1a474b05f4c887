// Searching the index as a reply does: what it would be shown, and the candidates of both kinds.
const hits = { answer: null, request: 0 };
const ENDINGS = { one: "st", two: "nd", few: "rd", other: "th" };
const ordinals = new Intl.PluralRules("en", { type: "ordinal" });
const ordinal = (rank) => `${rank}${ENDINGS[ordinals.select(rank)]}`;

const hitOf = (hit, facts, ...texts) => {
  const open = button(titled(hit.title), () => openDocument(hit.document_id, hit.position), { className: "open" });
  const heading = make("div", { className: "heading" }, open);
  if (hit.shown !== null && facts.badge)
    heading.append(make("span", { className: "badge", textContent: `shown ${ordinal(hit.shown)}` }));
  return make("li", { data: { document: hit.document_id } }, heading,
    make("p", { className: "measure", textContent: facts.text }), ...texts);
};

const excerpt = (text, label = "") =>
  make("div", { className: "text" },
    label ? make("span", { className: "label", textContent: label }) : null,
    make("p", { textContent: text }));

const shownOf = (hit) => {
  const near = hit.near === null ? "not among the nearest keys" : `${ordinal(hit.near)} nearest key`;
  const worded = hit.worded === null ? "no word matches" : `${ordinal(hit.worded)} by words`;
  const text = `passage ${hit.position + 1} · distance ${hit.distance.toFixed(3)} · ${near} · ${worded}`;
  return hitOf(hit, { text }, excerpt(hit.text, "passage"), hit.continuation ? excerpt(hit.continuation, "continues") : null);
};
const denseOf = (hit) => hitOf(hit, { badge: true, text: `passage ${hit.position + 1} · distance ${hit.distance.toFixed(3)}` }, excerpt(hit.text));
const lexicalOf = (hit) => hitOf(hit, { badge: true, text: `passage ${hit.position + 1} · BM25 ${hit.score.toFixed(2)}` }, excerpt(hit.text));

const drawHits = () => {
  const { answer } = hits;
  find(".found").hidden = !answer;
  if (!answer) return;
  const { shown, dense, lexical, words, seconds } = answer;
  find(".found .summary").textContent = shown.length
    ? `Searched in ${(1000 * seconds).toFixed(0)} ms.`
    : "Nothing was found: there are no documents, or there is no text to search for.";
  const heading = find(".found h3");
  heading.hidden = !shown.length;
  heading.textContent = shown.length === 1 ? "The model would be shown this passage" : `The model would be shown these ${shown.length} passages`;
  find(".lists").hidden = !shown.length;
  find(".found .words").textContent = words.length
    ? `by BM25; more is better. Words: ${words.join(", ")}`
    : "The text has no word that tells documents apart.";
  find(".found .shown").replaceChildren(...shown.map(shownOf));
  find(".found .dense").replaceChildren(...dense.map(denseOf));
  find(".found .lexical").replaceChildren(...lexical.map(lexicalOf));
};

const searchIndex = async () => {
  const text = find("#corpus-search").value.trim();
  const request = (hits.request += 1);
  if (!text) {
    hits.answer = null;
    complain(".searching", {});
    drawHits();
    return;
  }
  find(".searching form button").disabled = true;
  const answer = await ask("corpus_search", { text });
  if (request !== hits.request) return;
  find(".searching form button").disabled = false;
  hits.answer = complain(".searching", answer) ? null : answer;
  drawHits();
};

// What is found may have changed; a removed document at once, whatever the server then says.
const forgetHits = async (document) => {
  for (const item of element.querySelectorAll(`.found li[data-document="${document}"]`)) item.remove();
  if (hits.answer) await searchIndex();
};

const watchSearch = () => {
  find(".searching form").addEventListener("submit", (event) => {
    event.preventDefault();
    searchIndex();
  });
};
