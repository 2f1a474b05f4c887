"""Where tuning starts: an encoder that finds the words of a question in the passages.

To choose among sentences, the encoder of neighbours must compare them with the question, which its
first layer reads by cross-attention (RETRO, section 2.3). A small model never gets there by itself:
comparing words, adding up which sentence has most of them and reading that where a reply begins pay
only together. After 5,000 steps of tuning every head of ours still read the question as if at
random, and said the same whatever it was. So the first two are put in place:

- comparing: half of the heads are fitted, each by itself, to read in the question the word that
  they stand at, and the end of the prompt where it has none; what they add, along one direction of
  the stream, is how rare the word is;
- adding up: heads of the next layer that do least add up that direction over the tokens that
  follow, and around them, by position alone.

The other heads say what the replaced ones said, so that at first hardly anything else changes.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from engine.checkpoint import graph_of, nest
from engine.layers import distances, sinusoids
from engine.presets import Preset
from engine.retro import Passages
from engine.training.metrics import Row
from engine.training.step import Batch, Batches, compile_loss
from engine.training.swaps import FIRST

RATE = 0.004
FOUND = 15.0  # weight of a token that the question has, beside one that it has not
COMMON = 0.1  # what a common word says, of what a rare one does
COMPARED, ADDED = 4.0, 0.2  # what is added along a direction, in root mean squares of the stream
OUTSIDE = 9.0  # nats by which a token out of reach is read less
REACHES = ((0, 28), (0, 14), (-14, 14))  # tokens from a token on that a head adds up over
MEASURED, EVERY = 6, 100  # batches; steps a row

CROSS, ADDING = "encoder.blocks.0.cross", "encoder.blocks.1.attention"

Array = np.ndarray


class Comparing(NamedTuple):
    """Maps of the heads that compare: queries, keys [N D H], what is added to queries [N H]."""

    q: jax.Array
    k: jax.Array
    bias: jax.Array


class Streams(NamedTuple):
    """What the first cross-attention of the encoder reads, S = K*R tokens of neighbours and the M
    of the chunk: streams, tokens, and whether they are there."""

    raw: Any  # [B S D], not yet normed
    e: Any  # [B S D]
    chunk: Any  # [B M D]
    e_tokens: Any  # [B S]
    chunk_tokens: Any  # [B M]
    e_valid: Any
    chunk_valid: Any


def fits(p: Preset) -> bool:
    """Whether an encoder has the two layers, and the shared embedding, that this needs."""
    s = p.retrieval
    return s is not None and s.shared_embedding and s.depth > 1 and 1 in s.cross


def matching_start(
    p: Preset, arrays: Mapping[str, Array], questions: Batches, steps: int, seed: int,
    report: Callable[[Row], None] = lambda row: None,
) -> dict[str, Array]:  # fmt: skip
    """The arrays of a RETRO that compares, fitted in `steps` steps; those of other shapes as they
    are. `questions` are batches whose last whole chunk is a question, with its neighbours. Now and
    then `report` gets a row that says how far the fit is."""
    out = {k: np.array(v, np.float32) for k, v in arrays.items()}
    if not fits(p):
        return out
    assert p.retrieval is not None
    heads, size = p.retrieval.heads, p.retrieval.head_dim
    some = [questions(i) for i in range(MEASURED)]
    read = [streams(p, out, batch) for batch in some]
    idle = idle_heads(p, out, some[0])[: min(len(REACHES), heads // 2)]
    comparing = fit(p, out, questions, steps, seed, report)
    rare = _ridge(
        np.concatenate([s.chunk[s.chunk_valid] for s in read]),
        np.concatenate([says(p, s.chunk_tokens, s.chunk_valid)[s.chunk_valid] for s in read]),
    )
    e = np.concatenate([s.raw[s.e_valid] for s in read])
    rms = float(np.sqrt(np.square(e).mean()))
    _put_comparing(out, comparing, rare, COMPARED * rms * _quiet(e)[0], heads, size)
    _put_adding(p, out, some, idle, ADDED * rms)
    return out


def says(p: Preset, tokens: Array, valid: Array) -> Array:
    """How much it says that a token of a question [B M] stands in a passage, 0 to 1: nothing for
    what stands in every prompt, the tags."""
    always = set.intersection(*({*row[mark]} for row, mark in zip(tokens, valid, strict=True)))
    worth = np.where(_rare(p, tokens), 1.0, COMMON)
    return np.where(np.isin(tokens, [*always]), 0.0, worth).astype(np.float32)


def streams(p: Preset, arrays: Mapping[str, Any], batch: Batch) -> Streams:
    """What there is to compare in a batch, as NumPy arrays."""
    return jax.tree.map(np.asarray, _with_model(p, _streams)(_weights(arrays), batch))


def _weights(arrays: Mapping[str, Any]) -> dict[str, jax.Array]:
    return {k: jnp.asarray(v) for k, v in arrays.items()}


@cache
def _with_model(p: Preset, read: Callable[[Any, Batch], Any]) -> Callable[..., Any]:
    """(weights, batch) -> what `read` finds in the model and the batch, compiled."""
    return jax.jit(lambda weights, batch: read(nnx.merge(graph_of(p), nest(weights)), batch))


def _question(model: Any, batch: Batch) -> tuple[jax.Array, jax.Array, Passages]:
    """What the encoder reads of the chunk that a question ends [B 1 M D], [B 1 M]; neighbours."""
    kept: dict[str, jax.Array] = {}

    def keep(i: int, x: jax.Array) -> jax.Array:
        return kept.setdefault("x", x) if i == model.layers[0] else x

    model.decoder.hidden(batch.tokens, batch.valid, keep)
    assert batch.passages is not None
    last = batch.tokens.shape[1] // model.chunk - 1
    chunk = slice(last * model.chunk, (last + 1) * model.chunk)
    shown = Passages(*[a[:, last : last + 1] for a in batch.passages])
    return kept["x"][:, None, chunk], jnp.asarray(batch.valid)[:, None, chunk], shown


def _streams(model: Any, batch: Batch) -> Streams:
    rows, marks, shown = _question(model, batch)
    block, e, R = model.encoder.blocks[0], model._embed(shown.tokens), shown.tokens.shape[-1]
    r = block.attention.position_keys(distances(R, R))
    mask = jnp.broadcast_to(shown.valid[..., None, :], (*shown.valid.shape, R))
    y = block.norm1(e)
    e = e + block.attention(y, *block.attention.keys_values(y), r, mask)
    B, M, D = marks.shape[0], model.chunk, e.shape[-1]
    tokens = batch.tokens[:, batch.tokens.shape[1] // M * M - M :][:, :M]
    return Streams(
        e.reshape(B, -1, D), block.norm_cross(e).reshape(B, -1, D),
        block.norm_chunk(rows[:, 0]), shown.tokens.reshape(B, -1), tokens,
        shown.valid.reshape(B, -1), marks[:, 0],
    )  # fmt: skip


def same_words(p: Preset, s: Streams) -> Any:
    """[B S M]: where a neighbour's token and one of the question are the same, and not common."""
    both = (s.e_valid & _rare(p, s.e_tokens))[:, :, None] & s.chunk_valid[:, None]
    return (s.e_tokens[:, :, None] == s.chunk_tokens[:, None]) & both


