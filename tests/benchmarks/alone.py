"""What needs no peer: eight replies at once against one alone, and memory."""

from collections.abc import Callable
from statistics import median

from tests.benchmarks.lines import Worker
from tests.benchmarks.machine import watch
from tests.benchmarks.speed import Plan, command
from tests.benchmarks.table import BYTES, DISTURBED, least, most, share

TOGETHER = 8
TOGETHER_AIM = 2.5
MEMORY_AIM = 0.8  # GB over the weights' bytes
PROMPT = 256
TOGETHER_HEAD = (
    "shape", "weights", "one alone, tokens/s", f"{TOGETHER} at once, tokens/s", "ratio", "aim",
    "foreign CPU",
)  # fmt: skip
MEMORY_HEAD = ("shape", "weights", "peak RSS, GB", "weights, GB", "over them, GB", "aim")


def together(shape: str, numbers: str, plan: Plan, say: Callable[[str], None]) -> dict:
    """Tokens a second of one reply and of all eight, a value a round, in turn."""
    found: dict = {"shape": shape, "numbers": numbers, "foreign": [], "one": [], "all": []}
    started = [*command("ours", shape, numbers, plan), "--count", str(TOGETHER)]
    say(f"gopher-{shape} {numbers}: starting {TOGETHER} at once")
    with Worker(started, plan.build / f"together-{shape}-{numbers}.log") as worker:
        for turn in range(plan.rounds):
            say(f"gopher-{shape} {numbers}: {TOGETHER} at once, round {turn + 1} of {plan.rounds}")
            with watch([worker.process.pid]) as load:
                for name, count in (("one", 1), ("all", TOGETHER)):
                    told = worker.ask(prompt=PROMPT, new=plan.new, seed=turn, count=count)
                    found[name].append(count * len(told["tokens"]) / sum(told["tokens"]))
            found["foreign"].append(load.foreign)
    return found


def together_cells(found: dict) -> list[str]:
    one, whole = median(found["one"]), median(found["all"])
    disturbed = max(found["foreign"]) > DISTURBED
    return [
        f"gopher-{found['shape']}", found["numbers"], f"{one:.0f}", f"{whole:.0f}",
        f"{whole / one:.2f}", least(None if disturbed else whole / one, TOGETHER_AIM),
        share(found["foreign"]),
    ]  # fmt: skip


def memory(shape: str, numbers: str, plan: Plan, say: Callable[[str], None]) -> dict:
    """Peak RSS of a process that makes the weights one by one and writes a long reply."""
    say(f"gopher-{shape} {numbers}: memory")
    log = plan.build / f"memory-{shape}-{numbers}.log"
    with Worker(command("ours", shape, numbers, plan), log) as worker:
        told = worker.ask(prompt=1024, new=plan.new)
        weights = worker.ready["parameters"] * BYTES[numbers]
    return {"shape": shape, "numbers": numbers, "weights": weights, **told}


def memory_cells(found: dict) -> list[str]:
    over = (found["peak"] - found["weights"]) / 1e9
    sizes = (found["peak"] / 1e9, found["weights"] / 1e9, over)
    aimed = found["shape"] == "417m" and found["numbers"] == "int8"
    return [
        f"gopher-{found['shape']}", found["numbers"], *(f"{size:.2f}" for size in sizes),
        most(over, MEMORY_AIM, " GB") if aimed else "-",
    ]  # fmt: skip
