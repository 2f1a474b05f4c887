// The dialogs: a passage in its document, a passage of one's own, and the help.
const dialogOf = (name) => element.querySelector(`dialog.${name}`);
const anyOpen = () => Boolean(document.querySelector("dialog[open]"));

// ----- a passage in its document

const context = { place: null, step: 0, request: 0 };

const openContext = (index) => {
  const card = state.shown?.chunks[state.chunk]?.cards[index];
  if (!card?.document) return;
  Object.assign(context, { place: [state.shown.turn, state.chunk, index], step: 0 });
  const dialog = dialogOf("context");
  dialog.querySelector("h2").textContent = titleOf(card);
  dialog.querySelector(".source").textContent = card.source;
  dialog.querySelector(".passages").replaceChildren();
  for (const name of ["before", "after"]) dialog.querySelector(`.walk .${name}`).disabled = true;
  dialog.showModal();
  readContext(0);
};

const readContext = async (step) => {
  const dialog = dialogOf("context");
  const request = (context.request += 1);
  const position = dialog.querySelector(".position");
  position.textContent = "Reading …";
  const answer = await ask("context", ...context.place, step);
  if (request !== context.request) return; // another passage was asked for meanwhile
  const passages = dialog.querySelector(".passages");
  if (answer.problem) {
    position.textContent = "";
    passages.replaceChildren(make("p", { className: "absence", textContent: answer.problem, aria: { role: "alert" } }));
    return;
  }
  context.step = step;
  position.textContent = `Passage ${answer.position + 1} of ${answer.count}`;
  dialog.querySelector(".walk .before").disabled = answer.position === 0;
  dialog.querySelector(".walk .after").disabled = answer.position === answer.count - 1;
  passages.replaceChildren(...answer.passages.map((passage) => passageOf(passage, answer.position)));
  passages.scrollTop = 0;
};

const SHOWN_AS = { passage: "shown to the model", continuation: "shown as its continuation" };
const passageOf = ({ position, text, shown }, middle) =>
  make("section", { className: [shown, position === middle ? "middle" : ""].filter(Boolean).join(" "), aria: { label: `Passage ${position + 1}` } },
    make("span", { className: "label", textContent: [`passage ${position + 1}`, SHOWN_AS[shown]].filter(Boolean).join(" · ") }),
    make("p", { textContent: text }));

// ----- writing the reply again

const vary = (change) => {
  if (state.shown && !state.shown.running) trigger("vary", { turn: state.shown.turn, change });
};

const regenerateWithout = (index) => {
  const card = state.shown?.chunks[state.chunk]?.cards[index];
  if (card) vary({ kind: "without", chunk_id: card.passage, title: [...titleOf(card)].slice(0, 200).join("") });
};

const watchDialogs = () => {
  for (const dialog of element.querySelectorAll("dialog")) {
    on(dialog.querySelector(".close"), "click", () => dialog.close());
    on(dialog, "click", (event) => event.target === dialog && dialog.close()); // the backdrop
    on(dialog, "close", () => {
      // The browser gives the focus back to where it was, if that is still there.
      if (document.activeElement === document.body) part("ribbon").children[state.chunk]?.focus();
    });
  }
  on(dialogOf("context").querySelector(".walk .before"), "click", () => readContext(context.step - 1));
  on(dialogOf("context").querySelector(".walk .after"), "click", () => readContext(context.step + 1));
  on(part("off"), "click", () => vary({ kind: "off" }));
  on(part("random"), "click", () => vary({ kind: "random" }));
  on(part("own"), "click", () => dialogOf("own").showModal());
  on(dialogOf("own").querySelector(".cancel"), "click", () => dialogOf("own").close());
  on(dialogOf("own").querySelector("form"), "submit", (event) => {
    const area = dialogOf("own").querySelector("textarea");
    if (!area.value.trim()) {
      event.preventDefault();
      area.setCustomValidity("Write or paste a passage first.");
      area.reportValidity();
      return;
    }
    vary({ kind: "pasted", text: area.value });
  });
  on(dialogOf("own").querySelector("textarea"), "input", (event) => event.target.setCustomValidity(""));
  on(part("help"), "click", () => dialogOf("keys").showModal());
};
