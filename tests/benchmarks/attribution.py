"""What attributing a reply costs: python -m tests.benchmarks.attribution

Prints, and asserts nothing: times belong to a machine, and only their ratio says something. A
reply of 128 tokens is written with two passages a chunk, then measured under every subset of them
and four control passages, warm, in turn. Passages are random tokens, and so are the weights of
every model but the one that comes with Retroscope; neither changes how long it takes.
"""

import argparse
import time
from dataclasses import replace
from statistics import median

import numpy as np
from flax import nnx

from app.settings import ROOT
from engine.attribution import attribute
from engine.checkpoint import build, flatten, load_weights
from engine.local import LocalEngine
from engine.presets import preset
from engine.protocol import Info, Reply, Request, Sampling, Segment
from engine.tokenizer import Tokenizer
from retrieval.protocol import Neighbour
from tests.toys import Endless

WEIGHTS = ROOT / "engine/weights"
PROMPT = (Segment("USER: How does a volcano form?\nGOPHER:", ends_chunk=True),)


def engine_of(name: str) -> LocalEngine:
    p, tokenizer = preset(name), Tokenizer(WEIGHTS / "gopher-32k.model")
    if (WEIGHTS / name).exists():
        arrays = load_weights(WEIGHTS / name)[1]
        tokenizer = Tokenizer(WEIGHTS / name / "tokenizer.model")
    else:
        arrays = flatten(nnx.state(build(p), nnx.Param))
    info = Info(name, 0, "", tokenizer.fingerprint, p.context, "")
    return LocalEngine(arrays, tokenizer, info, slots=Endless)


def passages_for(engine: LocalEngine, count: int) -> list[Neighbour]:
    p = preset(engine.info.preset)
    ids = np.random.default_rng(0).integers(4, p.vocab, (count, 2, p.chunk)).tolist()
    made = Neighbour(0, 0, "", "", 0, 0, 0, "", "", (), ())
    return [
        replace(made, chunk_id=i, tokens=tuple(n), continuation_tokens=tuple(f))
        for i, (n, f) in enumerate(ids)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=["retro-mini", "retro-44m"])
    parser.add_argument("--tokens", type=int, default=128, help="of the reply (default 128)")
    parser.add_argument("--controls", type=int, default=4, help="random passages (default 4)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds (default 5)")
    flags = parser.parse_args()
    for name in flags.presets:
        engine = engine_of(name)
        (*shown,) = passages_for(engine, 2 * -(-flags.tokens // 64) + flags.controls)
        controls = [shown.pop() for _ in range(flags.controls)]
        pinned = {j: tuple(shown[2 * j : 2 * j + 2]) for j in range(len(shown) // 2)}
        sampling = Sampling(max_tokens=flags.tokens)
        request = Request(PROMPT, "", sampling, pinned=pinned)
        reply, rows = Reply.of([]), []
        for _ in range(flags.rounds + 1):
            marks = [time.perf_counter()]
            reply = Reply.of(engine.generate(request))
            marks.append(time.perf_counter())
            attribute(engine, PROMPT, reply, controls)
            marks.append(time.perf_counter())
            rows.append(np.diff(marks))
        (_, compiling), *warm = rows
        wrote, measured = (median(column) for column in zip(*warm, strict=True))
        ratios = sorted(b / a for a, b in warm)
        print(
            f"{name}: {len(reply.tokens)} tokens in {len(reply.chunks)} chunks, "
            f"{flags.controls} controls: written in {wrote:.2f} s, measured in {measured:.2f} s, "
            f"ratio {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); "
            f"the first time, with compiling, {compiling:.2f} s"
        )


if __name__ == "__main__":
    main()
