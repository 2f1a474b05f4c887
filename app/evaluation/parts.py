"""The parts of the language-model evaluation: what each measures, row by row, and sums up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.evaluation import lambada, repetition
from app.evaluation.curves import summarise_text, summarise_ways, summarise_wikitext
from app.evaluation.held import cut
from app.evaluation.reading import read
from app.evaluation.shown import OFF, ON, Search, with_k
from engine.presets import preset
from engine.protocol import Engine
from retrieval.protocol import Document, EncodeOffsets


@dataclass(frozen=True)
class Amount:
    """How much is measured: documents, and chunks of each; passages of LAMBADA; continuations,
    and tokens of each; questions."""

    documents: int
    chunks: int
    wikitext: int
    words: int
    continuations: int
    tokens: int
    questions: int = 80  # of a file that is given; of our own all are asked


QUICK = Amount(12, 6, 8, 40, 6, 64, 20)
FULL = Amount(200, 15, 60, 2000, 100, 128)


@dataclass(frozen=True)
class Part:
    """Something to measure: `rows` yields `total` of them, `summarise` takes any of them."""

    name: str
    total: int
    rows: Callable[[], Iterator[Any]]
    summarise: Callable[[Sequence[Any]], dict[str, Any]]


def spread(items: Sequence[Any], most: int) -> Sequence[Any]:
    """Up to `most` of them, evenly from all of the list."""
    count = min(len(items), most)
    return [items[i * len(items) // count] for i in range(count)]


class Measuring:
    """Makes parts for one engine and one database. The tokenizer must be the engine's."""

    def __init__(
        self, engine: Engine, search: Search, encode_offsets: EncodeOffsets, amount: Amount,
        seed: int,
    ):  # fmt: skip
        self._engine, self._search, self._encode = engine, search, encode_offsets
        self._amount, self._seed = amount, seed
        self._chunk = preset(engine.info.preset).chunk

    def text(self, texts: Sequence[str]) -> Part:
        """Bits per byte on, off and with random passages; by overlap, k and database size."""
        texts = texts[: self._amount.documents]

        def rows() -> Iterator[Any]:
            for number, text in enumerate(texts):
                yield self._read(text, number, figures=True)

        return Part(
            "text", len(texts), rows,
            partial(
                summarise_text, k=self._search.k, sizes=self._search.sizes, seed=self._seed
            ),
        )  # fmt: skip

    def library(self, articles: Sequence[Document]) -> Part:
        """Bits per byte on, off and with random passages; an article is shown none of its own."""
        articles = spread(articles, self._amount.documents)

        def rows() -> Iterator[Any]:
            for number, article in enumerate(articles):
                held = cut(article.text, self._encode, self._chunk, self._amount.chunks)
                shown = self._search.of(held, number, figures=False, without=article.title)
                yield read(self._engine, held, shown, self._chunk)

        summarise = partial(summarise_ways, k=self._search.k, seed=self._seed)
        return Part("library", len(articles), rows, summarise)

    def wikitext(self, texts: Sequence[str]) -> Part:
        texts = texts[: self._amount.wikitext]

        def rows() -> Iterator[Any]:
            for number, text in enumerate(texts):
                yield self._read(text, number, figures=False)

        summarise = partial(summarise_wikitext, k=self._search.k, seed=self._seed)
        return Part("wikitext", len(texts), rows, summarise)

    def lambada(self, texts: Sequence[str]) -> Part:
        found = (lambada.target_of(text, self._encode, self._chunk) for text in texts)
        targets = [target for target in found if target is not None][: self._amount.words]

        def rows() -> Iterator[Any]:
            for target in targets:
                ways = {OFF: (), ON: self._search.retrieve(target.query)}
                yield lambada.guess(self._engine, target, self._chunk, ways)

        return Part("lambada", len(targets), rows, partial(lambada.summarise, seed=self._seed))

    def repetition(self, texts: Sequence[str]) -> Part:
        texts = texts[: self._amount.continuations]
        ways = {OFF: lambda query: (), ON: self._search.retrieve}

        def rows() -> Iterator[Any]:
            for number, text in enumerate(texts):
                yield repetition.continuations(
                    self._engine, cut(text, self._encode, self._chunk, 1), number,
                    tokens=self._amount.tokens, chunk=self._chunk, seed=self._seed, ways=ways,
                )  # fmt: skip

        summarise = partial(repetition.summarise, seed=self._seed)
        return Part("repetition", len(texts), rows, summarise)

    def _read(self, text: str, number: int, *, figures: bool) -> Any:
        held = cut(text, self._encode, self._chunk, self._amount.chunks)
        shown = self._search.of(held, number, figures=figures)
        measured = with_k(self._search.k) if figures else None
        return read(self._engine, held, shown, self._chunk, measured=measured)
