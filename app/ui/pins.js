// Above the message box: the passages that are pinned. The value comes from pins.py; nodes.js
// stands before this file.
// Titles and passages are untrusted text, so nodes are built, never HTML strings.
const box = element.querySelector(".pins");
const list = element.querySelector("ul");
const WHY = "Pinned: shown to the model for every chunk of the next replies, before what is found.";

const chipOf = ({ title, text }, place) =>
  make("li", { title: text }, make("span", { className: "name", textContent: title }),
    button("×", () => trigger("unpin", { place }), { title: "Unpin", aria: { label: `Unpin ${title}` } }));

const show = () => {
  const pins = props.value?.pins ?? [];
  const focused = list.contains(document.activeElement);
  box.hidden = !pins.length;
  box.querySelector("p").textContent = pins.length ? WHY : "";
  list.replaceChildren(...pins.map(chipOf));
  if (focused) (list.querySelector("button") ?? document.querySelector("#box textarea"))?.focus();
};

watch("value", show);
show();
