// The list of conversations. Titles are untrusted text, so nodes are built, never HTML strings.
const list = element.querySelector("ul");
const empty = element.querySelector(".empty");

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const when = (iso) => {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  const today = new Date().toDateString() === date.toDateString();
  return today
    ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });
};

const counted = (count) => `${count} ${count === 1 ? "reply" : "replies"}`;

const ask = (item, row, remove) => {
  const yes = make("button", { type: "button", className: "danger", textContent: "Delete" });
  const no = make("button", { type: "button", textContent: "Keep" });
  const question = make("div", { className: "confirm" },
    make("span", { textContent: `Delete this conversation and its ${counted(item.turns)} for good?` }),
    make("div", {}, yes, no));
  question.setAttribute("role", "group");
  question.setAttribute("aria-label", `Delete ${item.title}`);
  const close = () => {
    question.remove();
    remove.hidden = false;
    remove.focus();
  };
  yes.addEventListener("click", () => trigger("remove", { id: item.id }));
  no.addEventListener("click", close);
  question.addEventListener("keydown", (event) => event.key === "Escape" && close());
  remove.hidden = true;
  row.append(question);
  no.focus();
};

const rowOf = (item, selected) => {
  const open = make("button", { type: "button", className: "open", title: item.title },
    make("span", { className: "title", textContent: item.title }),
    make("span", { className: "when", textContent: `${when(item.updated)} · ${counted(item.turns)}` }));
  if (item.id === selected) open.setAttribute("aria-current", "true");
  open.addEventListener("click", () => trigger("open", { id: item.id }));
  const remove = make("button", { type: "button", className: "remove", textContent: "×" });
  remove.setAttribute("aria-label", `Delete ${item.title}`);
  const row = make("li", {}, make("div", { className: "row" }, open, remove));
  row.dataset.id = item.id;
  remove.addEventListener("click", () => ask(item, row, remove));
  return row;
};

const show = () => {
  const value = props.value;
  if (!value) return;
  const focused = element.contains(document.activeElement)
    ? document.activeElement.closest("li")?.dataset.id
    : null;
  list.replaceChildren(...value.items.map((item) => rowOf(item, value.selected)));
  if (focused) ([...list.children].find((row) => row.dataset.id === focused) ?? list).querySelector("button")?.focus();
  const none = value.search ? "No conversation has these words." : "Conversations are kept here.";
  const more = value.left ? `and ${value.left} older ones; search to find them` : "";
  empty.textContent = value.items.length ? more : none;
};

watch("value", show);
show();
