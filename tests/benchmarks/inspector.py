"""How long the inspector of a long reply takes to open: python -m tests.benchmarks.inspector

A reply of 1,024 tokens in 16 chunks of two passages, with findings and measured effects, is in the
log beside a short one. The page is opened in Chromium and goes from the short one to the long one.
"""

import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from app.failures.detectors import run_detectors
from app.records import Settings, Turn
from app.store.ids import new_id, now
from app.store.log import Log
from app.ui.reading import Reading
from engine.attribution import Attribution, ChunkEffect, NeighbourEffect, Thresholds
from engine.protocol import ChunkEvent, DoneEvent, Event, Reply, TokenEvent
from retrieval.protocol import CHUNK, Neighbour
from tests.e2e.conftest import CHROMIUM, FLAGS, Server
from tests.e2e.scripted import ScriptedEngine

CHUNKS, K, ROUNDS = 16, 2, 5
WORDS = re.findall(
    r"\w+",
    """Deep snow presses on itself until it becomes ice, and a thick sheet of ice begins to creep
    downhill under its own weight. Where more falls in winter than melts in summer a glacier grows;
    where the summers win it shrinks, and leaves behind the stones that it carried, ground to sand
    and dust. Rivers born beneath it run milky, and the lakes they feed are green. Sailors of old
    steered by the stars, and by the set of the swell, long before any of them owned a compass; the
    harbour lights came later, first fires on towers, then lamps with lenses of cut glass.""",
)


def long_turn(rng: random.Random, conversation: str, parent: str) -> Turn:
    """Half of its words are copied in runs from the passages of their chunk."""
    events: list[Event] = []
    for c in range(CHUNKS):
        passages = tuple(_passage(rng, K * c + r) for r in range(K))
        events.append(ChunkEvent(c, f"query of chunk {c}", passages, 0.01))
        words: list[str] = []
        while len(words) < CHUNK:
            source = rng.choice(passages).text.split() if rng.random() < 0.3 else WORDS
            at = rng.randrange(len(source) - 6)
            words += source[at : at + rng.randint(2, 6)]
        for word in words[:CHUNK]:
            logprob = -rng.expovariate(0.7)
            top = [(f" {word}", logprob)] + [
                (f" {w}", -rng.expovariate(0.4)) for w in rng.sample(WORDS, 4)
            ]
            ranked = tuple(sorted(top, key=lambda pair: -pair[1]))
            events.append(TokenEvent(rng.randrange(32000), f" {word}", logprob, ranked, c))
    events.append(DoneEvent("length", 40, {"first_token": 0.2, "total": 20.0}))
    info = ScriptedEngine.info
    return Turn(
        new_id(), conversation, parent, "Tell me everything", Reply.of(events), Settings(), info,
        "d" * 64, "length", now(),
    )  # fmt: skip


def effects_of(rng: random.Random, turn: Turn) -> Attribution:
    chunks = []
    for chunk in turn.reply.chunks:
        on = tuple(token.logprob for token in turn.reply.tokens[chunk.first : chunk.last])
        off = tuple(p - rng.gauss(0.08, 0.4) for p in on)
        gain = sum(on) - sum(off)
        share = rng.random()
        chunks.append(
            ChunkEffect(
                on, off,
                (NeighbourEffect(share * gain, share * gain, 0.6),
                 NeighbourEffect((1 - share) * gain, (1 - share) * gain, 0.4)),
                tuple(rng.gauss(0, 0.5) for _ in range(4)),
            )
        )  # fmt: skip
    return Attribution(tuple(chunks), tuple(p for c in chunks for p in c.off), 3.2)


def _passage(rng: random.Random, i: int) -> Neighbour:
    text, more = (" ".join(rng.choices(WORDS, k=48)) + " " for _ in range(2))
    return Neighbour(
        i, i, f"Document {i}", f"library/{i}.md", 3, 900, 900 + len(text), text, more,
        (1,) * CHUNK, (2,) * CHUNK, rng.random(), 0.4,
    )  # fmt: skip


def stock(log: Log, seed: int = 0) -> tuple[Turn, Turn]:
    """Saves a short turn and the long one after it."""
    rng = random.Random(seed)
    conversation = new_id()
    long = long_turn(rng, conversation, "")
    first = long.reply.tokens[:20]
    head = replace(long.reply.chunks[0], last=20, end=len("".join(t.text for t in first)))
    reply = Reply("".join(t.text for t in first), first, (head,), long.reply.done)
    short = replace(long, id=new_id(), parent=None, message="Tell me something", reply=reply)
    long = replace(long, id=new_id(), parent=short.id)
    for turn in (short, long):
        log.save(turn, run_detectors(turn))
        log.save_attribution(turn.id, effects_of(rng, turn))
    return short, long


def timed(page: Page, act: str, done: str) -> float:
    """Seconds in the browser from an action until a frame in which a condition holds."""
    return page.evaluate(
        f"""() => new Promise((resolve) => {{
            const begun = performance.now();
            const look = () => ({done}) ? resolve((performance.now() - begun) / 1000)
                                        : requestAnimationFrame(look);
            {act};
            requestAnimationFrame(look);
        }})"""
    )


def seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def report(what: str, times: list[float]) -> None:
    print(f"{what:<58} {statistics.median(times):6.3f} s   ({min(times):.3f} to {max(times):.3f})")


def main() -> None:
    directory = tempfile.TemporaryDirectory()
    server = Server(Path(directory.name))
    server.application.thresholds = Thresholds(0.5, -0.5, 8)
    short, long = stock(server.log)
    reading = Reading(server.application)
    print(f"{len(long.reply.tokens)} tokens, {len(long.reply.chunks)} chunks, median of {ROUNDS}")
    for name in ("inspect", "measure", "tokens", "raw"):
        ask = getattr(reading, name)
        report(f"server: {name}", [seconds(lambda ask=ask: ask(long.id)) for _ in range(ROUNDS)])
    opened, measured, tabs, coloured = [], [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for _ in range(ROUNDS):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"{server.url}?turn={short.id}")
            page.wait_for_function("document.querySelectorAll('.ribbon .helped').length === 1")
            click = "document.querySelector('.inspector .later').click()"
            shown = "document.querySelectorAll('.ribbon button').length === 16"
            effects = "document.querySelectorAll('.ribbon :is(.helped, .hurt, .level)').length"
            begun = time.perf_counter()
            opened.append(timed(page, click, shown))
            page.wait_for_function(f"{effects} === 16")
            measured.append(time.perf_counter() - begun)
            tab = "document.querySelector('#inspector-tokens-tab').click()"
            built = "document.querySelectorAll('#inspector-tokens [data-token]').length === 1024"
            tabs.append(timed(page, tab, built))
            scale = "document.querySelector('.scale [value=gain]').click()"
            recoloured = "document.querySelectorAll('.text .g3').length > 0"
            coloured.append(timed(page, scale, recoloured))
            page.close()
        browser.close()
    report("open the inspector (chunks, cards, shared words)", opened)
    report("... until its measured effects are drawn", measured)
    report("open the tokens tab", tabs)
    report("colour the tokens by the other scale", coloured)
    server.stop()
    directory.cleanup()


if __name__ == "__main__":
    main()
