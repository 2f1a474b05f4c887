"""Many clients of one engine server at once, some of which go away in the middle of a reply.

python -m tests.benchmarks.serving [--data DIRECTORY] [--weights DIRECTORY]

Starts `app.py serve` on loopback and sends it requests of mixed lengths from 8 clients, then from
80. One in ten is given up after a random number of tokens. What is refused must be so with 429;
every reply, and what there was of each that was given up, must be the tokens that the same request
gets alone; and afterwards as many requests must run at once as before.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app.settings import ROOT
from tests.benchmarks.machine import describe, watch
from tests.terminal import ARTICLES

CLIENTS = (8, 80)
SECONDS = 300.0  # the longest that one request may take
Body = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """One request and what came of it. `tokens` is what there was of its reply."""

    number: int  # of the request among the different ones
    status: int
    tokens: tuple[int, ...] = ()
    left: bool = False
    waited: bool = False
    first: float = 0.0  # seconds to the first token
    retry_after: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a load came to."""

    clients: int
    sent: tuple[Sent, ...]
    seconds: float
    alone: dict[int, tuple[int, ...]]
    slots: tuple[int, int]  # that ran at once before and after

    @property
    def accepted(self) -> list[Sent]:
        return [s for s in self.sent if s.status == 200]

    @property
    def refused(self) -> list[Sent]:
        return [s for s in self.sent if s.status != 200]

    @property
    def wrong(self) -> list[Sent]:
        """Replies that differ from those of the same requests alone."""
        return [
            s
            for s in self.accepted
            if s.tokens != (whole := self.alone[s.number])[: len(s.tokens)]
            or (not s.left and len(s.tokens) != len(whole))
        ]

    def __str__(self) -> str:
        first = sorted(s.first for s in self.accepted if s.first)
        tokens = sum(len(s.tokens) for s in self.accepted)
        codes = {s.status for s in self.refused}
        return (
            f"{self.clients} clients: {len(self.sent)} requests in {self.seconds:.1f} s, "
            f"{len(self.accepted)} accepted ({sum(s.left for s in self.sent)} given up by the "
            f"client), {len(self.refused)} refused {sorted(codes) or ''}; first token p50 "
            f"{part(first, 0.5):.2f} s, p99 {part(first, 0.99):.2f} s; {tokens / self.seconds:.0f} "
            f"tokens/s in all; {len(self.wrong)} replies other than alone; slots at once before "
            f"{self.slots[0]}, after {self.slots[1]}"
        )


def part(ascending: Sequence[float], share: float) -> float:
    """A quantile, no lower than any value that it must reach."""
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))] if ascending else 0.0


def bodies(count: int, longest: int, most: int, rng: random.Random, **more: Any) -> list[Body]:
    """Different requests: prompts of up to `longest` characters, up to `most` tokens to write."""
    text = " ".join(ARTICLES.values())
    found = []
    for number in range(count):
        start, size = rng.randrange(len(text) // 2), rng.randint(4, longest)
        found.append(
            {
                "prompt": (text[start:] + text)[:size], "max_tokens": rng.randint(1, most),
                "seed": number, "temperature": rng.choice([0, 0.8]), "stream": True, **more,
            }
        )  # fmt: skip
    return found


async def send(client: httpx.AsyncClient, number: int, body: Body, leave: int = -1) -> Sent:
    """Sends a request; gives it up after `leave` tokens, never where that is negative."""
    start, first, tokens, waited = time.monotonic(), 0.0, [], False
    async with client.stream("POST", "/v1/completions", json=body) as response:
        if response.status_code != 200:
            await response.aread()
            return Sent(number, response.status_code, retry_after=response.headers["retry-after"])
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            piece = json.loads(line.removeprefix("data: "))
            if "error" in piece:
                return Sent(number, 500)
            for retro in (choice.get("retro") or {} for choice in piece["choices"]):
                waited |= retro.get("ahead", 0) > 0
                if isinstance(retro.get("tokens"), list):
                    first = first or time.monotonic() - start
                    tokens += retro["tokens"]
            if 0 <= leave <= len(tokens):
                return Sent(number, 200, tuple(tokens), True, waited, first)
    return Sent(number, 200, tuple(tokens), False, waited, first)


async def load(
    url: str,
    key: str,
    clients: int,
    each: int,
    asked: Sequence[Body],
    seed: int,
    probe: float = 1.0,
) -> Outcome:
    """Sends `each` requests from every client, one after the other.

    `probe` are the seconds that `at_once` takes, before and after; 0 leaves that away.
    """
    rng = random.Random(seed)
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=SECONDS, limits=limits
    ) as client:
        before = await at_once(client, 16, probe) if probe else 0
        plans = [
            [
                (rng.randrange(len(asked)), rng.randint(0, 8) if rng.random() < 0.1 else -1)
                for _ in range(each)
            ]
            for _ in range(clients)
        ]

        async def one(plan: list[tuple[int, int]]) -> list[Sent]:
            return [await send(client, number, asked[number], leave) for number, leave in plan]

        start = time.monotonic()
        sent = [s for found in await asyncio.gather(*map(one, plans)) for s in found]
        seconds = time.monotonic() - start
        after = await at_once(client, 16, probe) if probe else 0
        numbers = {s.number for s in sent if s.status == 200}
        alone = {n: (await send(client, n, asked[n])).tokens for n in sorted(numbers)}
    return Outcome(clients, tuple(sent), seconds, alone, (before, after))


