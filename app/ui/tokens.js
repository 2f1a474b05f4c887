// The reply token by token, in the panel's own text. It is built when the tab is opened, with one
// listener for all tokens: a reply may have thousands.
const LIKELY = [[0.5, "50 % or more"], [0.2, "20 %"], [0.05, "5 %"], [0.01, "1 %"], [0.001, "0.1 %"], [0, "less"]];
const CHANGED = [[4, "+4 nats or more"], [1, "+1"], [0.2, "+0.2"], [-0.2, "about 0"], [-1, "−0.2"], [-4, "−1"], [-Infinity, "−4 or less"]];
const tokens = { turn: null, data: null, at: 0, starts: [] };

const scaleName = () => part("scale").querySelector("input:checked").value;
const binOf = (bins, value) => (value === null || value === undefined ? null : bins.findIndex(([least]) => value >= least));
const classOf = (index) => {
  const gain = scaleName() === "gain";
  const value = gain ? effectsOf()?.tokens[index] : tokens.data.logprobs[index];
  const bin = gain ? binOf(CHANGED, value) : binOf(LIKELY, value === null ? null : Math.exp(value));
  return bin === null ? "token" : `token ${gain ? "g" : "p"}${bin}`;
};

const readable = (text) => (text === "" ? "part of a character" : text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥"));
const chunkOfToken = (index) => tokens.data.chunks.findIndex(([first, last]) => index >= first && index < last);
const options = () => part("text").querySelectorAll("[role=option]");

const openTokens = async () => {
  const { shown } = state;
  if (shown.running || !shown.chunks.length) {
    emptyTokens(shown.running ? "The tokens are shown when the reply is complete." : "The reply has no tokens.");
    return;
  }
  if (tokens.turn === shown.turn) {
    markTokenChunk();
    return;
  }
  emptyTokens("Reading the tokens …");
  const answer = await ask("tokens", shown.turn);
  if (state.shown?.turn !== shown.turn || state.tab !== "tokens") return;
  if (answer.problem) emptyTokens(answer.problem);
  else drawTokens(shown.turn, answer);
};

const emptyTokens = (why) => {
  Object.assign(tokens, { turn: null, data: null, at: 0, starts: [] });
  state.token = null;
  panel("tokens").querySelector(".state").textContent = why;
  part("text").replaceChildren();
  part("detail").hidden = true;
  fillScale();
};

const drawTokens = (turn, data) => {
  let at = 0;
  const starts = data.texts.map((text) => {
    const start = at;
    at += [...text].length;
    return start;
  });
  Object.assign(tokens, { turn, data, at: 0, starts });
  panel("tokens").querySelector(".state").textContent = data.texts.length ? "" : "The reply has no tokens.";
  const groups = data.chunks.map(([first, last], chunk) => {
    const group = make("div", { className: "chunk-text", aria: { role: "group", label: `Chunk ${chunk + 1}` }, data: { chunk: `${chunk + 1}` } });
    for (let i = first; i < last; i += 1) {
      const text = data.texts[i];
      const node = make("span", { textContent: text.replace("\n", "↵\n") || "·", tabIndex: i === 0 ? 0 : -1 });
      node.setAttribute("role", "option");
      node.setAttribute("aria-selected", "false");
      node.dataset.token = i;
      group.append(node);
    }
    return group;
  });
  part("text").replaceChildren(...groups.filter((group) => group.hasChildNodes()));
  part("detail").hidden = true;
  colourTokens();
  markTokenChunk();
};

const colourTokens = () => {
  fillScale();
  if (tokens.data) for (const node of options()) node.className = classOf(Number(node.dataset.token));
};

const fillScale = () => {
  const [byGain] = part("scale").querySelectorAll("[value=gain]");
  byGain.disabled = !effectsOf();
  byGain.parentElement.title = effectsOf() ? "" : "What retrieval changed has not been measured for this reply.";
  if (byGain.disabled && byGain.checked) part("scale").querySelector("[value=logprob]").checked = true;
  const gain = scaleName() === "gain";
  const bins = gain ? CHANGED : LIKELY;
  part("legend").replaceChildren(...bins.map(([, words], i) =>
    make("li", {}, make("span", { className: `token ${gain ? "g" : "p"}${i}`, textContent: "a", aria: { hidden: "true" } }), words)));
};

const markTokenChunk = () => {
  for (const group of part("text").children)
    group.classList.toggle("chosen", Number(group.dataset.chunk) === state.chunk + 1);
};

// ----- one token

const likeliest = (index) => {
  const { texts, logprobs, top } = tokens.data;
  const rows = top[index].slice(0, 5).map(([text, logprob]) => ({ text, logprob, chosen: text === texts[index] }));
  if (!rows.some((row) => row.chosen)) rows.push({ text: texts[index], logprob: logprobs[index], chosen: true });
  return rows;
};

const drawDetail = (index) => {
  const { ids, logprobs } = tokens.data;
  const gain = effectsOf()?.tokens[index];
  const facts = [
    `token ${index + 1} of ${ids.length}`, `chunk ${chunkOfToken(index) + 1}`, `id ${ids[index]}`,
    `log p ${plainNumber(logprobs[index], 2)}`,
    gain === undefined ? null : `retrieval ${signed(gain, 2)} nats`,
  ];
  const rows = likeliest(index).map(({ text, logprob, chosen }) => {
    const share = logprob === null ? 0 : Math.exp(logprob);
    return make("tr", { className: chosen ? "chosen" : "" },
      make("th", { scope: "row" }, make("code", { textContent: readable(text) }), chosen ? " written" : ""),
      make("td", {}, meter(share)),
      make("td", { textContent: percent(share) }),
      make("td", { textContent: plainNumber(logprob, 2) }));
  });
  const head = make("tr", {}, ...["Likeliest here", "", "p", "log p"].map((text) => make("th", { scope: "col", textContent: text })));
  part("detail").hidden = false;
  part("detail").replaceChildren(
    make("p", { className: "facts", textContent: facts.filter(Boolean).join(" · ") }),
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
};

const tokenLabel = (index) => {
  const { texts, logprobs } = tokens.data;
  const others = likeliest(index).filter((row) => !row.chosen).map((row) => `${row.text.trim() || readable(row.text)} ${percent(Math.exp(row.logprob))}`);
  const gain = effectsOf()?.tokens[index];
  return [
    texts[index].trim() || readable(texts[index]), `log-probability ${plainNumber(logprobs[index], 2)}`,
    gain === undefined ? null : `retrieval ${signed(gain, 2)} nats`,
    others.length ? `else ${others.join(", ")}` : null,
  ].filter(Boolean).join("; ");
};

const showToken = (index, focus) => {
  const nodes = options();
  const [before, node] = [nodes[tokens.at], nodes[index]];
  if (!node) return;
  before?.setAttribute("aria-selected", "false");
  if (before) before.tabIndex = -1;
  tokens.at = index;
  node.tabIndex = 0;
  node.setAttribute("aria-selected", "true");
  node.setAttribute("aria-label", tokenLabel(index));
  drawDetail(index);
  state.token = [tokens.starts[index], tokens.starts[index] + [...tokens.data.texts[index]].length];
  paint();
  if (focus) node.focus();
};

// The nearest token on the line above or below, or the same one.
const onLine = (index, step) => {
  const nodes = options();
  const here = nodes[index].getClientRects()[0];
  let best = index;
  let line = null;
  for (let i = index + step; i >= 0 && i < nodes.length; i += step) {
    const there = nodes[i].getClientRects()[0];
    if (!there || Math.abs(there.top - here.top) < 4) continue;
    if (line !== null && Math.abs(there.top - line) >= 4) break;
    const nearer = line === null || Math.abs(there.left - here.left) < Math.abs(nodes[best].getClientRects()[0].left - here.left);
    line ??= there.top;
    if (nearer) best = i;
  }
  return best;
};

const walkTokens = (event) => {
  if (!tokens.data) return;
  const last = tokens.data.texts.length - 1;
  const moves = {
    ArrowLeft: () => tokens.at - 1, ArrowRight: () => tokens.at + 1, Home: () => 0, End: () => last,
    ArrowUp: () => onLine(tokens.at, -1), ArrowDown: () => onLine(tokens.at, 1),
  };
  if (!(event.key in moves)) return;
  event.preventDefault();
  showToken(Math.min(Math.max(moves[event.key](), 0), last), true);
};

const tokenUnder = (event) => {
  const node = event.target.closest?.("[data-token]");
  return node ? Number(node.dataset.token) : null;
};

const watchTokens = () => {
  const text = part("text");
  const show = (event) => {
    const index = tokenUnder(event);
    if (index !== null) showToken(index, false);
  };
  on(text, "pointerover", show);
  on(text, "focusin", show);
  on(text, "keydown", walkTokens);
  on(text, "click", (event) => {
    const index = tokenUnder(event);
    if (index === null) return;
    showToken(index, true);
    choose(chunkOfToken(index));
  });
  on(text, "pointerleave", () => {
    if (text.contains(document.activeElement)) return;
    state.token = null;
    paint();
  });
  on(part("scale"), "change", colourTokens);
};
