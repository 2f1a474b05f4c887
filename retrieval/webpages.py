"""The text of an HTML page, and its title.

Not with `html.parser`: in Python 3.11 it needs minutes for some 200 kB that are all "<a b=", and
nobody vouches for the pages that are read here. This takes time in proportion to the page.
"""

import html
import re

HIDDEN = {"script", "style", "template", "noscript", "svg", "math", "iframe", "object", "head"}
RAW = {"script", "style", "title", "textarea", "iframe", "noscript"}  # hold no elements
INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i",
    "img", "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span",
    "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
}  # fmt: skip
PARAGRAPHS = {
    "address", "article", "aside", "blockquote", "dl", "fieldset", "figure", "footer", "form",
    "h1", "h2", "h3", "h4", "h5", "h6", "header", "main", "nav", "ol", "p", "pre", "section",
    "table", "ul",
}  # fmt: skip

# Possessive throughout, so that nothing is tried twice. Quotes count only behind "=".
TAG = re.compile(
    r"""<(?P<end>/?)(?P<name>[a-zA-Z][^\s/>]*+)
    (?:[^>=]++ | =\s*+(?:"[^"]*+" | '[^']*+' | (?!["'])))*+>""",
    re.VERBOSE,
)
OPENING = re.compile(r"</?[a-zA-Z]|<[!?]")
TOO_LONG = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{8,});?")  # no character has such a number


def text_of(page: str) -> tuple[str, str]:
    """HTML -> (title, text): a paragraph a line with an empty one between, no markup, no scripts.

    The title is that of the page, else its first heading; it may be empty, and so may the text.
    """
    reading = Reading()
    at = 0
    while found := OPENING.search(page, at):
        reading.text(page[at : found.start()])
        at = reading.markup(page, found.start())
    reading.text(page[at:])
    lines = (line.strip(" ") for line in "".join(reading.pieces).split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return plain(reading.title) or plain("".join(reading.heading)), text


class Reading:
    """What has been read of a page so far."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.title = ""
        self.heading: list[str] = []  # the first of level 1
        self._in_heading = False
        self._hidden, self._depth = "", 0  # the open element that is not shown, and how deep
        self._as_it_is = 0  # open <pre>

    def text(self, raw: str) -> None:
        if self._hidden or not raw:
            return
        text = characters(raw)
        if self._in_heading:
            self.heading.append(text)
        self.pieces.append(text if self._as_it_is else re.sub(r"\s+", " ", text))

    def markup(self, page: str, at: int) -> int:
        """Reads a comment, a tag, or an element that holds no others; returns where it ends."""
        if page.startswith("<!--", at):
            return after(page, "-->", at + 4)
        tag = TAG.match(page, at)
        if tag is None:
            return after(page, ">", at)
        name = tag["name"].lower()
        if tag["end"]:
            self._close(name)
            return tag.end()
        if name in RAW:
            end = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(page, tag.end())
            inside = page[tag.end() : end.start() if end else len(page)]
            if name == "title" and self._hidden in ("", "head"):
                self.title = self.title or characters(inside)
            elif name == "textarea":
                self.text(inside)
            return after(page, ">", end.end()) if end else len(page)
        if page.startswith("/>", tag.end() - 2) and name in HIDDEN:
            return tag.end()  # as in <svg/>
        self._open(name)
        return tag.end()

    def _open(self, name: str) -> None:
        if name == "body" and self._hidden == "head":
            self._hidden = ""  # the end of the head was left out
        if name == (self._hidden or name) and name in HIDDEN:
            self._hidden, self._depth = name, self._depth + 1 if self._hidden else 1
        self._in_heading = self._in_heading or (name == "h1" and not self.heading)
        self._as_it_is += name == "pre"
        self._break(name)

    def _close(self, name: str) -> None:
        if name == self._hidden:
            self._depth -= 1
            self._hidden = name if self._depth else ""
        self._in_heading = self._in_heading and name != "h1"
        self._as_it_is -= name == "pre" and self._as_it_is > 0
        self._break(name)

    def _break(self, name: str) -> None:
        if name not in INLINE and not self._hidden:
            self.pieces.append("\n\n" if name in PARAGRAPHS else "\n")


def after(page: str, ending: str, at: int) -> int:
    """Behind the next `ending`; what is never ended goes on to the end of the page."""
    found = page.find(ending, at)
    return found + len(ending) if found >= 0 else len(page)


def characters(raw: str) -> str:
    """Text with its character references replaced."""
    return html.unescape(TOO_LONG.sub("\ufffd", raw))


def plain(text: str) -> str:
    return " ".join(text.split())
