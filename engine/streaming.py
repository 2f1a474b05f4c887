"""From sampled tokens to streamed text: unfinished characters and stop strings are held back."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from engine.protocol import TokenEvent
from engine.tokenizer import ByteStream, Tokenizer


class TextStream:
    """Gives tokens their text and releases them once it is certain that they belong to the reply.

    A reply's first space belongs to the prompt's "GOPHER:" and is dropped. `stopped` becomes true
    when a stop string appears; it and what follows are cut off.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]):
        self._bytes = ByteStream(tokenizer)
        self._stop = tuple(s for s in stop if s)
        self._held: list[TokenEvent] = []
        self._first = True
        self.stopped = False

    def feed(self, event: TokenEvent) -> Iterator[TokenEvent]:
        """Takes a token without text, yields those that are certain now."""
        text = self._bytes.feed(event.id)
        if self._first and text:
            text, self._first = text.removeprefix(" "), False
        self._held.append(replace(event, text=text))
        held = "".join(e.text for e in self._held)
        cuts = [at for s in self._stop if (at := held.find(s)) >= 0]
        if cuts:
            self.stopped = True
            yield from self._release(min(cuts), cut=True)
        elif not self._bytes.unfinished:
            yield from self._release(len(held) - self._open_length(held))

    def close(self) -> Iterator[TokenEvent]:
        """Yields what is still held back at the end of a reply that did not hit a stop string."""
        rest = self._bytes.close()
        if self._held and not self.stopped:
            last = self._held[-1]
            self._held[-1] = replace(last, text=last.text + rest)
            yield from self._held
        self._held = []

    def _open_length(self, text: str) -> int:
        """Length of the longest end of the text that begins a stop string."""
        longest = max(map(len, self._stop), default=1) - 1
        for n in range(min(longest, len(text)), 0, -1):
            if any(s.startswith(text[-n:]) for s in self._stop):
                return n
        return 0

    def _release(self, characters: int, *, cut: bool = False) -> Iterator[TokenEvent]:
        """Yields tokens that lie within the first `characters` of what is held."""
        while self._held:
            event = self._held[0]
            if len(event.text) > characters:
                if cut and characters:
                    yield replace(event, text=event.text[:characters])
                break
            if cut and not characters:
                break
            characters -= len(event.text)
            yield self._held.pop(0)
        if cut:
            self._held = []
