// The queue view: who annotates, what is shown, finishing and going on. The other annotate_*.js
// stand before this file.
const whole = (value) => (/^\d{1,9}$/.test(value ?? "") ? Number(value) : null);

// ----- who annotates

const drawName = (asking) => {
  const name = kept(ANNOTATOR);
  const form = find(".who");
  form.hidden = !asking;
  form.querySelector(".cancel").hidden = !name;
  form.querySelector(".primary").textContent = name ? "Save" : "Begin";
  find(".bar").hidden = asking && !name;
  find(".bar .name strong").textContent = name;
  find("#annotate-blind").checked = isBlind();
  if (asking && !name) for (const part of [".review", ".rest"]) find(part).hidden = true;
};
const askName = () => {
  drawName(true);
  find("#annotate-name").value = kept(ANNOTATOR);
  find("#annotate-name").focus();
};

// ----- showing a reply

const setLoading = (loading) => {
  state.loading = loading;
  find(".annotate").setAttribute("aria-busy", String(loading));
};

const load = async (turn, focus = false) => {
  state.showing += 1;
  const { showing } = state;
  state.asked = turn;
  if (!kept(ANNOTATOR)) return askName();
  setLoading(true);
  const answer = await send("open", { turn, blind: isBlind() });
  if (showing !== state.showing) return null; // another was asked for meanwhile
  setLoading(false);
  const failed = complain(answer);
  if (!failed) drawProgress(answer.progress);
  show(failed ? null : answer.reply, answer, focus);
  return null;
};

const show = (reply, { progress = null, problem = "" }, focus) => {
  const again = reply && reply.turn === state.reply?.turn;
  Object.assign(state, { reply, chosen: null, noting: null });
  if (!again) Object.assign(state, { current: null, severity: 2 });
  text.hovered = null;
  find(".review").hidden = !reply;
  find(".rest").hidden = Boolean(reply);
  if (!reply) {
    paint();
    drawRest(progress, problem);
    drawBack();
    if (focus) find(".rest").querySelector("a, button")?.focus();
    return;
  }
  drawReply();
  const first = reply.findings.find(({ ruling }) => !ruling) ?? reply.findings[0];
  if (!currentItem()) state.current = first ? findingKey(first) : (items()[0]?.key ?? null);
  drawMarks();
  drawPassages();
  drawUndo();
  drawBack();
  if (!again) for (const box of [scroller, find(".side")]) box.scrollTop = 0;
  if (focus) focusOn(first);
  chooseFromAddress();
  resumeNote();
};

const drawReply = () => {
  const { reply } = state;
  const done = reply.state === "done" ? " You have finished this reply, so all that is known of it is shown." : "";
  find(".why").textContent = reply.why + done;
  find(".message").textContent = reply.message;
  drawText();
  const ending = reply.ending.charAt(0).toUpperCase() + reply.ending.slice(1);
  find(".facts").textContent = [ending, ...reply.facts].join(" · ");
  find(".links .chat").hidden = reply.hidden; // findings are shown there
  find(".links .chat").href = new URL(`./?turn=${encodeURIComponent(reply.turn)}`, window.location.href).href;
  const words = reply.hidden ? "Finish and show findings" : reply.state === "done" ? "Next reply" : "Finish, next reply";
  find(".finish span").textContent = words;
  find(".skip").disabled = reply.state === "done";
};

// Where a keyboard goes on: the first finding to rule on, else the reply.
const focusOn = (finding) => {
  const row = finding && rowOf(findingKey(finding));
  (row ?? replyBox).focus({ preventScroll: true });
  if (finding) reveal(finding);
  const { findings, hidden, state: progress } = state.reply;
  const found = hidden ? "" : ` ${findings.length ? counted(findings.length, "finding") : "No finding"}.`;
  announce(`${progress === "done" ? "Finished; findings are shown." : "A reply to review."} ${find(".count").textContent}.${found}`);
};

const chooseFromAddress = () => {
  if (address().get("turn") !== state.reply.turn) return;
  const [start, end] = [whole(address().get("start")), whole(address().get("end"))];
  if (start === null || end === null || start >= end || end > length()) return;
  const [from, to] = unitsOf({ start, end });
  const node = replyBox.firstChild;
  document.getSelection().setBaseAndExtent(node, from, node, to);
  choose({ start, end });
  reveal({ start, end });
};

