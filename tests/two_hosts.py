"""One model over two processes of four virtual devices each, as processes of their own.

`python -m tests.two_hosts ADDRESS NUMBER` is one of the two; number 0 prints what was drawn.
"""

import json
import os
import sys

import jax

from engine.protocol import Sampling
from engine.sharded.hosts import LeadingSlots, follow
from engine.sharded.loading import Arrays
from engine.sharded.programs import Form
from engine.sharded.slots import ShardedSlots
from engine.sharding import serving_mesh
from tests import toys
from tests.sharded_serving import PRESETS, SLOTS, drive, lines


def main(address: str, number: int) -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=4"
    jax.distributed.initialize(address, num_processes=2, process_id=number)
    p = PRESETS["retro"]
    mesh = serving_mesh(jax.devices(), p.heads, "data=2,model=4")
    slots = ShardedSlots(Form(p, mesh, SLOTS, p.context), Arrays(toys.random_arrays(p)))
    if number:
        print(json.dumps({"calls": follow(slots)}))
        return
    leading = LeadingSlots(slots)
    leading.warm_up()
    drawn = drive(leading, p, lines(p), Sampling(temperature=0.8, seed=3))
    leading.close()
    print(json.dumps({"drawn": [found.token for *_, found in drawn], "device": leading.device}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
