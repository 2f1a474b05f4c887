// The corpus page as a whole: what is there, looked at again while something goes on.
// nodes.js and the corpus_*.js files stand before this file and share its names.
const state = { corpus: { stage: "", job: null }, begun: false, following: false };
const SOON = 500; // milliseconds between two looks while a job or the loading goes on
const LATER = 3000; // where the server did not answer

const drawBanner = () => {
  const { stage, message, done, total } = state.corpus;
  const banner = find(".banner");
  banner.hidden = stage === "ready";
  find(".ready").hidden = stage !== "ready";
  banner.classList.toggle("failed", stage === "failed");
  if (stage === "failed") banner.textContent = `The passages cannot be used: ${message}`;
  if (stage !== "loading") return;
  const percent = total ? ` (${Math.floor((100 * done) / total)} %)` : "";
  banner.textContent = `${message}${percent} … Documents can be searched and added when that is done.`;
};

// Looks once; true if there was an answer.
const look = async () => {
  const before = state.corpus;
  const answer = await ask("corpus_state");
  if (answer.problem) {
    find(".banner").hidden = false;
    find(".banner").textContent = answer.problem;
    return false;
  }
  state.corpus = answer;
  drawBanner();
  if (answer.stage !== "ready") return true;
  if (!state.begun) begin();
  else if (before.documents !== answer.documents || before.passages !== answer.passages || (before.job?.running && !answer.job?.running)) {
    listDocuments();
    if (hits.answer) searchIndex();
  }
  drawJob();
  return true;
};

const goingOn = () => state.corpus.stage === "loading" || Boolean(state.corpus.job?.running);

const follow = async () => {
  if (state.following) return;
  state.following = true;
  while (element.isConnected) {
    const answered = await look();
    if (answered && !goingOn()) break;
    await new Promise((resolve) => setTimeout(resolve, answered ? SOON : LATER));
  }
  state.following = false;
};

const begin = () => {
  state.begun = true;
  watchList();
  watchSearch();
  watchJob();
  watchDocument();
  watchQuestion();
  const id = whole(address().get("document"));
  const passage = whole(address().get("passage"));
  const listed = listDocuments();
  // after the list, which would take away the words that the document is gone
  if (id !== null) listed.then(() => openDocument(id, passage === null ? null : passage - 1));
};

window.retroscopeCorpus?.abort(); // listeners of an earlier page on the same document
const ending = new AbortController();
window.retroscopeCorpus = ending;
document.addEventListener("visibilitychange", () => document.hidden || follow(), { signal: ending.signal });
for (const name of ["dragover", "drop"]) // a file that is dropped beside the zone shall not replace the page
  document.addEventListener(name, (event) => event.preventDefault(), { signal: ending.signal });

follow();
