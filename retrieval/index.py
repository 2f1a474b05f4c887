"""Nearest keys by squared L2 distance: Faiss, and brute force to check it against.

Axes: n keys, W width, k neighbours. The only file that imports faiss.
"""

from pathlib import Path

import faiss
import numpy as np

# One query is too small to share out, and OpenMP threads would compete with JAX's.
faiss.omp_set_num_threads(1)


class FlatIndex:
    """Exact search over all keys (Faiss IndexFlatL2): for up to some 50,000 of them."""

    def __init__(self, width: int):
        self._index = faiss.IndexIDMap2(faiss.IndexFlatL2(width))

    @property
    def width(self) -> int:
        return self._index.d

    @property
    def ids(self) -> np.ndarray:
        """int64 [n], in no particular order"""
        return faiss.vector_to_array(self._index.id_map)

    def __len__(self) -> int:
        return self._index.ntotal

    def add(self, keys: np.ndarray, ids: np.ndarray) -> None:
        """keys float32 [n W], ids int64 [n]; ValueError if they do not fit or are there already."""
        keys, ids = fitting(keys, ids, self)
        self._index.add_with_ids(keys, ids)

    def remove(self, ids: np.ndarray) -> None:
        """Ids that are not there are ignored."""
        self._index.remove_ids(faiss.IDSelectorBatch(np.asarray(ids, np.int64)))

    def search(self, keys: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """keys float32 [n W] -> distances float32 [n k], ids int64 [n k], nearest first.

        Where fewer than k exist, the id is -1 and the distance infinite.
        """
        keys = rows(keys, self.width)
        if k < 1:
            return np.empty((len(keys), 0), np.float32), np.empty((len(keys), 0), np.int64)
        distances, ids = self._index.search(keys, k)
        distances[ids < 0] = np.inf
        return distances, ids

    def keys(self, ids: np.ndarray) -> np.ndarray:
        """ids [n] -> the keys stored under them, float32 [n W]; KeyError if one is not there."""
        ids = np.asarray(ids, np.int64)
        missing = ids[~np.isin(ids, self.ids)]
        if len(missing):
            raise KeyError(f"the index has no keys with ids {missing.tolist()}")
        return self._index.reconstruct_batch(ids)

    def save(self, path: Path) -> None:
        """Writes a file; OSError if it cannot be written as a whole."""
        try:
            faiss.write_index(self._index, str(path))
        except RuntimeError as error:
            raise OSError(f"{path} could not be written: {reason(error)}") from None

    @classmethod
    def load(cls, path: Path) -> "FlatIndex":
        """ValueError if the file is not an index that `save` wrote."""
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ValueError(f"{path} is not a Faiss index: {reason(error)}") from None
        if not isinstance(index, faiss.IndexIDMap2) or index.metric_type != faiss.METRIC_L2:
            raise ValueError(f"{path} holds a {type(index).__name__}, expected an IndexIDMap2 (L2)")
        result = cls.__new__(cls)
        result._index = index
        return result


class ExactIndex:
    """The same by brute force in NumPy: the ground truth."""

    def __init__(self, width: int):
        self.width = width
        self.ids = np.empty(0, np.int64)
        self._keys = np.empty((0, width), np.float32)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, keys: np.ndarray, ids: np.ndarray) -> None:
        keys, ids = fitting(keys, ids, self)
        self._keys = np.concatenate([self._keys, keys])
        self.ids = np.concatenate([self.ids, ids])

    def remove(self, ids: np.ndarray) -> None:
        stays = ~np.isin(self.ids, ids)
        self._keys, self.ids = self._keys[stays], self.ids[stays]

    def search(self, keys: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        keys, k = rows(keys, self.width), max(k, 0)
        distances = np.full((len(keys), k), np.inf, np.float32)
        ids = np.full((len(keys), k), -1, np.int64)
        for row, key in enumerate(keys):
            squares = ((self._keys - key) ** 2).sum(1)
            nearest = np.argsort(squares, kind="stable")[:k]
            distances[row, : len(nearest)] = squares[nearest]
            ids[row, : len(nearest)] = self.ids[nearest]
        return distances, ids

    def keys(self, ids: np.ndarray) -> np.ndarray:
        places = {id: place for place, id in enumerate(self.ids.tolist())}
        return self._keys[[places[id] for id in np.asarray(ids).tolist()]]


def rows(keys: np.ndarray, width: int) -> np.ndarray:
    """Keys as Faiss wants them; it would read wild memory or abort on others."""
    keys = np.ascontiguousarray(keys, np.float32)
    if keys.ndim != 2 or keys.shape[1] != width:
        raise ValueError(f"keys have the shape {keys.shape}, expected (n, {width})")
    if not np.isfinite(keys).all():
        raise ValueError("keys hold values that are not finite numbers")
    return keys


def fitting(
    keys: np.ndarray, ids: np.ndarray, index: FlatIndex | ExactIndex
) -> tuple[np.ndarray, np.ndarray]:
    keys, ids = rows(keys, index.width), np.ascontiguousarray(ids, np.int64)
    if ids.shape != (len(keys),):
        raise ValueError(f"{len(keys)} keys, but ids of the shape {ids.shape}; expected one each")
    if len(np.unique(ids)) < len(ids) or np.isin(ids, index.ids).any() or (ids < 0).any():
        raise ValueError("ids must be new, different, and 0 or above")
    return keys, ids


def reason(error: RuntimeError) -> str:
    """Faiss prefixes its messages with C++ function and file names."""
    return str(error).splitlines()[-1].rpartition(".cpp:")[2].partition(": ")[2] or str(error)
