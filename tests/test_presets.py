"""The table of sizes against the papers' own counts, without allocating a weight."""

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.checkpoint import shapes_of
from engine.presets import PRESETS, Preset, UnknownPreset, preset


def sizes(p: Preset, *, embeddings: bool = True) -> np.ndarray:
    """Sizes of the matrices [decoder, all]: norms and the attention's biases are below rounding."""
    kinds = (".kernel", ".table") if embeddings else (".kernel",)
    named = {k: math.prod(a.shape) for k, a in shapes_of(p).items() if k.endswith(kinds)}
    return np.array(
        [sum(n for k, n in named.items() if k.startswith("decoder.")), sum(named.values())]
    )


def sizes_by_depth(p: Preset, *, embeddings: bool = True) -> np.ndarray:
    """The sizes from what a second layer adds to a first, because tracing 80 takes seconds.

    Layers that read neighbours add more than others.
    """

    def shallow(layers: int, *reading: int) -> np.ndarray:
        r = p.retrieval and replace(p.retrieval, layers=reading)
        return sizes(replace(p, layers=layers, retrieval=r), embeddings=embeddings)

    one, two, both = shallow(1, 1), shallow(2, 1), shallow(2, 1, 2)
    reading = len(p.retrieval.layers) if p.retrieval else 1
    return one + (p.layers - reading) * (two - one) + (reading - 1) * (both - one)


@pytest.mark.parametrize("name", ["gopher-44m", "retro-44m"])
def test_every_layer_of_a_kind_adds_the_same(name: str):
    p = preset(name)
    np.testing.assert_array_equal(sizes_by_depth(p), sizes(p))


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
    assert f"{sizes_by_depth(preset(name))[1] / unit:.{digits}f}{printed[-1]}" == printed


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
    inside, everything = sizes_by_depth(preset(name), embeddings=False) / 1e6
    assert f"{inside:.1f}" == decoder
    assert f"{everything:.{len(whole.partition('.')[2])}f}" == whole


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
