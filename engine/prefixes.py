"""What each slot holds, so that a sequence need not be read again from its first token on."""

from collections.abc import Mapping, Sequence

import numpy as np

from retrieval.protocol import Neighbour

Content = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]  # what the model reads of neighbours


class Held:
    """The sequence in one slot: its tokens, and the neighbours of each chunk completed in it.

    `steady` tokens from the first on were read in blocks, with nothing stepped before them.
    """

    def __init__(self, chunk: int, length: int):
        self._chunk = chunk
        self._tokens, self._valid = np.zeros(length, np.int32), np.zeros(length, bool)
        self._shown: dict[int, Content] = {}
        self.count = self.steady = self.used = 0

    def forget(self) -> None:
        """What is in the slot is not known any more."""
        self.count = self.steady = 0
        self._shown = {}

    def put(
        self, at: int, tokens: np.ndarray, valid: np.ndarray,
        shown: Sequence[Neighbour] | None, *, in_block: bool,
    ) -> None:  # fmt: skip
        """Notes what was fed at `at`; what was there from then on is gone."""
        end = at + len(tokens)
        self._tokens[at:end], self._valid[at:end], self.count = tokens, valid, end
        self._shown = {u: s for u, s in self._shown.items() if (u + 1) * self._chunk <= at}
        if shown is not None:
            self._shown[(at + 1) // self._chunk - 1] = content(shown)
        self.steady = end if in_block and at <= self.steady else min(self.steady, at)

    def resume(
        self,
        tokens: np.ndarray,
        valid: np.ndarray,
        shown: Mapping[int, Sequence[Neighbour]],
        latest: int,
        *,
        uniform: bool,
    ) -> int:
        """Where reading a sequence may begin in this slot: what stands before is held already.

        A block may begin at the last token of a chunk, which reads its neighbours anew; elsewhere
        the slot's last neighbours must be the ones before it. Where stepped tokens are not
        `uniform`, a sequence is read in the blocks that it would be read in from its first token.
        """
        M = self._chunk
        most = min(len(tokens), self.count if uniform else self.steady)
        differ = (tokens[:most] != self._tokens[:most]) | (valid[:most] != self._valid[:most])
        common = int(differ.argmax()) if differ.any() else most
        for u in range(common // M):
            if self._shown.get(u, ()) != content(shown.get(u, ())):
                common = (u + 1) * M - 1
                break
        at = min(common, latest)
        if not uniform or at // M != self.count // M:
            at = max((at + 1) // M * M - 1, 0)
        return at


def best_of(
    slots: Mapping[int, Held],
    tokens: np.ndarray,
    valid: np.ndarray,
    shown: Mapping[int, Sequence[Neighbour]],
    latest: int,
    *,
    uniform: bool,
) -> tuple[int, int]:
    """The slot that holds most of a sequence, else the one unused for longest, and `Held.resume`
    of that."""
    ats = {
        slot: held.resume(tokens, valid, shown, latest, uniform=uniform)
        for slot, held in slots.items()
    }
    best = max(ats, key=lambda slot: (ats[slot], -slots[slot].used, -slot))
    return best, ats[best]


def content(neighbours: Sequence[Neighbour]) -> Content:
    return tuple((n.tokens, n.continuation_tokens) for n in neighbours)
