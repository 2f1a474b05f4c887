// Under the transcript: the other versions of each reply of this branch, and what was compared.
// The value comes from branches.py; nodes.js stands before this file. What was changed is untrusted text: nodes, never HTML strings.
const strip = element.querySelector("nav");

const act = (key, text, label, event, detail) =>
  button(text, () => trigger(event, detail), { data: { key }, aria: label ? { label } : {}, disabled: !detail });

const groupOf = (fork, replies) => {
  const { reply, turn, versions, compared } = fork;
  const name = replies > 1 ? `Reply ${reply}` : "Reply";
  const place = versions.indexOf(turn);
  const to = (other) => (versions[other] ? { turn: versions[other] } : null);
  const group = make("div", { className: "fork", aria: { role: "group", label: name } });
  if (replies > 1) group.append(make("span", { textContent: name }));
  if (versions.length > 1)
    group.append(
      act(`${reply}<`, "‹", `${name}: version before`, "visit", to(place - 1)),
      make("span", { className: "version", textContent: `version ${place + 1} of ${versions.length}` }),
      act(`${reply}>`, "›", `${name}: next version`, "visit", to(place + 1)));
  if (compared.length) {
    const words = `Compared ${compared.length}×`;
    group.append(act(`${reply}=`, words, `${name}: ${words}`, "recall", { comparison: compared[0].id, turn }));
  }
  return group;
};

const show = () => {
  const { replies = 0, forks = [], last = null } = props.value ?? {};
  const focused = strip.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const groups = forks.map((fork) => groupOf(fork, replies));
  if (last) groups.push(act("vary", "Compare with …", "Compare the last reply with another", "choose", { turn: last }));
  strip.replaceChildren(...groups);
  strip.hidden = !groups.length;
  if (!focused) return;
  const key = focused.endsWith("<") || focused.endsWith(">") ? focused.slice(0, -1) : null;
  const again = [...strip.querySelectorAll("button:not(:disabled)")];
  (again.find((b) => b.dataset.key === focused) ?? again.find((b) => key && b.dataset.key.startsWith(key)))?.focus();
};

watch("value", show);
show();
