"""The engine server under load, and under lm-evaluation-harness where that is installed."""

import asyncio
import os
import random
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from app.rendering import rendered
from engine.server.application import build
from engine.server.keys import Keys
from engine.server.service import Service
from prompts.dialogue import DEFAULT
from tests.answering import KEY, eventually, listening
from tests.benchmarks.serving import Outcome, bodies, load, part


@pytest.fixture(scope="module", params=[8, 80])
def outcome(request, tiny) -> Outcome:
    asked = bodies(16, 120, 40, random.Random(7), retro={"retrieve": False})
    service = Service(tiny, partial(rendered, template=DEFAULT))
    tiny.warm_up()
    with listening(build(service, Keys.of([KEY]))) as url:
        return asyncio.run(load(url, KEY, request.param, 3, asked, request.param, probe=0))


@pytest.mark.slow
def test_no_reply_differs_from_that_of_its_request_alone(outcome: Outcome):
    assert outcome.accepted and outcome.wrong == []


@pytest.mark.slow
def test_no_slot_is_lost(outcome: Outcome, tiny):
    assert outcome.sent
    assert eventually(lambda: tiny._scheduler._free == set(range(tiny._slots.count)))


@pytest.mark.slow
def test_what_is_too_much_is_refused_with_the_time_to_come_back(outcome: Outcome):
    assert {s.status for s in outcome.refused} <= {429}
    assert all(int(s.retry_after) >= 1 for s in outcome.refused)
    assert bool(outcome.refused) == (outcome.clients == 80)


@pytest.mark.slow
def test_some_clients_went_away_and_some_were_answered(outcome: Outcome):
    assert any(s.left for s in outcome.sent)
    assert any(s.tokens and not s.left for s in outcome.sent)


def test_a_quantile_leaves_no_more_than_its_share_above():
    assert part([1, 2, 3, 4], 0.5) == 3
    assert part([1, 2, 3, 4], 0.99) == 4
    assert part([], 0.5) == 0


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("LM_EVAL"), reason="LM_EVAL is not the harness' command")
def test_the_harness_finds_the_engine_s_own_values():
    """As tests/harness_check.py says: LM_EVAL=/tmp/harness/bin/lm_eval."""
    check = [sys.executable, "-m", "tests.harness_check", os.environ["LM_EVAL"]]
    subprocess.run(check, check=True, cwd=Path(__file__).parents[1], timeout=900)
