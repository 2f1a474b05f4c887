"""The arithmetic and the tables of the benchmark: medians, ratios, bytes a token, Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from engine.presets import Preset

BYTES = {"int8": 34 / 32, "int4": 18 / 32, "float32": 4.0}  # of a weight, with its block's scale
DISTURBED = 0.03  # of the machine's time taken by others; more than that is pointed out


@dataclass(frozen=True)
class Compared:
    """What both sides reached, a value a round, the larger the better; a side may be missing."""

    name: tuple[str, ...]  # its cells in the table
    peer: Sequence[float]
    ours: Sequence[float]
    foreign: Sequence[float]
    aim: float | None = None

    @property
    def ratio(self) -> float | None:
        return median(self.ours) / median(self.peer) if self.peer and self.ours else None

    def cells(self) -> list[str]:
        """llama.cpp, ours, ratio and its extremes over the rounds, aim, foreign CPU.

        A disturbed measurement is shown without a verdict.
        """
        ratio = "-"
        if self.ratio is not None:
            each = [ours / peer for ours, peer in zip(self.ours, self.peer, strict=True)]
            ratio = f"{self.ratio:.2f} ({min(each):.2f} to {max(each):.2f})"
        quiet = max(self.foreign, default=0.0) <= DISTURBED
        aim = "-" if self.aim is None else least(self.ratio if quiet else None, self.aim)
        return [*self.name, _rate(self.peer), _rate(self.ours), ratio, aim, share(self.foreign)]


HEAD = (
    "shape", "weights", "measured, tokens/s", "llama.cpp", "ours", "ratio (rounds)", "aim",
    "foreign CPU",
)  # fmt: skip


def _rate(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle = median(values)
    return f"{middle:.0f}" if middle >= 100 else f"{middle:.1f}"


def _verdict(value: float | None, aim: float) -> str:
    return "" if value is None else (", met" if round(value, 2) >= aim else ", missed")


def share(foreign: Sequence[float]) -> str:
    """The most that others took in a round."""
    most = max(foreign, default=0.0)
    return f"{100 * most:.0f} %" + (" (disturbed)" if most > DISTURBED else "")


def most(value: float, aim: float, unit: str = "") -> str:
    """An aim that a value must not exceed."""
    return f"<= {aim:g}{unit}, {'met' if value <= aim else 'missed'}"


def least(value: float | None, aim: float, unit: str = "") -> str:
    """An aim that a value must reach; no verdict on one that was not, or not well, measured."""
    return f">= {aim:g}{unit}{_verdict(value, aim)}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def token_bytes(p: Preset, numbers: str) -> float:
    """Bytes of weights that decoding one token of a Gopher reads: the matrices and the tied head.

    The matrix of the distances is not among them: its products are kept.
    """
    inner = p.heads * p.head_dim
    weights = p.layers * (4 * p.width * inner + 2 * p.width * p.ffw) + p.vocab * p.width
    return weights * BYTES[numbers]
