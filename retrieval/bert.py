"""BERT's encoder in Flax NNX, and its weights from safetensors.

Axes: B texts, T word pieces, D width, F inner width, H heads, K width of a head.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx
from safetensors import SafetensorError
from safetensors.flax import load_file


class EmbedderError(Exception):
    """The encoder's directory is missing, damaged, or not a BERT; the message says what to do."""


@dataclass(frozen=True)
class Config:
    """What of a Hugging Face `config.json` shapes a BERT encoder."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float

    @classmethod
    def of(cls, raw: dict) -> "Config":
        """Raises EmbedderError for a model this file does not implement."""
        kind = (raw.get("model_type"), raw.get("hidden_act"))
        positions = raw.get("position_embedding_type", "absolute")
        if kind != ("bert", "gelu") or positions != "absolute":
            raise EmbedderError(
                f"config.json describes model_type {kind[0]!r} with hidden_act {kind[1]!r} and "
                f"{positions!r} positions; expected 'bert', 'gelu' and 'absolute'"
            )
        try:
            return cls(**{name: raw[name] for name in cls.__dataclass_fields__})
        except KeyError as error:
            raise EmbedderError(f"config.json has no {error}") from None


class Attention(nnx.Module):
    """Every piece reads every piece of its own text."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        D = config.hidden_size
        self.heads = config.num_attention_heads
        self.query, self.key, self.value, self.output = (
            nnx.Linear(D, D, rngs=rngs) for _ in range(4)
        )

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:  # x [B T D], mask [B T]
        B, T, D = x.shape
        q, k, v = (
            linear(x).reshape(B, T, self.heads, -1).swapaxes(1, 2)  # heads first: faster on CPU
            for linear in (self.query, self.key, self.value)
        )  # [B H T K]
        logits = jnp.einsum("BHTK,BHSK->BHTS", q, k) * (D // self.heads) ** -0.5
        logits = jnp.where(mask[:, None, None, :], logits, jnp.finfo(logits.dtype).min)
        y = jnp.einsum("BHTS,BHSK->BHTK", jax.nn.softmax(logits), v)
        return self.output(y.swapaxes(1, 2).reshape(B, T, D))  # [B T D]


class Layer(nnx.Module):
    """A post-norm block: the norm comes after each residual sum."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        D, F = config.hidden_size, config.intermediate_size
        self.attention = Attention(config, rngs=rngs)
        self.attention_norm = norm(config, rngs)
        self.up = nnx.Linear(D, F, rngs=rngs)
        self.down = nnx.Linear(F, D, rngs=rngs)
        self.output_norm = norm(config, rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        x = self.attention_norm(x + self.attention(x, mask))
        return self.output_norm(x + self.down(jax.nn.gelu(self.up(x), approximate=False)))


class Bert(nnx.Module):
    """The encoder, without the pooler and heads of pre-training."""

    def __init__(self, config: Config, *, rngs: nnx.Rngs):
        D = config.hidden_size
        self.words = nnx.Embed(config.vocab_size, D, rngs=rngs)
        self.positions = nnx.Embed(config.max_position_embeddings, D, rngs=rngs)
        self.kinds = nnx.Embed(config.type_vocab_size, D, rngs=rngs)
        self.norm = norm(config, rngs)
        self.layers = nnx.List(Layer(config, rngs=rngs) for _ in range(config.num_hidden_layers))

    def __call__(self, ids: jax.Array, mask: jax.Array) -> jax.Array:  # ids, mask [B T]
        T = ids.shape[1]
        x = self.words(ids) + self.positions(jnp.arange(T)) + self.kinds(jnp.zeros(T, jnp.int32))
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return x  # [B T D]


def norm(config: Config, rngs: nnx.Rngs) -> nnx.LayerNorm:
    eps = config.layer_norm_eps
    return nnx.LayerNorm(config.hidden_size, epsilon=eps, use_fast_variance=False, rngs=rngs)


def load(config: Config, path: Path) -> tuple[nnx.GraphDef, dict]:
    """safetensors -> (graph, weights as a plain dict of float32 arrays)."""
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise EmbedderError(f"{path} cannot be read as safetensors: {error}") from None
    prefix = "bert." if any(name.startswith("bert.") for name in tensors) else ""
    graph, state = nnx.split(nnx.eval_shape(lambda: Bert(config, rngs=nnx.Rngs(0))))
    params = nnx.to_pure_dict(state)

    def fill(module: dict, name: str) -> None:
        for leaf, (suffix, transpose) in LEAVES.items():
            if leaf not in module:
                continue
            full = f"{prefix}{name}.{suffix}"
            tensor = tensors.get(full, tensors.get(f"{prefix}{name}.{OLD.get(leaf)}"))
            if tensor is None:
                raise EmbedderError(f"{path} has no tensor {full}")
            tensor = tensor.T if transpose else tensor
            if tensor.shape != module[leaf].shape:
                raise EmbedderError(
                    f"{path}: {full} is {tensor.shape}, config.json asks for {module[leaf].shape}"
                )
            module[leaf] = jnp.asarray(tensor, jnp.float32)

    for attribute, name in STEM.items():
        fill(params[attribute], f"embeddings.{name}")
    for i, layer in params["layers"].items():
        for attribute, name in BLOCK.items():
            module = layer
            for part in attribute.split("."):
                module = module[part]
            fill(module, f"encoder.layer.{i}.{name}")
    return graph, params


# our leaf -> (its name in the file, stored transposed); a Linear is [out in] there
LEAVES = {
    "kernel": ("weight", True),
    "bias": ("bias", False),
    "scale": ("weight", False),
    "embedding": ("weight", False),
}
OLD = {"scale": "gamma", "bias": "beta"}  # norms in files converted from TensorFlow
STEM = {
    "words": "word_embeddings",
    "positions": "position_embeddings",
    "kinds": "token_type_embeddings",
    "norm": "LayerNorm",
}
BLOCK = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "output_norm": "output.LayerNorm",
}