const drawProgress = ({ done, skipped, total }) => {
  const bar = find(".progress progress");
  bar.max = Math.max(total, 1);
  bar.value = Math.min(done + skipped, total);
  find(".count").textContent = `${done} done, ${skipped} skipped of ${total}`;
};

// ----- when there is no reply to show

const drawRest = (progress, problem) => {
  const [title, says, ...links] = problem
    ? ["This reply cannot be reviewed", "", button("Go to the queue", () => goOn())]
    : progress.total
      ? ["The queue is at its end",
        `You have gone through ${counted(progress.total, "reply", "replies")}: all with a finding, and a sample of the others. Browse has every reply, also those you skipped.`,
        button("Browse", () => followLink("browse"), { className: "primary" }), button("Look again", () => load("", true))]
      : ["There is no reply to review yet", "Replies come here when somebody has asked something in the chat.",
        make("a", { href: new URL("./", window.location.href).href, textContent: "Ask something" }), button("Look again", () => load("", true))];
  find(".rest").replaceChildren(
    make("h2", { textContent: title }), says ? make("p", { textContent: says }) : "", make("p", { className: "links" }, ...links));
  announce(title);
};

// ----- finishing and going on

let focusing = false;
const goOn = () => {
  if (!address().get("turn")) return load("", true);
  focusing = true;
  return followLink("queue"); // the address of the chosen reply is left
};

// In blind mode the findings are shown first; what they say is ruled on before going on.
const finish = () =>
  act(async () => {
    const { turn, hidden, state: progress } = state.reply;
    if (progress === "done") return void goOn();
    if (complain(await sendHere("close", { state: "done" }))) return;
    announce("Finished.");
    if (hidden) await load(turn, true);
    else leave(turn);
  });
const skip = () =>
  act(async () => {
    const { turn, state: progress } = state.reply;
    if (progress === "done") return announce("This reply is finished; Ctrl+Enter goes on.");
    if (complain(await sendHere("close", { state: "skipped" }))) return;
    leave(turn);
  });
const leave = (turn) => {
  state.previous = turn;
  goOn();
};
const drawBack = () => {
  const { previous } = state;
  const shown = previous && previous !== state.reply?.turn;
  const back = button("Back to the last reply", () => followLink("queue", { turn: previous }), { className: "back" });
  for (const links of element.querySelectorAll(".review .links, .rest .links")) {
    links.querySelector(".back")?.remove();
    if (shown && links.closest(":not([hidden]).review, :not([hidden]).rest")) links.append(back);
  }
};

// ----- beginning

const drawGuidelines = ({ version, sections }) => {
  find(".guidelines .text").replaceChildren(
    ...sections.flatMap(({ heading, paragraphs, points: list }) => [
      make("h3", { textContent: heading }),
      ...paragraphs.map((paragraph) => make("p", { textContent: paragraph })),
      ...(list.length ? [make("ul", {}, ...list.map((point) => make("li", { textContent: point })))] : []),
    ]),
    make("p", { className: "hint", textContent: `Guidelines, version ${version}` }));
};

const begin = async () => {
  find(".who").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = find("#annotate-name").value.trim().replace(/\s+/g, " ");
    if (!name) return;
    keep(ANNOTATOR, name);
    drawName(false);
    load(state.asked ?? "", true);
  });
  find(".who .cancel").addEventListener("click", () => {
    drawName(false);
    find(".rename").focus();
  });
  find(".rename").addEventListener("click", askName);
  find("#annotate-blind").addEventListener("change", (event) => {
    keep(BLIND, event.target.checked ? "yes" : "");
    if (state.reply) load(state.asked);
  });
  find(".copy-link").addEventListener("click", async () => {
    const url = linkTo("queue", { turn: state.reply.turn, ...state.chosen }).href;
    try {
      await navigator.clipboard.writeText(url);
      announce("The link is copied.");
    } catch {
      announce(`Copying is not allowed here. The link is ${url}`);
    }
  });
  watchList();
  watchPalette();
  watchKeys();
  drawName(!kept(ANNOTATOR));
  const asked = address().get("turn") ?? "";
  const answer = await ask("labels");
  if (!complain(answer)) {
    state.labels = answer.labels;
    drawPalette();
    drawGuidelines(answer.guidelines);
  }
  load(asked);
};

whenShown(begin, () => {
  const asked = address().get("turn") ?? "";
  const focus = focusing;
  focusing = false;
  load(asked, focus); // anew: it may have been changed in another view
});
