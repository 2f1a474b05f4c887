"""The table of sizes against the papers' own counts, without allocating a weight."""

import math

import pytest

from engine.checkpoint import shapes_of
from engine.presets import PRESETS, UnknownPreset, preset


def matrices(name: str, *, embeddings: bool = True) -> dict[str, int]:
    """Sizes of the matrices by name: norms and the attention's biases are below rounding."""
    kinds = (".kernel", ".table") if embeddings else (".kernel",)
    return {k: math.prod(a.shape) for k, a in shapes_of(preset(name)).items() if k.endswith(kinds)}


@pytest.mark.parametrize(
    ("name", "unit", "printed"),
    [
        ("gopher-44m", 1e6, "43.6"),
        ("gopher-117m", 1e6, "116.6"),
        ("gopher-417m", 1e6, "417.2"),
        ("gopher-1.4b", 1e6, "1374"),
        ("gopher-7.1b", 1e6, "7110"),
        ("gopher-280b", 1e9, "279.7"),
    ],
)
def test_gopher_has_the_size_in_its_name(name: str, unit: float, printed: str):
    digits = len(printed.partition(".")[2])
    assert f"{sum(matrices(name).values()) / unit:.{digits}f}" == printed


@pytest.mark.parametrize(
    ("name", "decoder", "whole"),
    [
        ("retro-172m", 132.1, 172.5),
        ("retro-425m", 368.1, 425),
        ("retro-1.5b", 1308.6, 1451),
        ("retro-7.5b", 6979.3, 7532),
    ],
)
def test_retro_has_the_papers_size_outside_its_embeddings(name: str, decoder: float, whole: float):
    sizes = matrices(name, embeddings=False)
    inside = sum(size for k, size in sizes.items() if k.startswith("decoder."))
    assert round(inside / 1e6, 1) == decoder
    total = sum(sizes.values()) / 1e6
    assert total == pytest.approx(whole, abs=0.05 if whole == 172.5 else 1)


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
