"""Runs ingests that are killed at a named step; started by test_ingest_faults.

Reads one JSON line a run, {"directory", "documents", "step", "seconds"}, and forks for it, so that
imports are paid for once. Answers with the number of the signal that ended the run, 0 if none.
"""

import json
import os
import signal
import sys
import time

from retrieval import draft, files, ingest, manifest
from retrieval.protocol import Document
from tests.bag import BagEmbedder, word_offsets


def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def after(owner, name: str) -> None:
    done = getattr(owner, name)
    setattr(owner, name, lambda *a, **k: (done(*a, **k), kill()))


def arm(step: str) -> None:
    match step:
        case "reading":
            ingest.leave_out = kill
        case "embedding":
            after(draft.Draft, "set_keys")
        case "index written":
            files.os.replace = kill
        case "index in place":
            manifest.Manifest.write = kill
        case "manifest in place":
            after(manifest.Manifest, "write")


def run(order: dict) -> None:
    arm(order["step"])
    ingest.BLOCK = 4
    ingest.ingest(
        [Document(**fields) for fields in order["documents"]],
        order["directory"],
        encode_offsets=word_offsets,
        tokenizer_fingerprint="words",
        embedder=BagEmbedder(),
    )


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            run(order)
            os._exit(0)
        if order["step"] == "any":
            time.sleep(order["seconds"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status), flush=True)


if __name__ == "__main__":
    main()
