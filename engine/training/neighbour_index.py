"""Precomputed neighbours of packed tokens: for each chunk the nearest of other documents.

Chunk u is tokens [uM, (u+1)M) of the stream. It stands for the document of its last token: what
of that document lies in it is its text and key, and what follows in the document, up to 2M
tokens, its passage (RETRO, arXiv 2112.04426, sections 2.1 and 2.3). Documents that have a token
in chunk u or in the chunk after it, which u's neighbours help to write, are never among u's
neighbours; others with much overlap are, because the model learns to copy from them
(Doostmohammadi and Kuhlmann, arXiv 2505.14309).

The search is exact, see nearest.py. Keys and neighbours are written block by block, so a run that
was killed goes on.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import jax
import numpy as np

from engine.retro import Passages
from engine.tokenizer import PAD
from engine.training.blocks import cannot_write, write_whole
from engine.training.corpus import CorpusError
from engine.training.mixture import Mixture
from engine.training.nearest import NONE, searcher
from engine.training.step import Batch
from retrieval.protocol import Embedder

NEIGHBOURS = "neighbours.bin"
EMBEDDED, SEARCHED, COMPARED = (
    2048,
    1024,
    16_384,
)  # chunks: embedded, searched for, and looked at at a time
WIDER = 4  # times as many on an accelerator

Progress = Callable[[str, int, int], None]  # stage, chunks done, chunks in all


@dataclass(frozen=True)
class Disturbance:
    """What is done to found neighbours, so that absent, useless and inexact ones are known from
    training: the share of chunks that are shown none, the share of neighbours in whose place is
    any chunk of another document, and the most of a neighbour's tokens that are replaced, as a
    share (neighbour dropout; noise on the memory: Rashiti et al., arXiv 2410.00004)."""

    dropout: float = 0.0
    random: float = 0.0
    noise: float = 0.0


CALM = Disturbance()


@dataclass(frozen=True)
class Chunks:
    """`starts` int64 [n] and `ends` [n]: a chunk's own text; `limits` [n] where its document
    ends; `documents` int64 [n]; `about` int64 [n J]: all documents of it and the next chunk."""

    starts: np.ndarray
    ends: np.ndarray
    limits: np.ndarray
    documents: np.ndarray
    about: np.ndarray


def chunks_of(size: int, documents: np.ndarray, chunk: int) -> Chunks:
    """The whole chunks of `size` tokens; `documents` int64 [d 2] first token and number."""
    firsts, numbers = documents[:, 0], documents[:, 1]
    ends = np.arange(chunk, size + 1, chunk)
    own = np.searchsorted(firsts, ends - 1, "right") - 1
    left = np.searchsorted(firsts, ends - chunk, "right") - 1
    right = np.searchsorted(firsts, np.minimum(ends + chunk, size) - 1, "right") - 1
    reach = np.arange(int((right - left).max(initial=0)) + 1)
    return Chunks(
        np.maximum(ends - chunk, firsts[own]),
        ends,
        np.append(firsts[1:], size)[own],
        numbers[own],
        numbers[np.minimum(left[:, None] + reach, right[:, None])],
    )


def find_neighbours(
    tokens: np.ndarray, documents: np.ndarray, directory: Path, *, chunk: int, k: int,
    embedder: Embedder, decode: Callable[[Sequence[int]], str],
    progress: Progress = lambda stage, done, total: None,
) -> int:  # fmt: skip
    """Writes neighbours.bin, int32 [n k], and neighbours.json; returns n. -1 stands for none.

    `tokens` uint16 [size]. Goes on from the blocks that an earlier run with the same tokens and
    embedder wrote. Raises CorpusError where the disk is full or there is no whole chunk.
    """
    if len(tokens) < chunk:
        raise CorpusError(f"{len(tokens)} tokens are less than a chunk of {chunk}: pack more text")
    table = chunks_of(len(tokens), documents, chunk)
    n = len(table.ends)
    made_of = {
        "chunk": chunk,
        "k": k,
        "chunks": n,
        "tokens_sha256": _digest(tokens),
        "documents_sha256": _digest(documents),
        "embedder": embedder.fingerprint,
    }
    keys_path, found_path = directory / "keys.bin.part", directory / (NEIGHBOURS + ".part")
    _begin(directory, made_of, (keys_path, found_path))

    def embed(first: int, last: int) -> np.ndarray:
        pairs = zip(table.starts[first:last], table.ends[first:last], strict=True)
        texts = [decode(tokens[a:b].tolist()).strip() for a, b in pairs]
        return np.asarray(embedder(texts), np.float16)

    wider = 1 if jax.default_backend() == "cpu" else WIDER
    embedding = partial(progress, "embedding")
    _fill(keys_path, n, embedder.width * 2, EMBEDDED * wider, embed, embedding)
    keys = np.memmap(keys_path, np.float16, "r").reshape(n, embedder.width)
    queries = SEARCHED * wider
    search = searcher(keys, table.documents, k, queries, COMPARED * wider)

    def look(first: int, last: int) -> np.ndarray:
        return search(keys[first:last], table.about[first:last])

    _fill(found_path, n, k * 4, queries, look, partial(progress, "neighbours"))
    found_path.replace(directory / NEIGHBOURS)
    write_whole(directory / "neighbours.json", json.dumps(made_of, indent=1).encode())
    for path in (keys_path, directory / "neighbours.json.part"):
        path.unlink(missing_ok=True)
    return n


def _digest(array: np.ndarray) -> str:
    return sha256(np.ascontiguousarray(array).data).hexdigest()


def _begin(directory: Path, made_of: dict, parts: Sequence[Path]) -> None:
    """Deletes what an earlier run began with other tokens."""
    path = directory / "neighbours.json.part"
    told = json.dumps(made_of).encode()
    if not path.exists() or path.read_bytes() != told:
        for part in parts:
            part.unlink(missing_ok=True)
        write_whole(path, told)


def _fill(
    path: Path, rows: int, width: int, block: int,
    make: Callable[[int, int], np.ndarray], progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Appends rows of `width` bytes to a file until it has all of them."""
    try:
        with open(path, "ab") as out:
            done = out.tell() // width
            out.truncate(done * width)
            while done < rows:
                last = min(done + block, rows)
                out.write(make(done, last).tobytes())
                out.flush()
                progress(done := last, rows)
    except OSError as error:
        raise cannot_write(path, error) from None


