// The transcript shows escaped text (see transcript.py). Editing and copying should deal with the
// text itself: it is unescaped when an editor opens, and escaped again before it is submitted,
// because the component shows an edited message before the server has seen it.
() => {
  const unescaped = (text) =>
    text.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&amp;", "&");
  const escaped = (text) =>
    text.replace(/&(?=#?\w+)/g, "&amp;").replace(/<(?=[A-Za-z/!?])/g, "&lt;").replace(/(src=)"(?=\/file)/g, "$1&quot;");
  const put = (editor, text) => {
    if (editor.value === text) return;
    editor.value = text;
    editor.dispatchEvent(new Event("input", { bubbles: true }));
  };

  new MutationObserver((changes) => {
    for (const { addedNodes } of changes)
      for (const node of addedNodes) {
        const editor = node.matches?.("#chat .edit-textarea") ? node : node.querySelector?.("#chat .edit-textarea");
        if (!editor) continue;
        editor.setAttribute("aria-label", "Edit the message");
        put(editor, unescaped(editor.value));
        editor.focus();
      }
  }).observe(document.body, { childList: true, subtree: true });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#chat .message-buttons button");
    if (!button) return;
    const editor = document.querySelector("#chat .edit-textarea");
    if (editor) {
      put(editor, escaped(editor.value));
      return;
    }
    if (button.getAttribute("aria-label") !== "Copy message") return;
    const text = button.closest(".message-row")?.querySelector("[data-testid]")?.textContent;
    if (text?.match(/[<&]/)) setTimeout(() => navigator.clipboard?.writeText(text), 0); // after the component's own
  }, true);
}
