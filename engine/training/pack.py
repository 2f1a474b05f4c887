"""Tokens on disk: documents one after the other as uint16, each ended by eos, in random order."""

from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from engine.tokenizer import EOS, Tokenizer

_tokenizer: Tokenizer


def _open(path: Path) -> None:
    global _tokenizer
    _tokenizer = Tokenizer(path)


def _encode(text: str) -> np.ndarray:
    return np.array([*_tokenizer.encode(text), EOS], np.uint16)


def pack(texts: Iterable[str], tokenizer: Path, out: Path, *, seed: int, workers: int = 2) -> int:
    """Writes the tokens of all texts, shuffled, to `out`; returns how many there are."""
    with get_context("spawn").Pool(workers, _open, (tokenizer,)) as pool:
        documents = list(pool.imap(_encode, texts, chunksize=64))
    order = np.random.default_rng(seed).permutation(len(documents))
    out.parent.mkdir(parents=True, exist_ok=True)
    np.concatenate([documents[i] for i in order]).tofile(out)
    return out.stat().st_size // 2
