"""The table of sizes against the papers' own counts, without allocating a weight."""

import math
from dataclasses import replace

import pytest

from engine.checkpoint import shapes_of
from engine.presets import PRESETS, Preset, UnknownPreset, preset


def matrices(p: Preset, *, embeddings: bool = True) -> dict[str, int]:
    """Sizes of the matrices by name: norms and the attention's biases are below rounding."""
    kinds = (".kernel", ".table") if embeddings else (".kernel",)
    return {k: math.prod(a.shape) for k, a in shapes_of(p).items() if k.endswith(kinds)}


def size_by_depth(p: Preset) -> int:
    """The size from what a second layer adds to a first, because tracing 80 takes seconds."""
    one, two = (sum(matrices(replace(p, layers=n)).values()) for n in (1, 2))
    return one + (p.layers - 1) * (two - one)


def test_every_layer_adds_the_same():
    p = preset("gopher-44m")
    assert size_by_depth(p) == sum(matrices(p).values())


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("gopher-44m", "43.6M"),
        ("gopher-117m", "116.6M"),
        ("gopher-417m", "417.2M"),
        ("gopher-1.4b", "1374M"),
        ("gopher-7.1b", "7110M"),
        ("gopher-280b", "279.7B"),
    ],
)
def test_gopher_has_its_size(name: str, printed: str):
    unit = {"M": 1e6, "B": 1e9}[printed[-1]]
    digits = len(printed[:-1].partition(".")[2])
    assert f"{size_by_depth(preset(name)) / unit:.{digits}f}{printed[-1]}" == printed


@pytest.mark.parametrize(
    ("name", "decoder", "whole"),
    [
        ("retro-172m", "132.1", "172.5"),
        ("retro-425m", "368.1", "425"),
        ("retro-1.5b", "1308.6", "1451"),
        ("retro-7.5b", "6979.3", "7532"),
    ],
)
def test_retro_has_the_papers_size_outside_its_embeddings(name: str, decoder: str, whole: str):
    sizes = matrices(preset(name), embeddings=False)
    inside = sum(size for k, size in sizes.items() if k.startswith("decoder."))
    assert f"{inside / 1e6:.1f}" == decoder
    assert f"{sum(sizes.values()) / 1e6:.{len(whole.partition('.')[2])}f}" == whole


@pytest.mark.parametrize("name", [n for n in PRESETS if n.startswith("retro-")])
def test_neighbours_are_read_in_layers_that_exist(name: str):
    p = preset(name)
    assert p.retrieval is not None
    assert set(p.retrieval.layers) <= set(range(1, p.layers + 1))
    assert set(p.retrieval.cross) <= set(range(1, p.retrieval.depth + 1))
    assert p.retrieval.neighbour_tokens == 2 * p.chunk
    assert p.context % p.chunk == 0


@pytest.mark.parametrize("size", ("mini", "44m", "117m", "417m"))
def test_a_retrofit_has_the_decoder_of_its_gopher(size: str):
    base, fit = shapes_of(preset(f"gopher-{size}")), shapes_of(preset(f"retro-{size}"))
    inside = {k.removeprefix("decoder."): a for k, a in fit.items() if k.startswith("decoder.")}
    assert inside == base
    assert "encoder.embedding.table" not in fit  # it shares the frozen one


def test_an_unknown_preset_is_refused_with_the_names_there_are():
    with pytest.raises(UnknownPreset, match=r"no preset named 'gopher-1b'; choose one of tiny, .+"):
        preset("gopher-1b")
