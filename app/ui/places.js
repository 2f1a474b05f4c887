// Places in a text: Python counts code points, the browser UTF-16 units, a document its nodes.
// It stands before the scripts that use it, and after nodes.js.
const units = (text, points) => {
  let at = 0;
  for (let i = 0; i < points && at < text.length; i += 1) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return at;
};
const points = (text, units) => {
  let count = 0;
  for (let at = 0; at < units && at < text.length; count += 1) at += text.codePointAt(at) > 0xffff ? 2 : 1;
  return count;
};
const slice = (text, start, end) => text.slice(units(text, start), units(text, end));

// Nodes of a text, with what stands at the spans marked.
const markedText = (text, spans) => {
  const nodes = [];
  let at = 0;
  for (const [start, end] of spans) {
    nodes.push(slice(text, at, start), make("mark", { textContent: slice(text, start, end) }));
    at = end;
  }
  return [...nodes, text.slice(units(text, at))];
};

// Where the reply begins in an element's text; the component may have trimmed the space around it.
const offsetIn = (box, text) => {
  const lead = text.length - text.trimStart().length;
  const at = box.textContent.indexOf(text.trim());
  return at < 0 ? null : at - lead;
};

const rangeIn = (box, start, end) => {
  const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  let passed = 0;
  let begun = false;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const length = node.data.length;
    if (!begun && start < passed + length) {
      range.setStart(node, Math.max(0, start - passed));
      begun = true;
    }
    if (begun && end <= passed + length) {
      range.setEnd(node, end - passed);
      return range;
    }
    passed += length;
    if (begun) range.setEnd(node, length);
  }
  return begun ? range : null;
};

// Where a range begins and ends in an element's text, in UTF-16 units; cut to what is inside.
const placeOf = (box, range) => {
  const before = (node, offset) => {
    const passed = document.createRange();
    passed.selectNodeContents(box);
    if (passed.comparePoint(node, offset) < 0) return 0;
    if (passed.comparePoint(node, offset) === 0) passed.setEnd(node, offset);
    return passed.toString().length;
  };
  return [before(range.startContainer, range.startOffset), before(range.endContainer, range.endOffset)];
};