class NeighbourIndex:
    """Neighbours of a file of tokens, mapped into memory."""

    def __init__(self, tokens: np.ndarray, documents: np.ndarray, directory: Path):
        """Raises CorpusError if there are none, or those of other tokens."""
        try:
            self.made_of = json.loads((directory / "neighbours.json").read_bytes())
            self.chunk, self.k = int(self.made_of["chunk"]), int(self.made_of["k"])
            found = np.memmap(directory / NEIGHBOURS, np.int32, "r").reshape(-1, self.k)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorpusError(
                f"cannot read the neighbours in {directory} ({error}); run the stage 'neighbours'"
            ) from None
        self._tokens, self._table = tokens, chunks_of(len(tokens), documents, self.chunk)
        if len(found) != len(self._table.ends):
            raise CorpusError(
                f"{directory} has neighbours for {len(found):,} chunks, but its tokens make "
                f"{len(self._table.ends):,}; run the stage 'neighbours' again"
            )
        if self.made_of.get("tokens_sha256") != _digest(tokens):
            raise CorpusError(
                f"{directory} has neighbours of other tokens than it holds now; run the stage "
                "'neighbours' again"
            )
        self.found = found

    def passage(self, chunk: int) -> np.ndarray:
        """The tokens of a chunk as a neighbour: its own and what follows, at most 2M."""
        start = int(self._table.starts[chunk])
        return self._tokens[start : min(start + 2 * self.chunk, int(self._table.limits[chunk]))]

    def batch(
        self, step: int, *, batch: int, chunks: int, seed: int, mixture: Mixture | None = None,
        disturb: Disturbance = CALM,
    ) -> Batch:  # fmt: skip
        """Next-token prediction on windows of whole chunks with their neighbours; a pure function
        of the step's number. With `mixture` a window starts in a source by its weight."""
        M, T = self.chunk, chunks * self.chunk
        rng = np.random.default_rng((seed, step))
        mixture = mixture or Mixture.whole(len(self._tokens))
        firsts = mixture.positions(rng, batch, after=T + 1 + M) // M + 1
        firsts = np.minimum(firsts, (len(self._tokens) - T - 1) // M)
        rows = np.stack([self._tokens[u * M : u * M + T + 1] for u in firsts]).astype(np.int32)
        found = np.full((batch, chunks, self.k, 2 * M), PAD, np.int32)
        valid = np.zeros(found.shape, bool)
        for b, u in np.ndindex(batch, chunks):
            for j, text in enumerate(self._shown(int(firsts[b]) + u, rng, disturb)):
                found[b, u, j, : len(text)], valid[b, u, j, : len(text)] = text, True
        weights = np.ones((batch, T), np.float32)
        return Batch(rows[:, :-1], rows[:, 1:], weights, None, Passages(found, valid))

    def _shown(
        self, chunk: int, rng: np.random.Generator, disturb: Disturbance
    ) -> Iterator[np.ndarray]:
        """The passages of a chunk, as the disturbance leaves them."""
        if disturb.dropout and rng.random() < disturb.dropout:
            return
        for neighbour in self.found[chunk].tolist():
            if neighbour == NONE:
                continue
            if disturb.random and rng.random() < disturb.random:
                other = int(rng.integers(len(self.found)))
                if self._table.documents[other] in self._table.about[chunk]:
                    continue  # what may not be found may not be shown by chance either
                neighbour = other
            text = np.array(self.passage(neighbour))
            if disturb.noise:
                hit = rng.random(len(text)) < rng.random() * disturb.noise
                text[hit] = self._tokens[rng.integers(0, len(self._tokens), int(hit.sum()))]
            yield text
