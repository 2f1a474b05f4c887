// The queue view: the lists of findings and marks beside the reply.
const rowOf = (key) => (key ? find(`.items [data-key="${CSS.escape(key)}"]`) : null);
const opened = new Set(); // keys of evidence that is unfolded

const keyed = (text, key, shortcut, action, properties = {}) => {
  const keys = shortcut ? { keyshortcuts: shortcut === "⌫" ? "Backspace" : shortcut } : {};
  const made = button(text, action, { ...properties, data: { key, ...properties.data }, aria: { ...keys, ...properties.aria } });
  if (shortcut) made.append(" ", make("kbd", { textContent: shortcut, aria: { hidden: "true" } }));
  return made;
};

// Takes an item into focus; the browser's focus goes with it where it is asked to.
const goTo = (key, focus = false) => {
  if (!key) return;
  state.current = key;
  for (const row of element.querySelectorAll(".items > li")) markCurrent(row);
  drawTarget();
  paint();
  const item = currentItem();
  if (!item) return;
  const row = rowOf(key);
  if (focus) row?.focus({ preventScroll: isApart() });
  if (!isApart()) return; // on a phone the row itself stays in view
  row?.scrollIntoView({ block: "nearest" });
  if (!isWhole(item.of)) reveal(item.of);
};
const markCurrent = (row) => {
  const current = row.dataset.key === state.current;
  row.setAttribute("aria-current", String(current));
  row.tabIndex = current ? 0 : -1;
};

const move = (step) =>
  act(() => {
    const keys = items().map(({ key }) => key);
    if (!keys.length) return announce("There is nothing in the lists yet.");
    const at = keys.indexOf(state.current);
    const next = at < 0 ? (step > 0 ? 0 : keys.length - 1) : Math.min(Math.max(at + step, 0), keys.length - 1);
    goTo(keys[next], true);
  });

// ----- evidence: whatever a detector wrote down

const plain = (value) => {
  if (Array.isArray(value) && value.every((part) => typeof part !== "object")) return value.join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
};
const evidenceOf = (finding) => {
  const entries = Object.entries(finding.evidence).filter(([, value]) => value !== "" && value !== null);
  if (!entries.length) return null;
  const key = `${findingKey(finding)}-evidence`;
  const made = make("details", { open: opened.has(key) },
    make("summary", { textContent: "Evidence", data: { key } }),
    make("dl", {}, ...entries.flatMap(([name, value]) => [
      make("dt", { textContent: name.replaceAll("_", " ") }), make("dd", { textContent: plain(value) })])));
  made.addEventListener("toggle", () => (made.open ? opened.add(key) : opened.delete(key)));
  return made;
};

// ----- rows

const quoteOf = (key, of) => {
  if (isWhole(of) || !of.quote.trim()) return make("p", { className: "whole", textContent: isWhole(of) && length() ? "The whole reply" : "No words" });
  const made = button("", () => reveal(of), { className: "quote", title: "Show it in the reply", data: { key: `${key}-quote` } });
  made.append(make("q", { textContent: excerpt(of.quote, 160) }));
  return made;
};
const rowFor = ({ key, number }, className, label, ...children) => {
  const row = make("li", { className, data: { key }, aria: { label: `${number}: ${label}` } }, ...children);
  const { of } = items()[number - 1];
  row.addEventListener("pointerenter", () => light(of));
  row.addEventListener("pointerleave", () => light(null));
  row.addEventListener("focusin", () => refocusing || state.current === key || goTo(key));
  row.addEventListener("click", (event) => event.target.closest("button, a, summary, textarea") || goTo(key, true));
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target === row && !event.ctrlKey) reveal(of);
  });
  markCurrent(row);
  return row;
};
const headOf = (number, title, ...more) =>
  make("p", { className: "head" },
    make("span", { className: "number", textContent: number }), make("strong", { textContent: title }), ...more);

