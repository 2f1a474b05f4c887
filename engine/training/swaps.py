"""Words exchanged for others, alike wherever they stand.

A model that sees "the harbour of Hull" with Hull exchanged for any other token in the text and in
its neighbour alike cannot know what follows; it has to copy. Rare tokens, which names and numbers
are made of, are exchanged as often as frequent ones, so that all of them learn to be copied.
"""

from collections.abc import Collection

import numpy as np

FIRST = 512  # tokens below are special, bytes, and the commonest pieces: letters, "the", commas


def draw_swaps(
    rng: np.random.Generator, vocab: int, share: float, kept: Collection[int] = ()
) -> np.ndarray:
    """A map of all tokens, int32 [V]: `share` of them for one another, the rest for themselves."""
    swaps = np.arange(vocab, dtype=np.int32)
    free = np.setdiff1d(np.arange(min(FIRST, vocab), vocab), np.fromiter(kept, np.int64))
    chosen = rng.permutation(free)[: int(share * len(free))]
    swaps[chosen] = rng.permutation(chosen)
    return swaps
