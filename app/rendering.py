"""A conversation that comes through the engine server as the model reads it.

As the page renders it (`app.prompt`), from texts alone: the neighbours under which earlier replies
were written are not known, so those replies are read without.
"""

from collections.abc import Sequence

from app.prompt import cleaned
from engine.protocol import Segment
from engine.server.refusals import wrong
from engine.server.service import Message, Rendered
from prompts.dialogue import exchange
from prompts.templates import Template, stop_of


def rendered(messages: Sequence[Message], passage: str, template: Template) -> Rendered:
    """The prompt of a conversation: what system messages say stands at its beginning, before the
    first exchange (Gopher, appendix H). Raises Refusal for a message that is empty.
    """
    texts = [_cleaned(message.text, f"messages[{i}]") for i, message in enumerate(messages)]
    before = "".join(
        f"{text}\n\n" for m, text in zip(messages, texts, strict=True) if m.role == "system"
    )
    spoken = [(m.role, text) for m, text in zip(messages, texts, strict=True) if m.role != "system"]
    segments: list[Segment] = []
    for i, (role, text) in enumerate(spoken):
        if role == "assistant":
            segments.append(Segment(f" {text}"))
            continue
        last = i == len(spoken) - 1
        said = exchange(text, passage if last else "", first=not i, template=template)
        segments.append(Segment(f"{before if not i else ''}{said}", ends_chunk=True))
    return Rendered(tuple(segments), spoken[-1][1], stop_of(template))


def _cleaned(text: str, path: str) -> str:
    text = cleaned(text)
    if not text:
        raise wrong(f"{path}.content", "empty", "a text")
    return text
