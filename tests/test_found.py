"""RETROfitting on found neighbours: how they are disturbed, what stays frozen, what is learnt."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from engine.checkpoint import build, flatten, graph_of, nest
from engine.presets import PRESETS, Retrieval, preset
from engine.retro import Passages
from engine.tokenizer import EOS
from engine.training.command import Workshop
from engine.training.corpus import CorpusError
from engine.training.loop import train
from engine.training.mixture import Mixture, Span
from engine.training.neighbour_index import (
    Disturbance,
    NeighbourIndex,
    find_neighbours,
)
from engine.training.recipe import RecipeError, read_recipe
from engine.training.start import copying_start
from engine.training.step import Batch, Plan, compile_loss
from tests.bag import BagEmbedder
from tests.terminal import ARTICLES

M = 8
RECIPE = Path(__file__).parents[1] / "engine/training/recipes/retro-mini.json"
SMALL = preset("tiny")
TINY = replace(
    SMALL, layers=2, vocab=128,
    retrieval=Retrieval((1, 2), width=32, heads=4, head_dim=8, ffw=48, neighbour_tokens=2 * M,
                        shared_embedding=True),
)  # fmt: skip


def decode(ids) -> str:
    return " ".join(f"w{i}" for i in ids if i != EOS)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> NeighbourIndex:
    """Facts of four chunks of random tokens, each told by two documents: nothing but the other
    telling says how a fact goes on. No document begins inside a chunk."""
    rng = np.random.default_rng(0)
    facts = [np.append(rng.integers(4, 128, 4 * M - 1), EOS) for _ in range(120)]
    order = rng.permutation(240)
    tokens = np.concatenate([facts[i // 2] for i in order]).astype(np.uint16)
    documents = np.stack([np.arange(240) * 4 * M, order], 1).astype(np.int64)
    folder = tmp_path_factory.mktemp("planted")
    find_neighbours(
        tokens, documents, folder, chunk=M, k=2, embedder=BagEmbedder(64), decode=decode
    )
    return NeighbourIndex(tokens, documents, folder)


def passages(index: NeighbourIndex, number: int = 0, **disturb: Any) -> Passages:
    found = index.batch(number, batch=8, chunks=4, seed=1, disturb=Disturbance(**disturb)).passages
    assert found is not None
    return found


def test_a_batch_without_disturbance_is_the_batch_as_it_was(planted):
    calm, plain = passages(planted), planted.batch(0, batch=8, chunks=4, seed=1).passages
    np.testing.assert_array_equal(calm.tokens, plain.tokens)
    np.testing.assert_array_equal(calm.valid, plain.valid)


def test_disturbance_leaves_text_and_depends_on_the_step_alone(planted):
    given: dict[str, Any] = {"dropout": 0.3, "random": 0.3, "noise": 0.3}
    one, same = passages(planted, **given), passages(planted, **given)
    np.testing.assert_array_equal(one.tokens, same.tokens)
    batches = [
        planted.batch(3, batch=8, chunks=4, seed=1, disturb=d)
        for d in (Disturbance(), Disturbance(**given))
    ]
    np.testing.assert_array_equal(batches[0].tokens, batches[1].tokens)


def test_dropout_hides_all_passages_of_its_share_of_chunks(planted):
    assert not passages(planted, dropout=1.0).valid.any()
    shown = [passages(planted, step, dropout=0.25).valid.any((2, 3)) for step in range(20)]
    both = [passages(planted, step, dropout=0.25).valid.any(3).all(2) for step in range(20)]
    np.testing.assert_array_equal(shown, both)
    assert np.mean(shown) == pytest.approx(0.75, abs=0.06)


def test_random_passages_are_of_documents_that_may_be_shown(planted):
    table = planted._table
    text_of = {planted.passage(v).tobytes(): v for v in range(len(planted.found))}
    batch = planted.batch(0, batch=8, chunks=4, seed=1, disturb=Disturbance(random=1.0))
    calm = passages(planted)
    chunks = planted._tokens[: len(planted._tokens) // M * M].reshape(-1, M)
    other = 0
    for b, u, j in np.ndindex(8, 4, 2):
        tokens, valid = batch.passages.tokens[b, u, j], batch.passages.valid[b, u, j]
        if not valid.any():
            continue
        v = text_of[tokens[valid].astype(np.uint16).tobytes()]
        at = np.flatnonzero((chunks == batch.tokens[b, u * M : (u + 1) * M]).all(1))
        assert all(table.documents[v] not in table.about[a] for a in at[:1]) or len(at) > 1
        other += not np.array_equal(tokens, calm.tokens[b, u, j])
    assert other > 50


def test_noise_replaces_up_to_its_share_of_the_tokens(planted):
    calm, noisy = passages(planted), passages(planted, noise=0.5)
    np.testing.assert_array_equal(calm.valid, noisy.valid)
    changed = (calm.tokens != noisy.tokens)[calm.valid].mean()
    assert 0.15 < changed < 0.35


def test_neighbours_of_other_tokens_of_the_same_length_are_refused(planted, tmp_path):
    tokens, documents = np.arange(4, 84, dtype=np.uint16), np.array([[0, 7], [40, 8]], np.int64)
    find_neighbours(
        tokens, documents, tmp_path, chunk=M, k=1, embedder=BagEmbedder(), decode=decode
    )
    with pytest.raises(CorpusError, match="of other tokens"):
        NeighbourIndex(tokens[::-1].copy(), documents, tmp_path)


@pytest.mark.parametrize("field", ["found", "dropout", "random", "noise"])
def test_a_share_above_one_is_refused(tmp_path, field):
    raw = json.loads(RECIPE.read_text())
    raw["retrofit"][field] = 1.5
    (tmp_path / "recipe.json").write_text(json.dumps(raw))
    with pytest.raises(RecipeError, match=f'"{field}" of "retrofit" is 1.5'):
        read_recipe(tmp_path / "recipe.json")


@pytest.mark.slow
def test_fitted_on_planted_facts_it_needs_the_passages_and_stays_its_base_without(
    planted, tmp_path
):
    """It learns on the first half of the documents and is measured on the second."""
    half = len(planted._tokens) // 2
    arrays = {k: np.asarray(v) for k, v in flatten(nnx.state(build(TINY, 0), nnx.Param)).items()}
    arrays["decoder.embedding.table"] = (
        3 * arrays["decoder.embedding.table"]
    )  # about as large as those of a trained base
    text = planted._tokens[: 800 * M].reshape(-1, 4 * M).astype(np.int32)
    start: Any = copying_start(TINY, arrays, text, 0)
    first = Mixture((Span(0, half, 1.0),))

    def batches(step: int) -> Batch:
        return planted.batch(
            step, batch=8, chunks=4, seed=2, mixture=first,
            disturb=Disturbance(dropout=0.1, random=0.1, noise=0.1),
        )  # fmt: skip

    after, finished = train(
        graph_of(TINY), start, Plan(200, 3e-3, 10), batches, tmp_path,
        frozen=lambda name: name.startswith("decoder."),
    )  # fmt: skip
    assert finished
    for name in start:
        if name.startswith("decoder."):
            np.testing.assert_array_equal(after[name], start[name], err_msg=name)

    second = Mixture((Span(half, len(planted._tokens), 1.0),))
    on = planted.batch(0, batch=32, chunks=4, seed=3, mixture=second)
    off = on._replace(passages=Passages(on.passages.tokens, np.zeros_like(on.passages.valid)))
    random = planted.batch(
        0, batch=32, chunks=4, seed=3, mixture=second, disturb=Disturbance(random=1.0)
    )
    loss = compile_loss(graph_of(TINY))
    begun, nats = (
        {
            name: float(loss(arrays, batch)[0]) / on.targets.size
            for name, batch in (("on", on), ("off", off), ("random", random))
        }
        for arrays in (start, after)
    )
    assert nats["off"] == begun["off"]
    assert nats["on"] < begun["on"] - 0.1
    assert nats["on"] < nats["off"] - 0.3
    assert nats["on"] < nats["random"] - 0.3

    # without passages it is the base, bit for bit
    base = replace(TINY, retrieval=None)
    own = {k.removeprefix("decoder."): v for k, v in start.items() if k.startswith("decoder.")}
    plain = nnx.merge(graph_of(base), nest({k: jnp.asarray(v) for k, v in own.items()}))
    fitted = nnx.merge(graph_of(TINY), nest({k: jnp.asarray(v) for k, v in after.items()}))
    tokens = jnp.asarray(on.tokens[:2])
    np.testing.assert_array_equal(fitted(tokens, None, None), plain(tokens, None))


@pytest.mark.slow
def test_the_stage_retrofits_on_what_the_stage_neighbours_found(tmp_path, monkeypatch):
    p = preset("tiny")
    assert p.retrieval
    toy = replace(
        p, name="toy", layers=1, retrieval=replace(p.retrieval, layers=(1,), neighbour_tokens=16)
    )
    monkeypatch.setitem(PRESETS, "toy", toy)
    monkeypatch.setitem(PRESETS, "toy-gopher", replace(toy, name="toy-gopher", retrieval=None))
    records = [{"title": title, "text": 3 * text} for title, text in ARTICLES.items()]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    stage = {"steps": 4, "rate": 3e-3, "warmup": 1, "batch": 2, "chunks": 2}
    raw = json.loads(RECIPE.read_text()) | {
        "preset": "toy", "base": "toy-gopher", "vocab": 330, "characters": 9000,
        "tokenizer": ["a.jsonl"], "plain": [{"file": "a.jsonl"}], "examples": [],
        "pretrain": stage, "retrofit": {**stage, "found": 1.0, "dropout": 0.0},
    }  # fmt: skip
    (tmp_path / "recipe.json").write_text(json.dumps(raw))
    shop = Workshop(
        read_recipe(tmp_path / "recipe.json"), tmp_path, tmp_path / "work", lambda *a: ""
    )
    shop.tokenizer()
    shop.pack()
    shop.pretrain(1e9, lambda row: None)
    with pytest.raises(CorpusError, match="run the stage 'neighbours'"):
        shop.retrofit(1e9, lambda row: None)
    shop.neighbours(BagEmbedder(), lambda stage, done, total: None)
    index = NeighbourIndex(
        np.fromfile(shop.work / "tokens.bin", np.uint16),
        np.fromfile(shop.work / "documents.bin", np.int64).reshape(-1, 2),
        shop.work,
    )
    batch = shop.lessons.batches("retrofit")(0)
    texts = {index.passage(v).tobytes() for v in range(len(index.found))}
    assert batch.passages is not None and batch.passages.tokens.shape[2] == 2
    assert "finished after 4 steps" in str(shop.retrofit(1e9, lambda row: None))
    found = [
        t[v].astype(np.uint16) for t, v in zip(
            batch.passages.tokens.reshape(-1, 16), batch.passages.valid.reshape(-1, 16), strict=True
        )
    ]  # fmt: skip
    assert sum(len(t) > 0 for t in found) == 8
    unchanged = [t.tobytes() in texts for t in found]
    assert any(unchanged)  # noise leaves some as they were
