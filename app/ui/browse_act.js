// Accepting, rejecting and relabelling many cases at once, and taking it back. The server says what
// could not be done and why.
const UNDOABLE = 20;
const undoable = []; // newest last: {steps}

// The annotator's name, asked for where it is not known; "" where it is not told.
const nameOf = () => {
  const known = kept(ANNOTATOR);
  if (known) return Promise.resolve(known);
  const dialog = find("dialog.naming");
  const back = document.activeElement;
  dialog.returnValue = "no";
  dialog.showModal();
  find("#browse-name").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const name = dialog.returnValue === "yes" ? find("#browse-name").value.trim() : "";
      if (name) keep(ANNOTATOR, name);
      back?.focus?.();
      resolve(name);
    }, { once: true });
  });
};

// One action after another, however fast the keys come.
let last = Promise.resolve();
const afterwards = (doing) => {
  last = last.then(doing).catch((error) => console.error(error));
  return last;
};

const drawUndo = () => {
  find(".bar .undo").disabled = !undoable.length;
};
const settle = async (answer) => {
  if (complain(answer)) return;
  announce(answer.told);
  drawUndo();
  await loadList();
  if (state.asked.case) await loadCase(true);
};

const doTo = (ids, action, label = "") => afterwards(async () => {
  if (!ids.length) return announce("There is no case to do that to.");
  const annotator = await nameOf();
  if (!annotator) return announce("Nothing was done: a name is needed.");
  announce("Working …");
  const answer = await ask("act", { annotator, ids, action, label });
  if (!answer.problem) {
    if (answer.steps.length) undoable.push({ steps: answer.steps });
    undoable.splice(0, undoable.length - UNDOABLE);
    state.selected.clear();
  }
  await settle(answer);
});

const relabel = () => {
  const label = find("#browse-label").value;
  if (label) return doTo(chosen(), "relabel", label);
  find("#browse-label").focus();
  return announce("Choose the new label first.");
};

const undo = () => afterwards(async () => {
  const newest = undoable.pop();
  if (!newest) return announce("There is nothing to undo.");
  const answer = await ask("undo", { annotator: kept(ANNOTATOR), steps: newest.steps });
  if (answer.problem) undoable.push(newest);
  await settle(answer);
});

const watchActions = () => {
  find(".bar .accept").addEventListener("click", () => doTo(chosen(), "accepted"));
  find(".bar .reject").addEventListener("click", () => doTo(chosen(), "rejected"));
  find(".bar .relabel").addEventListener("click", relabel);
  find(".bar .undo").addEventListener("click", undo);
};
