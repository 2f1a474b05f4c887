// The ribbon: a button for each chunk, its bar as high as what the passages of the chunk changed.
const findingsIn = (chunk) =>
  state.shown.findings.filter(({ start, end }) => start < chunk.end && end > chunk.start).length;

const ribbonButton = (index) =>
  button("", () => choose(index), {
    data: { key: `chunk-${index}` },
  });

const fillRibbon = (node, index, effect, most) => {
  const chunk = state.shown.chunks[index];
  const gain = chunk.cards.length ? (effect?.gain ?? null) : null;
  const way = direction(gain);
  const findings = findingsIn(chunk);
  const said = [
    `Chunk ${index + 1} of ${state.shown.chunks.length}`,
    counted(chunk.cards.length, "passage"),
    { helped: `helped by ${signed(gain)} nats`, hurt: `hurt by ${signed(gain)} nats`, level: "no change" }[way],
    findings ? counted(findings, "finding") : null,
  ];
  const number = make("span", { className: "number", textContent: `${index + 1}` });
  if (way === "helped" || way === "hurt") number.dataset.sign = way === "helped" ? "▲" : "▼";
  const bar = make("span", { className: "bar" });
  bar.style.height = `${gain === null ? 0 : Math.max(4, (100 * Math.abs(gain)) / (most || 1))}%`;
  node.className = ["chunk", way, chunk.cards.length ? "" : "bare", findings ? "flagged" : ""].filter(Boolean).join(" ");
  node.setAttribute("aria-label", said.filter(Boolean).join(", "));
  node.replaceChildren(make("span", { className: "height", aria: { hidden: "true" } }, bar), number);
};

const markChosen = () =>
  [...part("ribbon").children].forEach((node, i) => {
    node.setAttribute("aria-pressed", String(i === state.chunk));
    node.tabIndex = i === state.chunk ? 0 : -1;
  });

const drawRibbon = () => {
  const ribbon = part("ribbon");
  const { chunks } = state.shown;
  while (ribbon.children.length > chunks.length) ribbon.lastChild.remove();
  while (ribbon.children.length < chunks.length) ribbon.append(ribbonButton(ribbon.children.length));
  const effects = effectsOf()?.chunks;
  const most = Math.max(...(effects ?? []).map((effect) => Math.abs(effect?.gain ?? 0)));
  [...ribbon.children].forEach((node, i) => fillRibbon(node, i, effects?.[i], most));
  markChosen();
};
