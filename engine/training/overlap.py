"""The test-set filter: a text that shares a 13-gram with a test set is not trained on.

Gopher drops a document whose 13-gram Jaccard similarity with a test document is over 0.8 (arXiv
2112.11446, appendix A.1); that lets a chapter pass which quotes a whole test passage. Here one
shared 13-gram is enough, which drops all that the paper drops and more. n-grams are those of
`duplicates`: words in lower case, punctuation ignored.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from engine.training.duplicates import N, hash_ngrams, plain_words

_BITS = 24  # of a hash, that a small table knows: most n-grams are in no test set
_TOP = np.uint64(64 - _BITS)


@dataclass(frozen=True)
class HeldOut:
    """The n-grams of test files: `ngrams` uint64, sorted; `files` int16, which file each is of.

    `short` texts had fewer than 13 words and cannot be looked for.
    """

    ngrams: np.ndarray
    files: np.ndarray
    table: np.ndarray  # bool: the leading bits of any n-gram
    short: int

    def find(self, ngrams: np.ndarray) -> tuple[int, int] | None:
        """The first of a text's n-grams that a test file has: its place and the file's number."""
        maybe = np.flatnonzero(self.table[ngrams >> _TOP])
        if not len(maybe):
            return None
        at = np.searchsorted(self.ngrams, ngrams[maybe]).clip(max=len(self.ngrams) - 1)
        hits = np.flatnonzero(self.ngrams[at] == ngrams[maybe])
        return (int(maybe[hits[0]]), int(self.files[at[hits[0]]])) if len(hits) else None


def hold_out(texts: Iterable[tuple[int, str]]) -> HeldOut:
    """(number of a test file, text) -> what to look for."""
    found, files, short = [], [], 0
    for number, text in texts:
        words = plain_words(text)
        short += len(words) < N
        found.append(np.unique(hash_ngrams(words)))
        files.append(np.full(len(found[-1]), number, np.int16))
    ngrams = np.concatenate(found or [np.zeros(0, np.uint64)])
    ngrams, first = np.unique(ngrams, return_index=True)
    table = np.zeros(2**_BITS, bool)
    table[ngrams >> _TOP] = True
    return HeldOut(ngrams, np.concatenate(files or [np.zeros(0, np.int16)])[first], table, short)
