// One's own prompt: a logged reply scored after the message and after the same with a word changed.
let turns = [];

const turnShown = () => turns.find(({ turn }) => turn === find("#probe-turn").value);

const drawTurn = () => {
  const shown = turnShown();
  find(".own .message").textContent = shown?.message ?? "";
  const words = new Set(shown?.message.match(/[\p{L}\p{N}][\p{L}\p{N}'’-]*/gu) ?? []);
  find("#probe-words").replaceChildren(...[...words].map((value) => make("option", { value })));
  find(".scored").hidden = true;
  find(".own .problem").textContent = "";
};

const loadTurns = async (wanted) => {
  const answer = await ask("probe_turns", wanted);
  find(".own .problem").textContent = answer.problem ?? "";
  turns = answer.turns ?? [];
  find(".own form").hidden = !turns.length;
  find(".own .none").hidden = turns.length > 0 || Boolean(answer.problem);
  find("#probe-turn").replaceChildren(...turns.map(({ turn, excerpt }) => make("option", { value: turn, textContent: excerpt })));
  const there = turns.some(({ turn }) => turn === wanted);
  if (there) find("#probe-turn").value = wanted;
  else if (wanted && !answer.problem) find(".own .problem").textContent = "That reply is not in the log, or is empty; choose another.";
  const said = find(".own .problem").textContent;
  drawTurn();
  find(".own .problem").textContent = said;
};

const differenceRow = (found) => {
  const head = make("th", { scope: "row", textContent: MODE_SHORT[found.mode] });
  if (found.missing) return make("tr", {}, head, make("td", { colSpan: 4, className: "hint", textContent: `not measured: ${found.missing}` }));
  const difference = found.changed - found.original;
  return make("tr", {}, head, ...[found.original, found.changed].map((value) => cell(nats(value), { className: "number" })),
    cell(nats(difference), { className: "number" }), cell(nats(difference / found.tokens.length), { className: "number" }));
};

// Shaded by the difference of each token, in the whole reply against its largest.
const drawTokens = (found, mode) => {
  const { tokens } = found.modes.find((one) => one.mode === mode);
  const sums = found.pieces.map(({ first, last }) => tokens.slice(first, last).reduce((sum, value) => sum + value, 0));
  const most = Math.max(0.01, ...sums.map(Math.abs));
  find(".own .reply").replaceChildren(...found.pieces.map(({ text }, i) => {
    const token = make("span", { className: `piece ${sums[i] < 0 ? "less" : "more"}`, textContent: text, title: `${nats(sums[i])} nats` });
    token.style.setProperty("--share", `${Math.round((60 * Math.abs(sums[i])) / most)}%`);
    return token;
  }));
  for (const choice of element.querySelectorAll(".own .choice button")) choice.setAttribute("aria-pressed", String(choice.dataset.mode === mode));
};

const drawScored = (found) => {
  find(".scored").hidden = false;
  find(".own .changed").replaceChildren("Changed to: ", make("q", { textContent: found.changed }), found.passage ? " The passage that stands in the prompt stays the same." : "");
  const heads = [["Passages"], ["Your message", "number"], ["Changed", "number"], ["Difference", "number"], ["A token", "number"]];
  find(".scored .scroll").replaceChildren(tableOf("Log-probability of the reply, in nats", heads, found.modes.map(differenceRow)));
  const measured = found.modes.filter(({ missing }) => !missing);
  find(".own .choice").replaceChildren(...measured.map(({ mode }) => button(MODE_SHORT[mode], () => drawTokens(found, mode), { data: { mode } })));
  if (measured.length) drawTokens(found, measured[0].mode);
};

const scoreWord = async () => {
  const submit = find(".own [type=submit]");
  submit.disabled = true;
  submit.textContent = "Scoring …";
  const answer = await ask("probe_word", { turn: find("#probe-turn").value, word: find("#probe-word").value, replacement: find("#probe-replacement").value });
  submit.disabled = false;
  submit.textContent = "Score both";
  find(".own .problem").textContent = answer.problem ?? "";
  find(".scored").hidden = true;
  if (answer.found) drawScored(answer.found);
};