async def at_once(client: httpx.AsyncClient, most: int, seconds: float) -> int:
    """How many of `most` requests that come together begin without waiting for another.

    All are given up after some seconds.
    """
    body = {"prompt": "x", "max_tokens": 200, "temperature": 10, "top_p": 1, "stream": True}
    begun = 0

    async def one(seed: int) -> None:
        nonlocal begun
        asked = body | {"seed": seed}
        async with client.stream("POST", "/v1/completions", json=asked) as response:
            async for line in response.aiter_lines():
                begun += (
                    line.startswith("data: {")
                    and '"chunk":{"index":0' in line
                    and ('"ahead":0' in line)
                )

    tasks = [asyncio.create_task(one(seed)) for seed in range(most)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await quiet(client)
    return begun


async def quiet(client: httpx.AsyncClient) -> None:
    """Waits until the server says that nothing runs. Raises TimeoutError."""
    async with asyncio.timeout(30):
        while "retro_requests_running 0.0" not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.05)


@contextmanager
def serving(words: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """`app.py serve` in a process of its own, ready. -> its process, address and key"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key, url = secrets.token_urlsafe(24), f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "app.py", "serve", "--port", str(port), *words], cwd=ROOT,
        env=os.environ | {"RETROSCOPE_API_KEY": key},
    )  # fmt: skip
    try:
        while server.poll() is None:
            try:
                answer = httpx.get(f"{url}/ready", headers={"Authorization": f"Bearer {key}"})
                if answer.status_code == 200:
                    yield server.pid, url, key
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise SystemExit("the server ended before it was ready")
    finally:
        server.terminate()
        server.wait(60)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="passages are searched there, if given")
    parser.add_argument("--weights", type=Path, default=ROOT / "engine/weights/retro-mini")
    parser.add_argument("--each", type=int, default=4, help="requests of every client")
    flags = parser.parse_args()
    print(describe())
    asked = bodies(24, 900, 96, random.Random(7), retro={"retrieve": flags.data is not None})
    with tempfile.TemporaryDirectory() as place:
        where = ["--data", str(flags.data)] if flags.data else ["--data", place, "--no-passages"]
        with serving(["--weights", str(flags.weights), *where]) as (process, url, key):
            failed = False
            for clients in CLIENTS:
                with watch([process]) as others:
                    outcome = asyncio.run(load(url, key, clients, flags.each, asked, clients))
                print(f"{outcome}; others took {others.foreign:.0%} of the machine", flush=True)
                failed |= bool(outcome.wrong) or outcome.slots[0] != outcome.slots[1]
                failed |= {s.status for s in outcome.refused} > {429}
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
