"""`serve --dry-run`: compiles a model for TPUs that are not here, and says what it would take.

`--table` does so for all large presets and prints the table of docs/tpu.md.
"""

import argparse
from typing import TYPE_CHECKING

from app.settings import Options

if TYPE_CHECKING:
    from engine.sharded.engine import Spread
    from engine.sharded.topology import Report

NUMBERS = ("bf16", "int8")

# What docs/tpu.md shows: preset, topology, weights, cache, slots.
TABLE = (
    ("gopher-7.1b", "v5e:1x1", "int8", "bf16", 1),
    ("gopher-7.1b", "v5e:2x2", "bf16", "bf16", 8),
    ("gopher-7.1b", "v5e:2x4", "bf16", "bf16", 8),
    ("gopher-7.1b", "v5p:2x2x1", "bf16", "bf16", 16),
    ("gopher-7.1b", "v6e:2x2", "bf16", "bf16", 8),
    ("retro-7.5b", "v5e:1x1", "bf16", "bf16", 1),
    ("retro-7.5b", "v5e:2x2", "int8", "int8", 8),
    ("retro-7.5b", "v5e:2x4", "bf16", "bf16", 8),
    ("retro-7.5b", "v5p:2x2x1", "bf16", "bf16", 16),
    ("retro-7.5b", "v6e:2x2", "bf16", "bf16", 8),
    ("gopher-280b", "v5e:4x8", "bf16", "bf16", 4),
    ("gopher-280b", "v5e:4x8", "int8", "bf16", 4),
    ("gopher-280b", "v5e:8x8", "bf16", "bf16", 8),
    ("gopher-280b", "v5e:8x8", "int8", "int8", 8),
    ("gopher-280b", "v5p:4x4x2", "bf16", "bf16", 16),
    ("gopher-280b", "v6e:4x8", "bf16", "bf16", 16),
)
LARGE = ("step", "read 64", "encode")  # a draw takes no memory to speak of, but minutes to compile
HEADINGS = (
    "Model", "TPU", "Chips", "Weights", "Cache", "Slots", "Weights GiB", "Cache GiB", "Peak GiB",
    "Compile s", "GB a step", "Least ms a step", "Most tokens/s",
)  # fmt: skip


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds to the parser of `serve`: a mesh, and the dry run, which reads --weights too."""
    mesh = parser.add_argument_group("several devices (docs/tpu.md)")
    mesh.add_argument(
        "--mesh", metavar="data=D,model=M",
        help="lay the model over all devices: D parts of the replies, M of each layer",
    )  # fmt: skip
    mesh.add_argument(
        "--cache", choices=NUMBERS, default="bf16", help="numbers of what replies remember"
    )
    dry = parser.add_argument_group("dry run: compile for TPUs that are not here, serve nothing")
    dry.add_argument("--dry-run", action="store_true", help="say what it takes, or what is missing")
    dry.add_argument("--preset", default="retro-7.5b", help="the model (default %(default)s)")
    dry.add_argument(
        "--topology", default="v5e:2x4",
        help="the TPUs (default %(default)s); here --weights is bf16 or int8",
    )  # fmt: skip
    dry.add_argument("--table", action="store_true", help="the table of docs/tpu.md instead")


def spread_of(options: Options, flags: argparse.Namespace) -> "Spread | None":
    """How `serve` is to lay the model over a mesh; None for not at all. Raises StartError."""
    if flags.mesh is None:
        return None
    from app.compose import StartError
    from engine.sharded.engine import Spread

    if options.numbers == "int4":
        raise StartError("over a mesh weights are float32 or int8; give one of them as --numbers")
    return Spread(flags.mesh, options.slots, options.numbers == "int8", flags.cache == "int8")


def dry_run(options: Options, flags: argparse.Namespace) -> int:
    """Prints what a model takes. Raises TopologyError, MeshError, UnknownPreset."""
    if flags.table:
        return print_table()
    from engine.presets import preset
    from engine.sharded.topology import compile_for, form_of

    weights = weights_of(str(flags.weights))
    form = form_of(
        preset(flags.preset), flags.topology, flags.slots, narrow_weights=weights == "int8",
        narrow_memory=flags.cache == "int8", mesh=flags.mesh,
    )  # fmt: skip
    print("\n".join(describe(compile_for(flags.topology, form))))
    return 0


def weights_of(given: str) -> str:
    """What `--weights` says of numbers: in a dry run there is no directory of weights."""
    return given if given in NUMBERS else "bf16"


def describe(report: "Report") -> list[str]:
    """A report as lines."""
    from engine.sharded.topology import GIB
    from engine.sharding import DATA, MODEL

    form, shape = report.form, report.form.mesh.shape
    narrow = {True: "int8", False: "bf16"}
    lines = [
        f"{report.preset} on {report.topology}: {report.chips} chips, data={shape[DATA]}, "
        f"model={shape[MODEL]}, {form.slots} slots of {form.length} tokens, weights "
        f"{narrow[form.narrow_weights]}, cache {narrow[form.narrow_memory]}",
        f"a chip holds {report.resident / GIB:.2f} GiB: weights {report.weights / GIB:.2f}, cache "
        f"{report.memory / GIB:.2f}, position keys {report.tables / GIB:.2f}; at most "
        f"{report.peak / GIB:.2f}",
    ]
    lines += [
        f"  {f.name}: compiled in {f.seconds:.0f} s, {f.temporary / GIB:.3f} GiB of temporaries, "
        f"{f.code / 2**20:.0f} MiB of code"
        for f in report.functions
    ]
    lines.append(
        f"a step moves {report.moved / 1e9:.2f} GB a chip, "
        f"{report.moved * report.chips / form.slots / 1e9:.2f} GB over all chips for each token: "
        f"at least {report.step_seconds * 1e3:.1f} ms, at most {report.bound:.0f} tokens/s in all "
        f"and {report.bound / form.slots:.0f} a reply. A bound by data sheet, not a measurement"
    )
    return lines


def print_table() -> int:
    """The table of docs/tpu.md, row by row as they are compiled."""
    print(f"| {' | '.join(HEADINGS)} |")
    print("|---|---|" + "---:|" * (len(HEADINGS) - 2))
    for case in TABLE:
        print(f"| {' | '.join(row(*case))} |", flush=True)
    return 0


def row(name: str, topology: str, weights: str, cache: str, slots: int) -> list[str]:
    """One row of the table; what does not fit says by how much."""
    from engine.presets import preset
    from engine.sharded.topology import GIB, DoesNotFit, compile_for, form_of

    form = form_of(
        preset(name), topology, slots, narrow_weights=weights == "int8",
        narrow_memory=cache == "int8",
    )  # fmt: skip
    head = [name, topology, str(form.mesh.size), weights, cache, str(slots)]
    try:
        report = compile_for(topology, form, only=LARGE)
    except DoesNotFit as refusal:
        needed = f"does not fit: {refusal.needed} of {refusal.available}"
        return [*head, needed, *[""] * (len(HEADINGS) - len(head) - 1)]
    return [
        *head, f"{report.weights / GIB:.2f}", f"{report.memory / GIB:.2f}",
        f"{report.peak / GIB:.2f}", f"{report.seconds:.0f}", f"{report.moved / 1e9:.2f}",
        f"{report.step_seconds * 1e3:.1f}", f"{report.bound:.0f}",
    ]  # fmt: skip
