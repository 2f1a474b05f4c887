"""The benchmark against llama.cpp: its arithmetic, its processes, and our side on toy slots."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.presets import preset
from engine.slots import Block, Draw, Drawn
from tests.benchmarks import reading
from tests.benchmarks.lines import Worker, WorkerFailed
from tests.benchmarks.served import EOS, Served, Weights, blocks_of
from tests.benchmarks.speed import Measured
from tests.benchmarks.table import BYTES, Compared, markdown, share, token_bytes

TINY = preset("tiny")


class Recording:
    """Slots that answer with the next whole number, and keep what each was fed, by position."""

    def __init__(self, count: int):
        self.fed: list[dict[int, int]] = [{} for _ in range(count)]
        self.slot_bytes = 7

    def read(self, slot: int, block: Block, draw: Draw | None = None) -> Drawn | None:
        M = TINY.chunk
        completing = [i for i in range(len(block.tokens)) if (block.at + i + 1) % M == 0]
        assert completing in ([], [0])
        assert (block.shown is not None) == (completing == [0])
        for i, token in enumerate(block.tokens.tolist()):
            self._feed(slot, block.at + i, token)
        return Drawn(int(block.tokens[-1]) + 1, 0.0, ()) if draw else None

    def step(self, steps) -> list[Drawn]:
        for s in steps:
            assert (s.at + 1) % TINY.chunk
            self._feed(s.slot, s.at, s.token)
        return [Drawn(s.token + 1, 0.0, ()) for s in steps]

    def _feed(self, slot: int, at: int, token: int) -> None:
        assert at == len(self.fed[slot])
        self.fed[slot][at] = token


@given(st.integers(1, 40))
def test_a_prompt_is_read_whole_and_in_order(size: int):
    ids = np.arange(size, dtype=np.int32)
    blocks = list(blocks_of(ids, TINY.chunk))
    assert np.concatenate([b.tokens for b in blocks]).tolist() == ids.tolist()
    assert [b.at for b in blocks] == [int(b.tokens[0]) for b in blocks]


@pytest.mark.parametrize("count", [1, 3])
def test_a_reply_feeds_every_token_of_each_sequence_once(count: int):
    slots = Recording(count)
    told = Served(slots, TINY).reply(19, 12, count=count)  # type: ignore[arg-type]
    assert len(told["tokens"]) == 11
    for fed, last in zip(slots.fed, told["last"], strict=True):
        tokens = list(fed.values())
        assert len(tokens) == 19 + 11
        assert tokens[19:] == list(range(tokens[18] + 1, last))


def test_random_weights_are_the_same_each_time_and_never_end_a_reply():
    weights = Weights({"embedding.table": (8, 4), "norm.scale": (4,)})
    table = weights["embedding.table"]
    assert (table == weights["embedding.table"]).all()
    assert not table[EOS].any() and table[EOS + 1].any()
    assert (weights["norm.scale"] == 1).all()
    assert (len(weights), weights.count) == (2, 36)


def test_a_ratio_is_that_of_the_medians_beside_its_extremes():
    compared = Compared(("a",), [10, 20, 30], [30, 24, 24], [0.0, 0.01, 0.02], aim=1.2)
    assert compared.ratio == 1.2
    assert compared.cells() == ["a", "20.0", "24.0", "1.20 (0.80 to 3.00)", ">= 1.2, met", "2 %"]


def test_a_missed_aim_is_called_missed():
    assert Compared((), [100], [119], [], aim=1.2).cells()[3] == ">= 1.2, missed"


def test_a_disturbed_measurement_gets_no_verdict():
    assert Compared((), [100], [200], [0.5], aim=1.2).cells()[3] == ">= 1.2"


def test_a_side_that_was_not_measured_leaves_its_cells_open():
    assert Compared((), [], [150], [], aim=1.2).cells()[:4] == ["-", "150", "-", ">= 1.2"]


def test_a_disturbed_run_says_so():
    assert share([0.0, 0.4]) == "40 % (disturbed)"
    assert share([0.01]) == "1 %"


def test_a_table_has_a_row_for_each():
    assert markdown(("a", "b"), [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(("shape", "millions"), [("44m", 41.5), ("117m", 109.5), ("417m", 389)])
def test_bytes_of_a_token_are_those_of_the_matrices_it_goes_through(shape: str, millions: float):
    p = preset(f"gopher-{shape}")
    assert token_bytes(p, "int8") / BYTES["int8"] / 1e6 == pytest.approx(millions, rel=0.005)


def test_the_share_of_the_bandwidth_is_bytes_a_second_over_what_can_be_read():
    size = token_bytes(preset("gopher-417m"), "int8")
    rates = {"plain": [30.0], "flash": [40.0], "ours": [50.0]}
    found = Measured(
        "417m", "int8", decode={256: rates}, foreign={256: [0.0]}, reading=[100 * size]
    )
    assert found.bandwidth()[4:] == ["0.40", "0.50", ">= 0.85, missed"]


ECHO = "from tests.benchmarks.lines import answer; answer({'v': 1}, lambda **q: print('!') or q)"


def test_a_process_answers_lines_whatever_is_printed_between(tmp_path: Path):
    with Worker([sys.executable, "-c", ECHO], tmp_path / "errors") as worker:
        assert worker.ready == {"v": 1}
        assert worker.ask(a=1) == {"a": 1}
        assert worker.ask(b=[2]) == {"b": [2]}


@pytest.mark.slow
def test_our_process_writes_replies_of_the_length_asked_for(tmp_path: Path):
    command = [sys.executable, "-m", "tests.benchmarks.served", "tiny", "int8", "--count", "2"]
    with Worker(command, tmp_path / "errors") as worker:
        told = worker.ask(prompt=20, new=10, count=2)
    assert (len(told["tokens"]), len(told["last"])) == (9, 2)
    assert all(seconds > 0 for seconds in [told["prefill"], *told["tokens"]])
    assert told["peak"] > told["slot"] > 0


def test_a_process_that_fails_says_why(tmp_path: Path):
    with pytest.raises(WorkerFailed, match="no such shape"):
        Worker([sys.executable, "-c", "raise SystemExit('no such shape')"], tmp_path / "errors")


def test_what_retrieval_adds_counts_the_searches():
    found = {
        "shape": "44m", "numbers": "int8", "foreign": [0.0], "gopher": [2.0, 1.0, 9.0],
        "retro": [2.1, 2.0, 2.2], "searching": 0.1,
    }  # fmt: skip
    assert reading.cells(found)[2:7] == ["2.000", "2.200", "0.100", "1.10", "<= 1.15, met"]
