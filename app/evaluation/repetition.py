"""How often free generations repeat themselves.

A document's first chunk is continued, chunk by chunk, each with the passages found with the chunk
before it. A continuation loops if it ends in four or more copies of a run that cover 24 tokens;
seq-rep-4 is the share of its sequences of four words that are not new (arXiv 1908.04319).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.evaluation.bootstrap import ratio, share
from app.evaluation.curves import told
from app.evaluation.held import Held
from app.failures.loops import Words, tail_loop
from engine.protocol import Engine, Reply, Request, Sampling, Segment
from engine.tokenizer import EOS
from retrieval.protocol import Neighbour

# greedy, and the nucleus sampling that repetition is reported under (arXiv 1904.09751)
SAMPLINGS = {
    "greedy": Sampling(temperature=0),
    "nucleus 0.9": Sampling(temperature=1, top_p=0.9),
}
Find = Callable[[str], tuple[Neighbour, ...]]


@dataclass(frozen=True)
class Continuation:
    text: str
    tokens: int
    loops: bool
    again: float | None  # seq-rep-4; None for less than 4 words


def go_on(
    engine: Engine, held: Held, tokens: int, chunk: int, sampling: Sampling, seed: int, find: Find
) -> Continuation:
    """Continues a document's first chunk by up to `tokens` tokens; `find` is asked for passages
    with the text of each completed chunk. Raises what `Engine.generate` raises."""
    query = held.pieces[0].text
    start = Segment("", ends_chunk=True, tokens=(EOS, *held.pieces[0].tokens))
    written: list[int] = []
    shown: list[tuple[Neighbour, ...]] = []
    text = ""
    while len(written) < tokens:
        shown.append(find(query))
        room = min(chunk, tokens - len(written))
        prompt = (start, Segment("", tokens=tuple(written), shown=tuple(shown[:-1])))
        request = Request(
            prompt[: 1 + bool(written)], "",
            replace(sampling, max_tokens=room, seed=(seed + len(written)) % 2**32),
            retrieve=False, pinned={0: shown[-1]},
        )  # fmt: skip
        reply = Reply.of(engine.generate(request))
        written += [token.id for token in reply.tokens]
        text, query = text + reply.text, reply.text
        if len(reply.tokens) < room:
            break  # the model ended it
    return Continuation(text, len(written), tail_loop(written) is not None, seq_rep(text))


def seq_rep(text: str, n: int = 4) -> float | None:
    """1 less the share of different sequences among all sequences of n words."""
    words = Words.of(text).folded
    grams = [words[i : i + n] for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else None


def continuations(
    engine: Engine, held: Held, number: int, *, tokens: int, chunk: int, seed: int,
    ways: Mapping[str, Find],
) -> dict[tuple[str, str], Continuation]:  # fmt: skip
    """One for each sampling and way."""
    return {
        (name, way): go_on(
            engine, held, tokens, chunk, sampling, (seed * 100_003 + number) % 2**32, find
        )
        for name, sampling in SAMPLINGS.items()
        for way, find in ways.items()
    }


def summarise(found: Sequence[Mapping[tuple[str, str], Continuation]], seed: int) -> dict[str, Any]:
    rows = []
    for key in found[0]:
        some = [row[key] for row in found]
        worded = [c.again for c in some if c.again is not None]
        rows.append(
            {
                "sampling": key[0],
                "way": key[1],
                "loops": told(share([c.loops for c in some])),
                "seq_rep_4": told(ratio(worded, [1.0] * len(worded), seed)),
                "tokens": sum(c.tokens for c in some),
            }
        )
    return {"continuations": len(found), "rows": rows}
