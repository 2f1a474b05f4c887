// The runs page: what is answering, and presets. nodes.js, card.js, presets.js and preview.js
// stand before this file and share its names.
const LOOK_EVERY = 1000; // milliseconds, while the model is loading

form.addEventListener("input", (event) => {
  if (event.target === sample) return askPreview();
  if (event.target.id === "compare-with") return drawComparison();
  if (event.target.id === "preset-name") showProblems({ name: "" });
  typed();
});
form.addEventListener("submit", (event) => event.preventDefault());
inForm("#preset-name").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  if (isOwn(state.chosen)) saveNew();
  else if (!change.disabled) saveChanges();
});
inForm(".reset").addEventListener("click", () => {
  state.inputs.template.value = state.answer.template;
  typed();
  state.inputs.template.focus();
});

const follow = async () => {
  let stage = "";
  while (element.isConnected && (stage === "" || stage === "loading")) {
    try {
      const card = await server.describe_model(null);
      if (stage === "loading" && card.stage === "ready") askPreview();
      stage = card.stage;
      drawCard(card);
    } catch {
      // the application does not answer at the moment; ask again
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY));
  }
};

const begin = async () => {
  state.answer = await server.preset_look(null);
  waiting.earlier = state.answer.earlier;
  for (const name of Object.keys(state.drafts)) if (!presetOf(name)) delete state.drafts[name];
  buildFields();
  choose(state.answer.preferred);
  if (state.answer.problems) showProblems(state.answer.problems);
  form.hidden = false;
};

follow();
begin();
