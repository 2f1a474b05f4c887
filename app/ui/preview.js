// The prompt of a sample message, as it would be read: pieces, their tokens, the padding in front.
// presets.js stands before. Templates and messages are untrusted text, so nodes are built.
const PAUSE = 80; // milliseconds without a key before the prompt is asked for
const QUIET = 900; // milliseconds without a change before the count is read out
const sample = inForm("#sample");
const waiting = { timer: 0, reader: 0, running: false, again: false, earlier: null };
sample.value = "Why does the Moon have phases?";

const tokenOf = (text, index) => {
  const line = text.includes("\n") ? " line" : "";
  return make("span", { className: `token t${index % 2}${line}`, textContent: text });
};

const pieceOf = (piece, chunk) => {
  const nodes = [];
  if (piece.padding)
    nodes.push(make("li", { className: "padding" },
      make("span", { className: "label", textContent: `${counted(piece.padding, "token")} of padding, so that what follows ends a chunk of ${chunk}` })));
  const text = piece.parts
    ? piece.parts.filter((part) => part !== "").map(tokenOf)
    : [make("span", { className: "token", textContent: piece.text })];
  nodes.push(make("li", { className: "piece" },
    make("span", { className: "label", textContent: `${piece.label}: ${counted(piece.tokens, "token")}` }),
    make("p", {}, ...text)));
  return nodes;
};

const roomOf = (prompt) => {
  const parts = prompt.pieces.flatMap((piece) => [["padding", piece.padding], ["text", piece.tokens]]);
  parts.push(["reply", Math.min(prompt.reply, Math.max(0, prompt.context - prompt.total))], ["free", Math.max(0, prompt.left)]);
  return parts.filter(([, tokens]) => tokens).map(([name, tokens]) => {
    const part = make("span", { className: name });
    part.style.flexGrow = tokens;
    return part;
  });
};

const wordsOf = (prompt) => {
  const of = `Prompt: ${prompt.total.toLocaleString("en")} of ${counted(prompt.context, "token")}, ${prompt.text.toLocaleString("en")} of text and ${prompt.padding.toLocaleString("en")} of padding.`;
  if (prompt.total >= prompt.context) return `${of} It is too long: the model would refuse it.`;
  if (prompt.left < 0) return `${of} A reply of ${prompt.reply} does not fit beside it and would be cut short.`;
  return `${of} A reply of up to ${counted(prompt.reply, "token")} fits beside it.`;
};

const drawPreview = (prompt) => {
  const count = inForm(".count");
  const kept = nameProblem() ? { name: nameProblem() } : {};
  showProblems({ ...kept, ...prompt.problems });
  count.classList.toggle("bad", Boolean(prompt.problem || prompt.problems) || prompt.left < 0);
  if (prompt.problems) {
    count.textContent = "Below is the prompt before this mistake.";
    count.hidden = !inForm(".pieces").children.length;
    return;
  }
  const said = prompt.waiting ?? prompt.problem ?? wordsOf(prompt);
  count.textContent = said;
  count.hidden = false;
  inForm(".room").replaceChildren(...(prompt.pieces ? roomOf(prompt) : []));
  inForm(".pieces").replaceChildren(...(prompt.pieces ?? []).flatMap((piece) => pieceOf(piece, prompt.chunk)));
  clearTimeout(waiting.reader);
  waiting.reader = setTimeout(() => (inForm(".counted").textContent = said), QUIET);
};

const drawEarlier = () => {
  const count = Number(state.inputs.history.value);
  const words = !count ? "No earlier exchange is shown to the model."
    : waiting.earlier ? "The earlier exchanges are those of your newest conversation."
    : "Earlier exchanges are shown here once there is a conversation.";
  inForm(".earlier").textContent = words;
};

// One request at a time, and the last one counts.
const preview = async () => {
  if (waiting.running) {
    waiting.again = true;
    return;
  }
  waiting.running = true;
  do {
    waiting.again = false;
    try {
      const prompt = await server.prompt_preview({ message: sample.value, values: readForm().values, parent: waiting.earlier });
      if (!waiting.again) drawPreview(prompt);
    } catch {
      drawPreview({ problem: "The application does not answer. Is it still running?" });
    }
  } while (waiting.again);
  waiting.running = false;
};

const askPreview = () => {
  drawEarlier();
  clearTimeout(waiting.timer);
  waiting.timer = setTimeout(preview, PAUSE);
};
