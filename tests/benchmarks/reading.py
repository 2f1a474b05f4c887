"""What retrieval adds to a reply: a RETRO that is shown passages beside the Gopher it extends.

Both write random tokens with random weights; searching is measured apart, in the starter library,
and added once for every chunk of the reply.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.benchmarks.lines import Worker
from tests.benchmarks.machine import watch
from tests.benchmarks.speed import Plan, command
from tests.benchmarks.table import DISTURBED, most, share

AIM = 1.15
PROMPT, CHUNK = 256, 64
HEAD = (
    "shape", "weights", "Gopher, s a reply", "RETRO with passages, s", "of that searching, s",
    "ratio", "aim", "foreign CPU",
)  # fmt: skip
QUESTIONS = (
    "What does an acid give to other substances?", "How long is the river Nile?",
    "Which metal conducts heat best?", "Why do geese fly in a line?", "What is a glacier?",
    "Who wrote down the first laws?", "How does yeast make bread rise?", "What is a heron?",
)  # fmt: skip


def search_seconds(home: Path, say: Callable[[str], None]) -> float:
    """Median seconds of finding two passages, the question encoded as well."""
    say("opening the starter library")
    from app.compose import prepare_jax
    from app.library import open_passages
    from app.settings import read_environment

    options = replace(read_environment(), data=home)
    prepare_jax(options)
    passages = open_passages(options)
    passages.retrieve("warm up", 2)
    seconds = []
    for question in QUESTIONS * 3:
        start = time.perf_counter()
        passages.retrieve(question, 2)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def measure(
    shape: str, numbers: str, plan: Plan, search: float, say: Callable[[str], None]
) -> dict:  # fmt: skip
    """Seconds of whole replies of both models, a value a round, in turn."""
    found: dict = {"shape": shape, "numbers": numbers, "foreign": [], "gopher": [], "retro": []}
    found["searching"] = search * -(-(plan.new - 1) // CHUNK)
    plain = command("ours", shape, numbers, plan)
    fitted = [word.replace("gopher-", "retro-") for word in plain]
    say(f"retro-{shape} {numbers}: starting")
    logs = [plan.build / f"reading-{kind}-{shape}-{numbers}.log" for kind in ("gopher", "retro")]
    with Worker(plain, logs[0]) as gopher, Worker(fitted, logs[1]) as retro:
        for turn in range(plan.rounds):
            say(f"retro-{shape} {numbers}: round {turn + 1} of {plan.rounds}")
            with watch([gopher.process.pid, retro.process.pid]) as load:
                for name, worker, shown in (("gopher", gopher, 0), ("retro", retro, 2)):
                    told = worker.ask(prompt=PROMPT, new=plan.new, seed=turn, shown=shown)
                    found[name].append(told["prefill"] + sum(told["tokens"]))
            found["foreign"].append(load.foreign)
    return found


def cells(found: dict) -> list[str]:
    gopher = median(found["gopher"])
    retro = median(found["retro"]) + found["searching"]
    disturbed = max(found["foreign"]) > DISTURBED
    return [
        f"retro-{found['shape']}", found["numbers"], f"{gopher:.3f}", f"{retro:.3f}",
        f"{found['searching']:.3f}", f"{retro / gopher:.2f}",
        "-" if disturbed else most(retro / gopher, AIM, ""), share(found["foreign"]),
    ]  # fmt: skip
