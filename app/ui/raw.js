// The turn as the log has it: to read, to copy, to link to, and to check by writing it again.
const raw = { turn: null, command: "" };
const rawPart = (name) => panel("raw").querySelector(`.${name}`);
const say = (text) => {
  rawPart("state").textContent = text;
};

const clearRaw = () => {
  Object.assign(raw, { turn: null, command: "" });
  rawPart("json").textContent = "";
  rawPart("command").hidden = true;
  for (const name of ["copy-json", "copy-command", "replay"]) rawPart(name).disabled = true;
  say("");
};

const openRaw = async () => {
  const { turn, running } = state.shown;
  if (raw.turn !== turn) clearRaw();
  rawPart("copy-link").disabled = !turns().includes(turn); // the example has no address
  if (running) {
    say("The log has all of the reply when it is complete.");
    return;
  }
  const answer = await ask("raw", turn); // each time: effects and judgements may have come to it
  if (state.shown?.turn !== turn || state.tab !== "raw") return;
  if (answer.problem) {
    clearRaw();
    say(answer.problem);
    return;
  }
  Object.assign(raw, { turn, command: answer.command });
  rawPart("json").textContent = answer.json;
  rawPart("command").hidden = false;
  rawPart("command").querySelector("code").textContent = answer.command;
  rawPart("lacks").textContent = answer.lacks ? `It has no flag for: ${answer.lacks}.` : "";
  for (const name of ["copy-json", "copy-command", "replay"]) rawPart(name).disabled = false;
};

const copied = async (text) => {
  try {
    await navigator.clipboard.writeText(text); // missing where the page is served without https
    return true;
  } catch {
    const area = make("textarea", { value: text, className: "for-copying" });
    const { activeElement } = document;
    element.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    activeElement?.focus();
    return done;
  }
};

const copy = async (text, what) => say((await copied(text)) ? `${what} copied.` : `${what} could not be copied: this browser does not allow it.`);

const checkReplay = async () => {
  const { turn } = state.shown;
  rawPart("replay").disabled = true;
  say("Writing the reply again with the same seed …");
  const answer = await ask("replay", turn);
  if (state.shown?.turn !== turn) return;
  rawPart("replay").disabled = false;
  say(answer.problem ? `It cannot be replayed: ${answer.problem}` : `Written again: ${answer.text}.`);
};

const watchRaw = () => {
  on(rawPart("copy-link"), "click", () => copy(link(true).href, "The link"));
  on(rawPart("copy-json"), "click", () => copy(rawPart("json").textContent, "The JSON"));
  on(rawPart("copy-command"), "click", () => copy(raw.command, "The command"));
  on(rawPart("replay"), "click", checkReplay);
};
