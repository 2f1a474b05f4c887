"""app.jobs: a process that is killed at any moment leaves a job that the next one can finish."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.jobs import Jobs
from app.uploads import Upload
from tests.arrivals import EXPECTED, TEXTS, look, outcome, sources, write
from tests.terminal import ARTICLES

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(passages):
    return passages._options.data / "uploads"


@pytest.fixture(scope="module")
def kill_job(tokenizer_file):
    command = [sys.executable, "-m", "tests.kill_job"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:

        def run(options, arrived, step: str) -> int:
            order = {
                "data": str(options.data),
                "library": str(options.library),
                "tokenizer": str(tokenizer_file),
                "files": [str(upload.path) for upload in arrived],
                "step": step,
            }
            print(json.dumps(order), file=process.stdin, flush=True)
            assert process.stdout
            return int(process.stdout.readline())

        yield run


@pytest.mark.parametrize("step", ["reading", "embedding", "published"])
def test_a_killed_job_is_offered_and_resumed_at_the_next_start(kill_job, passages, folder, tmp_path,
                                                               step):  # fmt: skip
    arrived = write(tmp_path, TEXTS)
    arrived = [Upload(a.path.rename(a.path.with_name(a.name)), a.name) for a in arrived]
    assert kill_job(passages._options, arrived, step) == signal.SIGKILL
    assert sources(passages) == (EXPECTED if step == "published" else [])
    job = Jobs(folder, lambda: passages)
    assert (look(job).stage, look(job).names) == ("interrupted", tuple(TEXTS))
    job.resume()
    assert outcome(job).unchanged == (4 if step == "published" else 0)
    assert sources(passages) == EXPECTED
    assert len(passages.documents()) == len(ARTICLES) + 4


def test_an_upload_that_was_killed_before_it_was_whole_is_cleared_away(
    kill_job, passages, folder, tmp_path
):
    arrived = [Upload(a.path.rename(a.path.with_name(a.name)), a.name)
               for a in write(tmp_path, TEXTS)]  # fmt: skip
    assert kill_job(passages._options, arrived, "taking over") == signal.SIGKILL
    assert len(list(folder.iterdir())) == 1
    assert Jobs(folder, lambda: passages).state is None
    assert list(folder.iterdir()) == []
