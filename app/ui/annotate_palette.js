// The queue view: the labels with their keys, what the next mark is for, and the label finder.
const RESERVED = ["a", "x", "s", "u", "n", "l", "g", "j", "k", "1", "2", "3", "?", "[", "]"];
const labelKeys = () => state.labels.filter(({ key }) => key && !RESERVED.includes(key));

const drawPalette = () => {
  const chips = labelKeys().map(({ code, title, meaning, key }) => {
    const made = keyed(title, `label-${code}`, key, () => mark(code), { title: meaning });
    made.addEventListener("mousedown", (event) => event.preventDefault()); // the selection stays
    return made;
  });
  const all = keyed("All labels", "label-all", "l", () => openFinder());
  find(".desk .palette").replaceChildren(...chips, all);
  find(".keys .label-keys").replaceChildren(
    ...labelKeys().map(({ title, meaning, key }) =>
      make("tr", {}, make("th", { scope: "row" }, make("kbd", { textContent: key })), make("td", { textContent: title, title: meaning }))));
};

// What the next mark is for, and its severity; that of the mark in focus where no words are chosen.
const drawTarget = () => {
  if (!state.reply) return;
  const { chosen } = state;
  const words = chosen ? excerpt(slice(state.reply.text, chosen.start, chosen.end), 90) : "";
  find(".target .chosen").replaceChildren(
    ...(chosen ? ["Mark ", make("q", { textContent: words }), " as"] : ["Mark the whole reply as"]));
  find(".target .clear").hidden = !chosen;
  keepFocus(() =>
    find(".target .severities").replaceChildren(
      ...Object.entries(SEVERITIES).map(([value, word]) => {
        const made = button(value, () => setNext(Number(value)), {
          title: `Severity of the next mark: ${word}`, data: { key: `next-${value}` },
          aria: { pressed: String(state.severity === Number(value)), label: `${value}, ${word}` },
        });
        made.addEventListener("mousedown", (event) => event.preventDefault());
        return made;
      })));
};
const setNext = (severity) => {
  state.severity = severity;
  drawTarget();
};

// ----- the finder

const finder = { dialog: find("dialog.finder"), box: find("#annotate-search"), list: find("#annotate-options"), found: [], at: 0, relabels: null };

// All labels that have every word that was typed, in title, code, meaning or key.
const matching = (typed) => {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const within = ({ title, code, meaning, parent }) => `${title} ${code} ${meaning} ${labelOf(parent)?.title ?? ""}`.toLowerCase();
  const found = state.labels.filter((label) => words.every((word) => within(label).includes(word)));
  const exact = (label) => (label.key === typed.trim() || label.code.toLowerCase() === typed.trim().toLowerCase() ? 0 : label.title.toLowerCase().startsWith(words[0] ?? "") ? 1 : 2);
  return words.length ? found.sort((a, b) => exact(a) - exact(b)) : found;
};

const drawFound = () => {
  finder.list.replaceChildren(...finder.found.map((label, index) => {
    const above = labelOf(label.parent);
    const option = make("li", { id: `annotate-option-${index}`, className: above ? "" : "top", aria: { role: "option" } },
      make("span", { className: "title" }, above ? `${above.title} › ` : "", make("strong", { textContent: label.title }),
        label.code.startsWith("W.") ? make("span", { className: "code", textContent: label.code }) : null,
        label.key ? make("kbd", { textContent: label.key }) : null),
      make("span", { className: "meaning", textContent: label.meaning }));
    option.addEventListener("click", () => pickLabel(index));
    return option;
  }));
  find(".finder .count").textContent = finder.found.length ? counted(finder.found.length, "label") : "No label has these words. “Something else” with a note fits what no other does.";
  pointAt(0);
};
const pointAt = (index) => {
  finder.at = Math.min(Math.max(index, 0), finder.found.length - 1);
  [...finder.list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === finder.at)));
  const option = finder.list.children[finder.at];
  finder.box.setAttribute("aria-activedescendant", option?.id ?? "");
  option?.scrollIntoView({ block: "nearest" });
};
const pickLabel = (index) => {
  const label = finder.found[index];
  if (!label) return;
  finder.dialog.close();
  if (finder.relabels) revise(finder.relabels, { label: label.code }, `the label ${label.title}`);
  else mark(label.code);
};

// Opens the finder for a new mark, or to give another label to one's own.
const openFinder = (relabels = null) => {
  if (!state.reply) return;
  finder.relabels = relabels;
  const target = relabels ? state.reply.annotations.find(({ id }) => id === relabels) : state.chosen;
  const quote = target?.quote ?? (target ? slice(state.reply.text, target.start, target.end) : "");
  const words = target && !isWhole(target) ? `“${excerpt(quote, 60)}”` : "the whole reply";
  find("#annotate-finder-title").textContent = relabels ? `Another label for ${words}` : `A label for ${words}`;
  finder.box.value = "";
  finder.found = matching("");
  finder.dialog.showModal();
  drawFound();
  finder.box.focus();
};

const watchPalette = () => {
  finder.box.addEventListener("input", () => {
    finder.found = matching(finder.box.value);
    drawFound();
  });
  finder.box.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.key === "Enter") pickLabel(finder.at);
    else if (event.key === "Escape") finder.dialog.close(); // the box alone would be emptied
    else if (moves[event.key]) pointAt(finder.at + moves[event.key]);
    else return;
    event.preventDefault();
  });
  for (const dialog of element.querySelectorAll("dialog")) {
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // the backdrop
  }
  find(".target .clear").addEventListener("click", () => {
    letGo();
    replyBox.focus({ preventScroll: true });
  });
};
