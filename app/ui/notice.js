// A notice with an optional progress bar and an optional button. The value comes from notices.py.
const box = element.querySelector(".notice");
let shown = "";

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const show = () => {
  const value = props.value;
  const key = JSON.stringify(value ?? null);
  if (key === shown) return;
  shown = key;
  box.hidden = !value;
  element.toggleAttribute("data-empty", !value);
  if (!value) {
    box.replaceChildren();
    return;
  }
  box.className = `notice ${value.kind}`;
  box.setAttribute("role", value.kind === "failed" ? "alert" : "status");
  const parts = [make("span", { className: "text", textContent: value.text })];
  if (value.kind === "loading") {
    const bar = make("progress");
    bar.setAttribute("aria-label", "Loading the model");
    if (value.total) Object.assign(bar, { max: value.total, value: value.done });
    parts.push(bar);
  }
  if (value.button) {
    const button = make("button", { type: "button", textContent: value.button });
    button.addEventListener("click", () => trigger("press"));
    parts.push(button);
  }
  if (value.link) parts.push(make("a", { textContent: value.link.text, href: value.link.href }));
  box.replaceChildren(...parts);
};

watch("value", show);
show();