def _rare(p: Preset, tokens: Any) -> Any:
    return tokens >= min(FIRST, p.vocab // 4)


def attention(maps: Comparing, s: Streams) -> jax.Array:
    """Logarithms of what each head reads of the question at each neighbour's token [B N S M]."""
    q = jnp.einsum("BSD,NDH->BNSH", s.e, maps.q) + maps.bias[:, None]
    k = jnp.einsum("BMD,NDH->BNMH", s.chunk, maps.k)
    scores = jnp.einsum("BNSH,BNMH->BNSM", q, k) / maps.q.shape[-1] ** 0.5
    return jax.nn.log_softmax(jnp.where(s.chunk_valid[:, None, None], scores, -1e30), -1)


def fit(
    p: Preset, arrays: Mapping[str, Array], questions: Batches, steps: int, seed: int,
    report: Callable[[Row], None] = lambda row: None,
) -> Comparing:  # fmt: skip
    """The maps that look best for the word they stand at, and for the prompt's end else."""
    assert p.retrieval is not None
    n, H = p.retrieval.heads // 2, p.retrieval.head_dim
    rng = np.random.default_rng(seed)
    q, k = (
        jnp.asarray(rng.normal(size=(n, D, H)) * D**-0.5, jnp.float32)
        for D in (p.retrieval.width, p.width)
    )
    maps = Comparing(q, k, jnp.zeros((n, H)))
    tx = optax.adam(optax.cosine_decay_schedule(RATE, steps))
    weights = _weights(arrays)

    def surprise(maps: Comparing, s: Streams) -> jax.Array:
        same = same_words(p, s)
        found = same.any(-1)
        end = jnp.arange(s.chunk_tokens.shape[-1]) == s.chunk_tokens.shape[-1] - 1
        wanted = jnp.where(found[..., None], same, end)[:, None]
        nats = -jax.nn.logsumexp(jnp.where(wanted, attention(maps, s), -1e30), -1)
        counted = (jnp.where(found, FOUND, 1.0) * s.e_valid)[:, None]
        return (nats * counted).sum() / counted.sum()

    @jax.jit
    def step(maps: Comparing, state: Any, weights: dict[str, jax.Array], batch: Batch):
        grads = jax.grad(surprise)(maps, _streams(nnx.merge(graph_of(p), nest(weights)), batch))
        updates, state = tx.update(grads, state)
        return optax.apply_updates(maps, updates), state

    state = tx.init(maps)
    for number in range(steps):
        maps, state = step(maps, state, weights, questions(number))
        if (number + 1) % EVERY == 0:
            jax.block_until_ready(maps)
            report({"matching": number + 1, "of": steps})
    return jax.tree.map(np.asarray, maps)


def idle_heads(p: Preset, arrays: Mapping[str, Array], batch: Batch) -> list[int]:
    """The heads of the second self-attention, that first without which the loss changes least."""
    assert p.retrieval is not None
    loss, name, size = compile_loss(graph_of(p)), f"{ADDING}.o.kernel", p.retrieval.head_dim
    weights = _weights(arrays)
    whole = float(loss(weights, batch).nats)

    def change(head: int) -> float:
        kernel = weights[name].at[head * size : (head + 1) * size].set(0)
        return abs(float(loss({**weights, name: kernel}, batch).nats) - whole)

    return sorted(range(p.retrieval.heads), key=change)


def _put_comparing(
    out: dict[str, Array], maps: Comparing, rare: Array, added: Array, heads: int, size: int
) -> None:
    """The maps as the first heads; the others say what those said."""
    n = len(maps.q)
    out[f"{CROSS}.o.kernel"] *= heads / (heads - n)
    for h in range(n):
        columns = slice(h * size, (h + 1) * size)
        out[f"{CROSS}.q.kernel"][:, columns] = maps.q[h]
        out[f"{CROSS}.k.kernel"][:, columns] = maps.k[h]
        _clear(out, CROSS, h, columns)
        out[f"{CROSS}.content_bias"][h] = maps.bias[h]
        out[f"{CROSS}.v.kernel"][:, columns.start] = rare
        out[f"{CROSS}.o.kernel"][columns.start] = added / n


def _put_adding(
    p: Preset, out: dict[str, Array], batches: list[Batch], heads: list[int], loud: float
) -> None:
    """Heads that add up, along the direction in which what the first layer writes tells best
    whether a token was found in the question, what is within each one's reach."""
    assert p.retrieval is not None
    R, D, size = p.retrieval.neighbour_tokens, p.retrieval.width, p.retrieval.head_dim
    weights = _weights(out)
    read = [_with_model(p, _first_layer)(weights, batch) for batch in batches]
    e = np.concatenate([np.asarray(e)[s.e_valid] for e, s in read])
    found = np.concatenate([np.asarray(same_words(p, s).any(-1))[s.e_valid] for _, s in read])
    normed = e / np.sqrt(np.square(e).mean(1, keepdims=True))
    tells = _ridge(normed, found - found.mean())
    steady = float((normed @ tells).std()) / (REACHES[0][1] - REACHES[0][0]) ** 0.5
    directions, far = _quiet(e), distances(R, R)
    phi = np.asarray(sinusoids(far, D))
    for j, (head, (low, high)) in enumerate(zip(heads, REACHES, strict=False)):
        columns = slice(head * size, (head + 1) * size)
        _clear(out, ADDING, head, columns)
        wanted = np.where((-far >= low) & (-far <= high), 0.0, -OUTSIDE)
        position = np.linalg.solve(phi.T @ phi + 0.01 * np.eye(D), phi.T @ wanted)
        for name in ("q", "k"):
            out[f"{ADDING}.{name}.kernel"][:, columns] = 0
        out[f"{ADDING}.r.kernel"][:, columns.start] = position
        out[f"{ADDING}.position_bias"][head, 0] = size**0.5
        out[f"{ADDING}.v.kernel"][:, columns.start] = tells / out["encoder.blocks.1.norm1.scale"]
        out[f"{ADDING}.o.kernel"][columns.start] = loud / steady * directions[1 + j]


def _first_layer(model: Any, batch: Batch) -> tuple[jax.Array, Streams]:
    """What the encoder's first layer writes [B S D], and what it compares."""
    rows, marks, shown = _question(model, batch)
    s = _streams(model, batch)
    e = model.encoder.blocks[0](model._embed(shown.tokens), shown.valid, rows, marks)
    return e.reshape(s.e.shape), s


def _clear(out: dict[str, Array], name: str, head: int, columns: slice) -> None:
    out[f"{name}.r.kernel"][:, columns] = 0
    out[f"{name}.v.kernel"][:, columns] = 0
    out[f"{name}.o.kernel"][columns] = 0
    out[f"{name}.content_bias"][head] = 0
    out[f"{name}.position_bias"][head] = 0


def _quiet(stream: Array) -> Array:
    """Directions of a stream [n D], those first along which it varies least: rows of [D D]."""
    return np.linalg.eigh(np.cov(stream.T))[1].T.astype(np.float32)


def _ridge(x: Array, y: Array) -> Array:
    """The linear map of x [n D] that is nearest to y [n]."""
    square = x.T @ x
    return np.linalg.solve(
        square + 1e-3 * np.trace(square) / len(square) * np.eye(len(square)), x.T @ y
    )
