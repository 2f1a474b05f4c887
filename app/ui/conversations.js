// The list of conversations; nodes.js stands before this file. Titles are untrusted text, so nodes are built, never HTML strings.
const list = element.querySelector("ul");
const empty = element.querySelector(".empty");

const when = (iso) => {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  const today = new Date().toDateString() === date.toDateString();
  return today
    ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });
};

const replies = (item) => counted(item.turns, "reply", "replies");

// Something to answer below a row, in place of its menu; Escape leaves it.
const panel = (row, className, label, ...children) => {
  row.querySelector(".below")?.remove();
  const made = make("div", { className: `below ${className}`, aria: { role: "group", label } }, ...children);
  const more = row.querySelector(".more");
  made.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation(); // it lets go of the chosen chunk elsewhere
    leave(row);
  });
  more.setAttribute("aria-expanded", "true");
  row.append(made);
  return made;
};

const fold = (row) => {
  row.querySelector(".below")?.remove();
  row.querySelector(".more").setAttribute("aria-expanded", "false");
};

const leave = (row) => {
  fold(row);
  row.querySelector(".more").focus();
};

const ask = (item, row) => {
  const yes = button("Delete", () => trigger("remove", { id: item.id }), { className: "danger" });
  const no = button("Keep", () => leave(row));
  panel(row, "confirm", `Delete ${item.title}`,
    make("span", { textContent: `Delete this conversation and its ${replies(item)} for good?` }),
    make("div", {}, yes, no));
  no.focus();
};

const rename = (item, row) => {
  const field = make("input", { type: "text", value: item.title, maxLength: 60, aria: { label: "Title of the conversation" } });
  const save = make("button", { type: "submit", textContent: "Rename" });
  const form = make("form", {}, field, save);
  panel(row, "rename", `Rename ${item.title}`, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    leave(row);
    if (field.value.trim() && field.value.trim() !== item.title) trigger("rename", { id: item.id, title: field.value });
  });
  field.focus();
  field.select();
};

const menu = (item, row) => {
  const act = (text, action) => button(text, () => action(item, row));
  const save = (textContent, ending) =>
    make("a", { textContent, href: `conversations/${encodeURIComponent(item.id)}.${ending}`, download: "" });
  panel(row, "menu", `What to do with ${item.title}`,
    act("Rename", rename), save("Save as Markdown", "md"), save("Save as JSON", "json"), act("Delete", ask))
    .querySelector("button").focus();
};

const rowOf = (item, selected) => {
  const open = button("", () => trigger("open", { id: item.id }), { className: "open", title: item.title });
  open.append(make("span", { className: "title", textContent: item.title }),
    make("span", { className: "when", textContent: `${when(item.updated)} · ${replies(item)}` }));
  if (item.id === selected) open.setAttribute("aria-current", "true");
  const row = make("li", { data: { id: item.id } });
  const more = button("⋯", () => (row.querySelector(".below") ? fold(row) : menu(item, row)), {
    className: "more", title: "Rename, save, delete",
    aria: { label: `Rename, save or delete ${item.title}`, expanded: "false" },
  });
  row.append(make("div", { className: "row" }, open, more));
  return row;
};

const show = () => {
  const value = props.value;
  if (!value) return;
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const id = focused?.closest("li")?.dataset.id;
  list.replaceChildren(...value.items.map((item) => rowOf(item, value.selected)));
  if (id) {
    const row = [...list.children].find((other) => other.dataset.id === id);
    (row?.querySelector(focused.classList.contains("more") ? ".more" : "button") ?? list.querySelector("button"))?.focus();
  }
  const none = value.search ? "No conversation has these words." : "Conversations are kept here.";
  const more = value.left ? `and ${value.left} older ones; search to find them` : "";
  empty.textContent = value.items.length ? more : none;
};

watch("value", show);
show();
