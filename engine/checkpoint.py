"""Weights on disk: safetensors beside a JSON card that names their SHA-256.

A weights directory holds `weights.safetensors`, `tokenizer.model` and `card.json`. Instead of the
first there may be pieces, `weights-00001-of-00004.safetensors` and so on, which the card lists
with a SHA-256 each; "sha256" is then that of those, one after the other. Arrays are named by their
path in the model, "decoder.blocks.0.attention.q.kernel".
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from engine.card import CheckpointError, read_card
from engine.gopher import Gopher
from engine.pieces import divide, join, piece_name
from engine.presets import Preset, preset
from engine.quantised import BITS, floats_of, gather, shape_of, spread
from engine.retro import Retro

Arrays = dict[str, jax.Array]
WEIGHTS = "weights.safetensors"

# Of a weights file; the library's own loader for numpy knows no bfloat16.
_DTYPES = {"BF16": jnp.bfloat16, "F32": np.float32}
_QUANTISED = {**_DTYPES, "F16": np.float16, "I8": np.int8, "U8": np.uint8}


def build(p: Preset, seed: int = 0) -> Gopher | Retro:
    """A freshly initialised model of a preset."""
    return (Retro if p.retrieval else Gopher)(p, rngs=nnx.Rngs(seed))


def graph_of(p: Preset) -> nnx.GraphDef:
    """The static half of a model, without allocating its weights."""
    return _outline(p)[0]


def shapes_of(p: Preset) -> dict[str, jax.ShapeDtypeStruct]:
    """Names and shapes of a preset's arrays, without allocating them."""
    return flatten(_outline(p)[1])


@cache  # tracing the initialisers takes a quarter of a second
def _outline(p: Preset) -> tuple[nnx.GraphDef, nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: build(p)), nnx.Param)


def flatten(state: nnx.State) -> dict[str, Any]:
    return traverse_util.flatten_dict(_plain(nnx.to_pure_dict(state)), sep=".")


def _plain(tree: Any) -> Any:
    """String keys throughout: blocks are numbered."""
    if isinstance(tree, Mapping):
        return {str(key): _plain(value) for key, value in tree.items()}
    return tree


def nest(arrays: Mapping[str, Any]) -> dict:
    """Flat names -> the nested dict that `nnx.merge` takes."""

    def numbered(tree: Any) -> Any:
        if not isinstance(tree, Mapping):
            return tree
        return {int(k) if k.isdigit() else k: numbered(v) for k, v in tree.items()}

    return numbered(traverse_util.unflatten_dict(dict(arrays), sep="."))


