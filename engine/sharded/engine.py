"""A LocalEngine whose model lies over a mesh of devices."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from engine.local import LocalEngine
from engine.presets import Preset, preset
from engine.protocol import Info
from engine.sharded.hosts import LeadingSlots
from engine.sharded.loading import open_weights
from engine.sharded.programs import Form
from engine.sharded.slots import ShardedSlots
from engine.sharding import serving_mesh
from engine.slots import Slots
from engine.tokenizer import Tokenizer


@dataclass(frozen=True)
class Spread:
    """How a model is spread: "data=1,model=8" or None for as far as its heads go, replies at once,
    and what is kept as int8."""

    mesh: str | None = None
    slots: int = 8
    narrow_weights: bool = False
    narrow_memory: bool = False


def form_of(p: Preset, how: Spread) -> Form:
    """A form over all devices: bfloat16 on accelerators, float32 on CPUs. Raises MeshError."""
    mesh = serving_mesh(jax.devices(), p.heads, how.mesh)
    dtype = jnp.float32 if jax.devices()[0].platform == "cpu" else jnp.bfloat16
    return Form(p, mesh, how.slots, p.context, dtype, how.narrow_weights, how.narrow_memory)


def open_slots(directory: Path, how: Spread) -> tuple[dict[str, Any], ShardedSlots]:
    """A weights directory -> its card, and its model over all devices of all hosts."""
    card, file = open_weights(directory)
    return card, ShardedSlots(form_of(preset(card["preset"]), how), file)


def open_engine(directory: Path, how: Spread) -> LocalEngine:
    """The engine of host 0, or of the only one. Other hosts call `open_slots` and `hosts.follow`.

    Raises CheckpointError, TokenizerError and MeshError.
    """
    card, found = open_slots(directory, how)
    slots: Slots = found if jax.process_count() == 1 else LeadingSlots(found)
    tokenizer = Tokenizer(directory / "tokenizer.model")
    info = Info(
        preset=card["preset"],
        parameters=int(card["parameters"]),
        fingerprint=f"{card['sha256']}-int8-outputs" if how.narrow_weights else card["sha256"],
        tokenizer=tokenizer.fingerprint,
        context=preset(card["preset"]).context,
        note=str(card.get("note", "")),
    )

    def ready(p: Preset, arrays: Mapping[str, Any]) -> Slots:
        return slots

    return LocalEngine({}, tokenizer, info, slots=ready)
