"""The table of model sizes.

Gopher: arXiv 2112.11446, table 1. RETRO: arXiv 2112.04426, table 2 and appendix table 10; the
`retro-44m`, `117m`, `417m` are RETROfits of the Gophers of that size and `retro-mini` is ours,
small enough to be trained on two CPU cores. The paper gives two readings of which layers read
neighbours; every third from layer 6 (its body text) is the one that yields its parameter counts.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Retrieval:
    """The retrieval half of a RETRO: where it reads neighbours and the encoder that prepares them.

    `layers` are the decoder layers with chunked cross-attention, counted from 1 as in the paper
    (its P); `cross` are the encoder layers that read the chunk (its P_enc).
    """

    layers: tuple[int, ...]
    width: int = 896
    heads: int = 16
    head_dim: int = 64
    ffw: int = 3584
    depth: int = 2
    cross: tuple[int, ...] = (1,)
    neighbours: int = 2
    neighbour_tokens: int = 128  # N and F, 64 each
    shared_embedding: bool = False


@dataclass(frozen=True)
class Preset:
    """The shape of a model. `context` is the longest sequence in tokens."""

    name: str
    layers: int
    width: int
    heads: int
    head_dim: int
    ffw: int
    vocab: int = 32_000
    context: int = 2048
    chunk: int = 64
    norm_eps: float = 1e-6
    retrieval: Retrieval | None = None


class UnknownPreset(ValueError):
    """No preset has that name; the message lists those there are."""


def _fit(width: int, heads: int, layers: tuple[int, ...]) -> Retrieval:
    """RETROfit of a small Gopher: an encoder half as wide that shares the frozen embedding."""
    return Retrieval(
        layers, width=width, heads=heads, head_dim=width // heads, ffw=4 * width,
        shared_embedding=True,
    )  # fmt: skip


# fmt: off
PRESETS = {p.name: p for p in (
    Preset("tiny",        layers=4,  width=32,    heads=4,   head_dim=8,   ffw=64, vocab=400, context=256, chunk=8,
           retrieval=Retrieval((2, 4), width=24, heads=2, head_dim=8, ffw=48, neighbour_tokens=16)),
    Preset("gopher-mini", layers=4,  width=256,   heads=8,   head_dim=32,  ffw=1024, vocab=8192, context=1024),
    Preset("gopher-44m",  layers=8,  width=512,   heads=16,  head_dim=32,  ffw=2048),
    Preset("gopher-117m", layers=12, width=768,   heads=12,  head_dim=64,  ffw=3072),
    Preset("gopher-417m", layers=12, width=1536,  heads=12,  head_dim=128, ffw=6144),
    Preset("gopher-1.4b", layers=24, width=2048,  heads=16,  head_dim=128, ffw=8192),
    Preset("gopher-7.1b", layers=32, width=4096,  heads=32,  head_dim=128, ffw=16384),
    Preset("gopher-280b", layers=80, width=16384, heads=128, head_dim=128, ffw=65536),
    Preset("retro-mini",  layers=4,  width=256,   heads=8,   head_dim=32,  ffw=1024, vocab=8192, context=1024,
           retrieval=_fit(256, 8, (2, 4))),
    Preset("retro-44m",   layers=8,  width=512,   heads=16,  head_dim=32,  ffw=2048,
           retrieval=_fit(512, 16, (3, 6))),
    Preset("retro-117m",  layers=12, width=768,   heads=12,  head_dim=64,  ffw=3072,
           retrieval=_fit(768, 12, (6, 9, 12))),
    Preset("retro-417m",  layers=12, width=1536,  heads=12,  head_dim=128, ffw=6144,
           retrieval=_fit(1536, 12, (6, 9, 12))),
    Preset("retro-172m",  layers=12, width=896,   heads=16,  head_dim=64,  ffw=3584,  vocab=128_000,
           retrieval=Retrieval((6, 9, 12))),
    Preset("retro-425m",  layers=12, width=1536,  heads=12,  head_dim=128, ffw=6144,  vocab=128_000,
           retrieval=Retrieval((6, 9, 12))),
    Preset("retro-1.5b",  layers=24, width=2048,  heads=16,  head_dim=128, ffw=8192,  vocab=128_000,
           retrieval=Retrieval((6, 9, 12, 15, 18, 21, 24))),
    Preset("retro-7.5b",  layers=32, width=4096,  heads=32,  head_dim=128, ffw=16384, vocab=128_000,
           retrieval=Retrieval((6, 9, 12, 15, 18, 21, 24, 27, 30))),
)}
# fmt: on


def preset(name: str) -> Preset:
    try:
        return PRESETS[name]
    except KeyError:
        known = ", ".join(PRESETS)
        raise UnknownPreset(f"no preset named {name!r}; choose one of {known}") from None
