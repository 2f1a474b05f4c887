"""Runs jobs that are killed at a named step; started by test_jobs.

Reads one JSON line a run, {"data", "library", "tokenizer", "files", "step"}, and forks for it, so
that imports are paid for once. Answers with the number of the signal that ended the run.
"""

import json
import os
import sys
import time
from pathlib import Path

from app import jobs, uploads
from app.passages import Passages
from app.settings import Options
from engine.tokenizer import Tokenizer
from retrieval import draft, ingest
from tests.bag import BagEmbedder
from tests.kill_ingest import after, kill


def arm(step: str) -> None:
    match step:
        case "taking over":
            uploads.os.rename = kill
        case "reading":
            ingest.leave_out = kill
        case "embedding":
            after(draft.Draft, "set_keys")
        case "published":
            after(Passages, "add")


def run(order: dict) -> None:
    options = Options(Path(order["data"]), Path("no weights"), Path(order["library"]))
    passages = Passages(options, BagEmbedder(), Tokenizer(Path(order["tokenizer"])))
    ingest.BLOCK = 4
    arm(order["step"])
    job = jobs.Jobs(options.data / "uploads", lambda: passages)
    job.start([uploads.Upload(Path(path), Path(path).name) for path in order["files"]])
    while job.state and job.state.running:
        time.sleep(0.01)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status), flush=True)


if __name__ == "__main__":
    main()
