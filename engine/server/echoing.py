"""How likely a prompt's own tokens are, for `echo` with `logprobs`.

The first token has nothing before it. The others are scored by the engine as a reply to it, chunk
by chunk; it is laid out so that it ends a chunk. Chunk j of them is shown the neighbours of chunk
j - 1, the first chunk none but pinned ones, so that no passage is found by the text it helps to
predict (RETRO, arXiv 2112.04426, section 2.2).
"""

from dataclasses import dataclass

from engine.protocol import Request, Scoring, Segment
from engine.server.planning import Echo
from engine.server.service import Service
from retrieval.protocol import Neighbour


@dataclass(frozen=True)
class Scored:
    """A prompt that is given back.

    `logprobs` and `top`, the likeliest (token id, logprob), have an entry for each token, None for
    the first; both are () where they were not asked for.
    """

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float | None, ...] = ()
    top: tuple[tuple[tuple[int, float], ...] | None, ...] = ()
    shown: tuple[tuple[Neighbour, ...], ...] = ()


def score_prompt(echo: Echo, asked: Request, service: Service) -> Scored:
    """Scores a prompt as `asked` would have it read. Raises what the engine raises, and what the
    search for passages raises."""
    if echo.alternatives is None:
        return Scored(echo.text, echo.tokens)
    first, rest = echo.tokens[0], echo.tokens[1:]
    if not rest:
        return Scored(echo.text, echo.tokens, (None,), (None,))
    scoring = scoring_of(first, rest, asked, service)
    chunks = service.engine.score(scoring)
    logprobs = [p for chunk in chunks for p in chunk.shown.logprobs]
    top = [alternatives for chunk in chunks for alternatives in chunk.top]
    return Scored(
        echo.text, echo.tokens, (None, *logprobs), (None, *top) if top else (), scoring.shown
    )


def scoring_of(first: int, rest: tuple[int, ...], asked: Request, service: Service) -> Scoring:
    """What the engine is asked to score: the tokens after the first."""
    M = service.chunk
    chunks = [rest[start : start + M] for start in range(0, len(rest), M)]
    k = min(asked.k, service.neighbours)
    shown: list[tuple[Neighbour, ...]] = []
    for j in range(len(chunks)):
        kept = asked.always[:k]
        if asked.retrieve and service.retrieve is not None and j and len(kept) < k:
            query = service.engine.tokenizer.decode(chunks[j - 1])
            kept = (*kept, *service.retrieve(query, k))[:k]
        shown.append(kept)
    prompt = (Segment("", ends_chunk=True, tokens=(first,)),)
    return Scoring(prompt, rest, tuple(shown), alternatives=True)
