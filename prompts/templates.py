"""Prompt templates: the text around a message and a passage, up to where the reply begins."""

import re
from dataclasses import dataclass

LIMIT = 2_000  # characters
MESSAGE, PASSAGE = "{message}", "{passage}"
_EXAMPLE = '"USER: {message}\\nGOPHER:"'
_BRACES = re.compile(r"\{[^{}\n]{0,40}\}|[{}]")
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BLANK_LINES = re.compile(r"(?:[^\S\n]*\n)*")


class BadTemplate(ValueError):
    """A text that is no prompt template; the message says what was given and what is expected."""


@dataclass(frozen=True)
class Template:
    """A prompt with a place for the message and, before it, perhaps one for a passage.

    Where there is no passage, the line that holds its place is left out with the blank lines
    after it; or the place alone, where the message stands on the same line. Raises BadTemplate.
    """

    text: str

    def __post_init__(self) -> None:
        _check(self.text)

    def render(self, message: str, passage: str = "") -> str:
        before, after = self.text.split(MESSAGE)
        head, place, gap = before.partition(PASSAGE)
        if place:
            before = f"{head}{passage}{gap}" if passage else _left_out(head, gap)
        return f"{before}{message}{after}"


def stop_of(template: Template) -> tuple[str, ...]:
    """Where a reply is cut off because the model goes on to write the user's part: what stands
    before the message on its line, at the start of a line. None where nothing stands there."""
    line = template.text.partition(MESSAGE)[0].rpartition("\n")[2]
    mark = line.rpartition(PASSAGE)[2].rstrip()
    return (f"\n{mark}",) if mark.strip() else ()


def _left_out(head: str, gap: str) -> str:
    """What stands before the message, without the place between `head` and `gap`."""
    _, end, below = gap.partition("\n")
    if not end:
        return head + gap.lstrip()
    return head[: head.rfind("\n") + 1] + _BLANK_LINES.sub("", below, count=1)


def _check(text: str) -> None:
    if len(text) > LIMIT:
        raise BadTemplate(f"the template has {len(text):,} characters; the limit is {LIMIT:,}")
    if unfit := _UNFIT.search(text):
        raise BadTemplate(
            f"the template has the control character U+{ord(unfit.group()):04X} at character "
            f"{unfit.start()}; leave it out"
        )
    braces = _BRACES.findall(text)
    if other := [found for found in braces if found not in (MESSAGE, PASSAGE)]:
        raise BadTemplate(
            f"the template has {other[0]}; only {MESSAGE} and {PASSAGE} may stand in braces"
        )
    for place, most in ((MESSAGE, "exactly once"), (PASSAGE, "at most once")):
        count = braces.count(place)
        if count > 1 or (place == MESSAGE and not count):
            times = "does not have" if not count else f"has {count} times"
            raise BadTemplate(f"the template {times} {place}; give it {most}, as in {_EXAMPLE}")
    if PASSAGE in braces[1:]:
        raise BadTemplate(
            f"the template has {PASSAGE} after {MESSAGE}; the passage must come before the message"
        )
    after = text.partition(MESSAGE)[2]
    if not after.strip():
        raise BadTemplate(
            f"the template ends with {MESSAGE}; give words after it that the reply follows, as in "
            f"{_EXAMPLE}"
        )
    if after != after.rstrip() and not after.endswith("\n"):
        raise BadTemplate(
            "the template ends in a space; end it with a word, a sign or a new line, because a "
            "reply brings its own first space"
        )
