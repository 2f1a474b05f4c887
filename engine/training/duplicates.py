"""Exact and near-duplicates (Gopher, arXiv 2112.11446, appendix A.1).

Near-duplicates have a Jaccard similarity over 0.8 of their sets of 13-grams of words, white space
and punctuation ignored, letters in lower case. It is estimated by MinHash (Broder 1997): of 128
random orders of all 13-grams, the share in which both sets have the same first element (standard
error 0.035 at 0.8). Only documents that agree in one of 32 bands of 4 orders are compared; a pair
of similarity 0.8 is missed once in 10 million. Of each such pair one is dropped at random: the
order is that of digests, so it depends on the texts alone and not on how they are filed.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

N = 13  # words in an n-gram
SIMILAR = 0.8
BANDS, ROWS = 32, 4
ORDERS = BANDS * ROWS

_WORD = re.compile(r"[^\W_]+")
_random = np.random.default_rng(13)
_FACTORS = _random.integers(0, 2**63, ORDERS, np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS = _random.integers(0, 2**64, ORDERS, np.uint64)
_BASE, _MIX, _SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(31)
_BLOCK = 256  # rows that fit the processor's cache
_KNOWN = 1_000_000  # hashes of words that are kept


class _Hashes(dict[str, int]):
    """Word -> 64 bits, the same in every process; `hash` is not."""

    def __missing__(self, word: str) -> int:
        if len(self) > _KNOWN:
            self.clear()
        data = word.encode("utf-8", "surrogatepass")
        self[word] = found = int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
        return found


_hashes = _Hashes()


def plain_words(text: str) -> list[str]:
    """Words in lower case, without punctuation and white space."""
    return _WORD.findall(text.lower())


def hash_ngrams(words: Sequence[str]) -> np.ndarray:
    """The hashes uint64 [n-12] of all 13-grams of words, in order; none of fewer than 13 words."""
    count = len(words) - N + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    hashes = np.fromiter(map(_hashes.__getitem__, words), np.uint64, len(words))
    out = np.zeros(count, np.uint64)
    for i in range(N):
        out = out * _BASE + hashes[i : i + count]
    out = (out ^ (out >> _SHIFT)) * _MIX
    return out ^ (out >> _SHIFT)


def signature(ngrams: np.ndarray) -> np.ndarray:
    """Hashes of a set of n-grams -> its first elements in each order, uint32 [128]."""
    least = np.full(ORDERS, np.iinfo(np.uint64).max, np.uint64)
    for i in range(0, len(ngrams), _BLOCK):
        places = ngrams[i : i + _BLOCK, None] * _FACTORS
        places += _OFFSETS
        np.minimum(least, places.min(0), out=least)
    return (least >> np.uint64(32)).astype(np.uint32)


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The estimated Jaccard similarity of signatures [... 128]."""
    return (a == b).mean(-1)


def digest(parts: Iterable[str]) -> bytes:
    """16 bytes that name a text of several parts."""
    found = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(8, "little") + data)
    return found.digest()


def exact_duplicates(digests: np.ndarray) -> np.ndarray:
    """Digests uint8 [n 16] -> for each the number of the first equal one, int64 [n]."""
    _, first, inverse = np.unique(_keys(digests), return_index=True, return_inverse=True)
    return first[inverse]


def _keys(digests: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(digests).view("S16").reshape(-1)


def band_keys(signatures: np.ndarray, band: int) -> np.ndarray:
    """One band of signatures [n 128] -> a key for each, uint64 [n]."""
    rows = np.asarray(signatures[:, band * ROWS : (band + 1) * ROWS], np.uint64)
    keys = np.zeros(len(rows), np.uint64)
    for i in range(ROWS):
        keys = (keys ^ rows[:, i]) * _MIX
        keys ^= keys >> _SHIFT
    return keys


def group(keys: np.ndarray) -> list[np.ndarray]:
    """The rows of every key that occurs more than once."""
    order = np.argsort(keys, kind="stable")
    _, firsts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    several = counts > 1
    spans = zip(firsts[several].tolist(), counts[several].tolist(), strict=True)
    return [order[first : first + count] for first, count in spans]


def near_duplicates(
    signatures: np.ndarray, digests: np.ndarray, groups: Iterable[np.ndarray]
) -> dict[int, tuple[int, float]]:
    """Rows to drop -> the similar row that stays, and the estimated similarity.

    `signatures` uint32 [n 128], `digests` uint8 [n 16], `groups` of all bands. No two rows that
    stay share a group and are similar, so a second run drops nothing.
    """
    groups = list(groups)
    member: dict[int, list[int]] = {}
    for number, rows in enumerate(groups):
        for row in rows.tolist():
            member.setdefault(row, []).append(number)
    rows = np.array(sorted(member), np.int64)
    staying: list[list[int]] = [[] for _ in groups]
    dropped: dict[int, tuple[int, float]] = {}
    for row in rows[np.argsort(_keys(digests[rows]), kind="stable")].tolist():
        others = np.array(sorted({o for g in member[row] for o in staying[g]}), np.int64)
        found = similarity(signatures[others], signatures[row])
        if len(others) and found.max() > SIMILAR:
            dropped[row] = int(others[found.argmax()]), float(found.max())
        else:
            for number in member[row]:
                staying[number].append(row)
    return dropped
