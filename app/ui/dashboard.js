// The dashboard begins: what is counted is a part of the address.
const state = { request: 0, listed: null };
const FIELDS = ["since", "until", "model"];
const asked = () => Object.fromEntries(FIELDS.map((name) => [name, address().get(name) ?? ""]));

// The first of so many days that end today, UTC.
const daysAgo = (days) => new Date(Date.now() - (days - 1) * 86400000).toISOString().slice(0, 10);

const drawRange = (models) => {
  const { since, until, model } = asked();
  for (const one of element.querySelectorAll(".ranges button")) {
    const { days } = one.dataset;
    one.setAttribute("aria-pressed", String(!until && since === (days ? daysAgo(Number(days)) : "")));
  }
  find("#dashboard-since").value = since;
  find("#dashboard-until").value = until;
  const list = find("#dashboard-model");
  const names = [...new Set([...models, ...(model ? [model] : [])])];
  list.replaceChildren(...["", ...names].map((name) => make("option", { value: name, textContent: name || "all" })));
  list.value = model;
};

const load = async () => {
  const request = (state.request += 1);
  find(".dashboard").setAttribute("aria-busy", "true");
  const answer = await ask("figures", asked());
  if (request !== state.request) return;
  find(".dashboard").removeAttribute("aria-busy");
  find(".dashboard > .problem").textContent = answer.problem ?? "";
  drawRange(answer.models ?? []);
  if (answer.problem) return;
  const none = !answer.replies && !answer.cases;
  const open = asked();
  const limited = Boolean(open.since || open.until || open.model);
  find(".begin").hidden = !none || limited;
  find(".dashboard > .summary").replaceChildren(none
    ? (limited ? "No reply was written then, with this model." : "")
    : make("span", {}, `${counted(answer.replies, "reply", "replies")} with `, leading(counted(answer.cases, "case"), within({})), "."));
  const details = [...element.querySelectorAll(".panel")].map((panel) => panel.querySelector("details")?.open ?? false);
  find(".panels").replaceChildren(...(none ? [] : PANELS.map((panel) => panel(answer))));
  [...element.querySelectorAll(".panel")].forEach((panel, i) => {
    const more = panel.querySelector("details");
    if (more) more.open = details[i] ?? false;
  });
};

const range = (fields) => followLink("dashboard", { ...asked(), ...fields });
const watchRange = () => {
  find(".range").addEventListener("submit", (event) => event.preventDefault());
  find(".range").addEventListener("change", ({ target }) => range({ [target.name]: target.value }));
  for (const one of element.querySelectorAll(".ranges button"))
    one.addEventListener("click", () => range({ since: one.dataset.days ? daysAgo(Number(one.dataset.days)) : "", until: "" }));
};

whenShown(() => {
  watchRange();
  load();
}, load);
