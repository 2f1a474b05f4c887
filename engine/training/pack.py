"""Tokens on disk: documents one after the other as uint16, each ended by eos, in random order.

Beside `tokens.bin` lie `documents.bin`, int64 [n 2]: the first token of every text and the number
of the document that it was made from, and `mixture.json`.
"""

import os
from collections.abc import Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from engine.tokenizer import EOS, Tokenizer
from engine.training.blocks import write_whole
from engine.training.mixture import Mixture, mixture_of
from engine.training.recipe import Text

DOCUMENTS, MIXTURE = "documents.bin", "mixture.json"

_tokenizer: Tokenizer


def _open(path: Path) -> None:
    global _tokenizer
    _tokenizer = Tokenizer(path)


def _encode(text: Text) -> tuple[int, int, np.ndarray]:
    return text.source, text.document, np.array([*_tokenizer.encode(text.text), EOS], np.uint16)


def pack(
    texts: Iterable[Text], tokenizer: Path, out: Path, *,
    seed: int, weights: Sequence[float] = (), workers: int | None = None,
) -> int:  # fmt: skip
    """Writes the tokens of all texts, shuffled, to `out`; returns how many there are.

    With `weights`, one a source, they lie source by source, shuffled within each. Computes in
    `workers` processes, by default as many as there are cores.
    """
    workers = workers or len(os.sched_getaffinity(0))
    with get_context("spawn").Pool(workers, _open, (tokenizer,)) as pool:
        found = list(pool.imap(_encode, texts, chunksize=64))
    order = np.random.default_rng(seed).permutation(len(found))
    sources = np.array([source for source, _, _ in found], np.int64)
    sizes = np.array([len(tokens) for _, _, tokens in found], np.int64)
    if weights:
        order = order[np.argsort(sources[order], kind="stable")]
        totals = np.bincount(sources, sizes, len(weights)).astype(int).tolist()
        mixture = mixture_of(totals, weights)
    else:
        mixture = Mixture.whole(int(sizes.sum()))
    starts = np.cumsum(sizes[order]) - sizes[order]
    documents = np.array([document for _, document, _ in found], np.int64)[order]
    out.parent.mkdir(parents=True, exist_ok=True)
    tokens = np.concatenate([found[i][2] for i in order])
    write_whole(out, tokens.tobytes())
    write_whole(out.with_name(DOCUMENTS), np.stack([starts, documents], 1).tobytes())
    write_whole(out.with_name(MIXTURE), mixture.to_bytes())
    return len(tokens)


def read_documents(path: Path) -> np.ndarray:
    """documents.bin -> int64 [n 2], mapped into memory."""
    return np.memmap(path, np.int64, "r").reshape(-1, 2)
