// The probe view: begins when it is first shown, and follows the address.
const look = async () => {
  const answer = await ask("probe_look");
  if (answer.problem) {
    find(".banner").hidden = false;
    find(".banner").textContent = answer.problem;
    setTimeout(look, 3000);
    return;
  }
  known.ready = answer.ready;
  find(".banner").hidden = answer.ready;
  find(".banner").textContent = answer.ready ? "" : `${answer.status}. A probe can be started when the model is ready.`;
  if (!known.families.size) drawChoices(answer);
  drawRuns(answer.runs);
  await takeJob(answer);
  if (!answer.ready && !answer.failed) {
    setTimeout(look, 2000);
    return;
  }
  if (!known.report && answer.runs.length) await openReport(place.run || answer.runs[0].run);
};

const readAddress = () => {
  place.run = address().get("run") ?? "";
  place.turn = address().get("turn") ?? "";
};

find(".start form").addEventListener("submit", (event) => {
  event.preventDefault();
  startRun();
});
find(".job .cancel").addEventListener("click", async () => takeJob(await ask("probe_cancel")));
find(".own form").addEventListener("submit", (event) => {
  event.preventDefault();
  scoreWord();
});
find("#probe-turn").addEventListener("change", () => {
  place.turn = find("#probe-turn").value;
  keepAddress(place);
  drawTurn();
});
new ResizeObserver(redrawPlots).observe(find(".plots"));

whenShown(async () => {
  readAddress();
  const wanted = place.turn;
  await Promise.all([look(), loadTurns(wanted)]);
  if (wanted) find(".own").scrollIntoView({ block: "start" });
}, async () => {
  const before = { ...place };
  readAddress();
  if (place.turn && place.turn !== before.turn) await loadTurns(place.turn);
  if (place.run && place.run !== before.run) await openReport(place.run);
  await look();
});
