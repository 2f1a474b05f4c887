"""LAMBADA: the last word of a passage, which only the passage tells (arXiv 1606.06031).

The passage without its last word ends a chunk, so that the word is the first of the next chunk
and reads what was found with the 64 tokens before it. A word counts as right where the likeliest
token at each of its places is the word's own: what greedy decoding would write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.evaluation.bootstrap import ratio, share
from app.evaluation.curves import perplexity, told
from engine.protocol import Engine, Reply, Request, Sampling, Scoring, Segment
from engine.tokenizer import EOS
from retrieval.protocol import EncodeOffsets, Neighbour


@dataclass(frozen=True)
class Target:
    """A passage's tokens without its last word, and that word's."""

    context: tuple[int, ...]
    word: tuple[int, ...]
    query: str  # the text of the context's last chunk


@dataclass(frozen=True)
class Guess:
    """What became of a word: in each way whether it was right, and its nats."""

    right: Mapping[str, bool]
    nats: Mapping[str, float]


def target_of(text: str, encode_offsets: EncodeOffsets, chunk: int) -> Target | None:
    """None where a text has but one word."""
    text = text.rstrip()
    head = text[: len(text) - len(text.split()[-1])].rstrip() if text.split() else ""
    if not head:
        return None
    found = encode_offsets(text)
    # the first token that reaches beyond the head; the space belongs to the word
    first = next(i for i, (_, _, end) in enumerate(found) if end > len(head))
    ids = tuple(id for id, _, _ in found)
    start = found[max(0, first - chunk)][1]
    return Target(ids[:first], ids[first:], text[start : len(head)]) if first else None


def guess(
    engine: Engine, target: Target, chunk: int, ways: Mapping[str, tuple[Neighbour, ...]]
) -> Guess:
    """`ways` are the passages shown in each. Raises what `generate` and `score` raise."""
    prompt = (Segment("", ends_chunk=True, tokens=(EOS, *target.context)),)
    right, nats = {}, {}
    for name, shown in ways.items():
        request = Request(
            prompt, "", Sampling(temperature=0, max_tokens=len(target.word)),
            retrieve=False, pinned={0: shown},
        )  # fmt: skip
        reply = Reply.of(engine.generate(request))
        right[name] = tuple(token.id for token in reply.tokens) == target.word
        more = -(-len(target.word) // chunk) - 1  # chunks of a very long word, shown nothing
        scored = engine.score(Scoring(prompt, target.word, (shown, *((),) * more)))
        nats[name] = -sum(sum(s.shown.logprobs) for s in scored)
    return Guess(right, nats)


def summarise(guesses: Sequence[Guess], seed: int) -> dict[str, Any]:
    ones = [1.0] * len(guesses)
    rows = []
    for way in guesses[0].nats:
        nats = ratio([g.nats[way] for g in guesses], ones, seed)
        assert nats
        rows.append(
            {
                "way": way,
                "accuracy": told(share([g.right[way] for g in guesses])),
                "perplexity": told(nats.map(perplexity)),
            }
        )
    return {
        "passages": len(guesses),
        "normalisation": "perplexity of the last word, all its tokens together; accuracy is that "
        "of greedy decoding",
        "ways": rows,
    }