const findingRow = (item) => {
  const { key, number, of } = item;
  const ruled = make("span", { className: `ruled ${of.ruling ?? ""}`, textContent: of.ruling ?? "" });
  const ruler = (ruling, text, shortcut) =>
    keyed(text, `${key}-${ruling}`, shortcut, () => rule(of.ruling === ruling ? null : ruling, of.id), { className: ruling, aria: { pressed: String(of.ruling === ruling) } });
  const others = of.others.map(({ annotator, ruling }) => `${annotator}: ${ruling}`).join(" · ");
  return rowFor(item, `finding ${of.severity}`, `finding, ${of.title}${of.ruling ? `, ${of.ruling}` : ""}`,
    headOf(number, of.title, make("span", { className: "severity", textContent: of.severity }), ruled),
    make("p", { className: "says", textContent: of.explanation }),
    quoteOf(key, of),
    make("p", { className: "hint", textContent: `${of.kind} · score ${of.score}, threshold ${of.threshold}` }),
    of.quality ? make("p", { className: "hint", textContent: `Such findings: ${of.quality}.` }) : null,
    evidenceOf(of),
    others ? make("p", { className: "hint", textContent: `Others: ${others}` }) : null,
    make("div", { className: "acts" }, ruler("accepted", "Accept", "a"), ruler("rejected", "Reject", "x")));
};

const noteEditor = (key) => {
  const area = make("textarea", { value: state.noting.text, rows: 2, maxLength: 4000, placeholder: "Why? How do you know?", aria: { label: "Note" }, data: { key: `${key}-text` } });
  area.addEventListener("input", () => typeNote(area.value));
  area.addEventListener("blur", () => area.isConnected && document.hasFocus() && endNote(true, false));
  area.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") endNote(false, true);
    else if (event.key === "Enter" && !event.shiftKey) endNote(true, true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return make("div", { className: "noting" }, area, make("p", { className: "hint", textContent: "Enter saves, Shift+Enter is a new line, Esc leaves it as it was." }));
};
const markRow = (item) => {
  const { key, number, of } = item;
  const noting = state.noting?.id === of.id;
  const note = noting ? noteEditor(key) : of.note ? make("p", { className: "note", textContent: of.note }) : null;
  if (item.kind === "other")
    return rowFor(item, "other", `${of.title}, marked by ${of.annotator}`,
      headOf(number, of.title, make("span", { className: "severity", textContent: SEVERITIES[of.severity] }), make("span", { className: "by", textContent: of.annotator })),
      quoteOf(key, of), note);
  const severities = make("span", { className: "severities", aria: { role: "group", label: "Severity" } },
    ...Object.entries(SEVERITIES).map(([value, word]) =>
      button(value, () => revise(of.id, { severity: Number(value) }, `severity ${value}, ${word}`), {
        title: word, data: { key: `${key}-severity-${value}` }, aria: { pressed: String(of.severity === Number(value)), label: `${value}, ${word}` },
      })));
  return rowFor(item, "mine", `your mark, ${of.title}, ${SEVERITIES[of.severity]}`,
    headOf(number, of.title, severities),
    quoteOf(key, of), note,
    make("div", { className: "acts" },
      keyed(of.note ? "Edit note" : "Note", `${key}-note`, "n", () => writeNote(of.id)),
      keyed("Other label", `${key}-label`, "", () => openFinder(of.id)),
      keyed("Take back", `${key}-drop`, "⌫", () => withdraw(of.id))));
};

// What is pressed at the moment is not replaced before it is let go, or it would miss its click.
const pointer = { down: false, waits: false };
const drawItems = () => {
  pointer.waits = pointer.down;
  if (pointer.down) return;
  const all = items();
  const fill = (section, kind, rowOfItem) => {
    const some = all.filter((item) => item.kind === kind);
    find(`${section} .items`).replaceChildren(...some.map(rowOfItem));
    return some.length;
  };
  keepFocus(() => {
    const { hidden } = state.reply;
    const found = fill(".found", "finding", findingRow);
    const marked = fill(".marked", "mine", markRow);
    find(".others").hidden = !fill(".others", "other", markRow);
    find("#annotate-found").textContent = found ? `Findings ${found}` : "Findings";
    find("#annotate-marked").textContent = marked ? `Your marks ${marked}` : "Your marks";
    find(".found > .hint").textContent = hidden
      ? "Hidden until you have finished this reply."
      : found ? "" : "The detectors found nothing; that does not mean that nothing is wrong.";
    find(".marked > .hint").textContent = marked ? "" : "Choose words of the reply and press the key of a label; without chosen words it is for the whole reply.";
  });
};

const watchList = () => {
  find(".side").addEventListener("pointerdown", () => (pointer.down = true), true);
  for (const event of ["pointerup", "pointercancel", "dragend"])
    window.addEventListener(event, () => {
      pointer.down = false;
      if (pointer.waits) setTimeout(() => state.reply && drawItems(), 0);
    });
  find(".side").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !event.target.closest(".items") || event.target.closest("textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(step);
  });
};
