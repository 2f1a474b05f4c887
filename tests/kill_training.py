"""A toy training run that can be killed, or run out of disk, at a chosen step.

`python -m tests.kill_training DIRECTORY [step|writing|full N]`: SIGKILL before step N, while the
checkpoint of step N is written, or no file of more than 1 KB from that checkpoint on. Checkpoints
are written at every step. At the end `digest.json` holds a hash of each array.
"""

import hashlib
import json
import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np
from flax import nnx

from engine.checkpoint import build, flatten, graph_of
from engine.training.checkpoints import Checkpoints, TrainingError
from engine.training.loop import train
from engine.training.step import Batch, Plan
from tests.sharded import RETRO, batch_for


def main(directory: Path, moment: str, number: int) -> int:
    def batches(step: int) -> Batch:
        if moment == "step" and step == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch_for(RETRO, step)

    save = Checkpoints.save

    def save_or_fail(self: Checkpoints, step: int, arrays: object) -> None:
        if moment == "writing" and step == number:
            os.rename = os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore
            Path.rename = Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore
        if moment == "full" and step == number:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, -1))
        save(self, step, arrays)

    Checkpoints.save = save_or_fail
    arrays = flatten(nnx.state(build(RETRO, 0), nnx.Param))
    try:
        trained, _ = train(
            graph_of(RETRO), arrays, Plan(20, 1e-3, 3), batches, directory, save_every=0.0
        )
    except TrainingError as error:
        print(error, file=sys.stderr)
        return 3
    digests = {k: hashlib.sha256(np.asarray(v).tobytes()).hexdigest() for k, v in trained.items()}
    (directory / "digest.json").write_text(json.dumps(digests))
    return 0


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(main(Path(words[0]), *((words[1], int(words[2])) if words[1:] else ("", 0))))