def write_file(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, and durably."""
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def save_arrays(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    """Writes arrays as safetensors; returns the file's SHA-256."""
    # in C order, because the library writes the memory of an array and not its elements
    data = save({k: np.asarray(v, order="C") for k, v in arrays.items()}, dict(metadata))
    write_file(path, data)
    return hashlib.sha256(data).hexdigest()


def save_weights(
    directory: Path, name: str, arrays: Mapping[str, Any], tokenizer: Path,
    card: Mapping[str, Any], limit: int | None = None,
) -> None:  # fmt: skip
    """Writes a weights directory; `card` is kept beside what is measured here.

    In bfloat16, or where card["numbers"] is "int8" or "int4" with quantised matrices. In one file,
    or in pieces where that is larger than `limit` bytes. Raises CheckpointError where an array
    cannot be divided so.
    """
    directory.mkdir(parents=True, exist_ok=True)
    bits = BITS.get(str(card.get("numbers")))
    if bits is None:
        written = {k: np.asarray(jnp.asarray(v, jnp.bfloat16)) for k, v in arrays.items()}
    else:
        written = spread(arrays, bits)
    pieces = [written] if limit is None else divide(written, limit)
    names = [WEIGHTS] if len(pieces) == 1 else _piece_names(len(pieces))
    hashes = [
        save_arrays(directory / file, piece, {"preset": name})
        for file, piece in zip(names, pieces, strict=True)
    ]
    model = tokenizer.read_bytes()
    write_file(directory / "tokenizer.model", model)
    described = {
        **{k: v for k, v in card.items() if k != "pieces"},
        "preset": name,
        "parameters": sum(int(np.prod(shape_of(k, v))) for k, v in arrays.items()),
        "sha256": hashes[0] if len(pieces) == 1 else _hash_of(hashes),
        "tokenizer_sha256": hashlib.sha256(model).hexdigest(),
    }
    if len(pieces) > 1:
        described["pieces"] = [
            {"file": file, "sha256": digest} for file, digest in zip(names, hashes, strict=True)
        ]
    write_file(directory / "card.json", json.dumps(described, indent=2).encode() + b"\n")
    for path in _weight_files(directory):  # of weights that were here before
        if path.name not in names:
            path.unlink()


def _hash_of(hashes: Iterable[str]) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _piece_names(count: int) -> list[str]:
    return [piece_name(number, count) for number in range(1, count + 1)]


def _weight_files(directory: Path) -> list[Path]:
    return sorted({*directory.glob(WEIGHTS), *directory.glob("weights-*-of-*.safetensors")})


def load_weights(directory: Path, dtype: Any = jnp.float32) -> tuple[dict[str, Any], Arrays]:
    """A weights directory -> its card and arrays by name, every hash, name and shape checked."""
    card, arrays = read_weights(directory)
    return card, {k: jnp.asarray(floats_of(k, v), dtype) for k, v in arrays.items()}


def read_weights(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same as they are on disk: quantised matrices as `engine.quant.Blocks`."""
    card = read_card(directory)
    bits = BITS.get(str(card.get("numbers")))
    dtypes = _QUANTISED if bits else _DTYPES
    files = hashes_of(directory, card)
    arrays = join(
        item
        for path, digest in files.items()
        for item in _deserialise(path, _read_checked(path, digest), dtypes)
    )
    _read_checked(directory / "tokenizer.model", card["tokenizer_sha256"])
    shapes = shapes_of(preset(card["preset"]))
    if bits:
        arrays = gather(arrays, shapes, bits)
    found = {k: jax.ShapeDtypeStruct(shape_of(k, v), np.float32) for k, v in arrays.items()}
    check_shapes(found, shapes, str(directory))
    return card, arrays


def hashes_of(directory: Path, card: Mapping[str, Any]) -> dict[Path, str]:
    """The files of weights that a card names, and their SHA-256. Raises CheckpointError."""
    if "pieces" not in card:
        named = {WEIGHTS: card["sha256"]}
    else:
        try:
            named = {str(piece["file"]): str(piece["sha256"]) for piece in card["pieces"]}
        except (TypeError, KeyError):
            named = {}
        in_order = named and list(named) == _piece_names(len(named))
        if not in_order or _hash_of(named.values()) != card["sha256"]:
            raise CheckpointError(
                f'the model card {directory / "card.json"} is damaged: its "pieces" must be a '
                'list of the files weights-00001-of-..., each with its sha256, and its "sha256" '
                "that of those; restore the file, for instance with git checkout"
            )
    surplus = [path for path in _weight_files(directory) if path.name not in named]
    if surplus and "pieces" in card:
        raise CheckpointError(
            f"{surplus[0]} is none of the {len(named)} pieces that the model card names; remove it"
        )
    return {directory / name: digest for name, digest in named.items()}


def _deserialise(path: Path, data: bytes, dtypes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    try:
        for name, a in deserialize(data):
            yield name, np.frombuffer(a["data"], dtypes[a["dtype"]]).reshape(a["shape"])
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None
    except KeyError as error:
        known = ", ".join(dtypes)
        raise CheckpointError(f"{path} holds arrays of type {error}, expected {known}") from None


def _read_checked(path: Path, expected: str) -> bytes:
    """A file's bytes, if their SHA-256 is what the model card says."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from None
    check_hash(path, hashlib.sha256(data).hexdigest(), expected)
    return data


def check_hash(path: Path, digest: str, expected: str) -> None:
    if digest != expected:
        raise CheckpointError(
            f"{path} is damaged or was replaced: its SHA-256 is {digest[:12]}..., the model card "
            f"says {expected[:12]}...; restore the file, for instance with git checkout"
        )


def check_shapes(arrays: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Refuses missing, unknown and mis-shaped arrays by name."""
    wrong = [f"{k} is missing" for k in expected if k not in arrays]
    wrong += [f"{k} is unknown" for k in arrays if k not in expected]
    wrong += [
        f"{k} has shape {tuple(arrays[k].shape)}, expected {tuple(expected[k].shape)}"
        for k in expected
        if k in arrays and tuple(arrays[k].shape) != tuple(expected[k].shape)
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise CheckpointError(f"{where} does not fit the preset: {'; '.join(wrong[:5])}{more}")
