"""What the pipeline finds out about each record by itself: its rules, its digest, its n-grams."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from engine.training.blocks import Block, Problem
from engine.training.corpus import Record
from engine.training.duplicates import ORDERS, N, digest, hash_ngrams, plain_words, signature
from engine.training.overlap import HeldOut
from engine.training.quality import QUALITY, Words, first_broken, measure_quality
from engine.training.repeated import REPETITION, measure_repetition

RULES: tuple[str, ...] = (
    *(f"quality: {bound}" for bound in QUALITY),
    *(f"repetition: {bound}" for bound in REPETITION),
    "exact duplicate",
    "near-duplicate",
    "13-gram of a test file",
)
KEPT = -1
EXACT, NEAR, TEST = range(len(RULES) - 3, len(RULES))
SHOWN = 20  # problems of a block that are described; all are counted


@dataclass(frozen=True)
class Content:
    """The texts of a record: `own` are its text, turns, or question and answers; `context` is
    the passage that these are about. Titles, ids and labels do not count."""

    own: tuple[str, ...]
    context: str
    document: bool

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.context, *self.own) if self.context else self.own

    @property
    def characters(self) -> int:
        return sum(map(len, self.parts))


@dataclass(frozen=True)
class Scan:
    """The n records of a block, one row each.

    `lines` int64 are line numbers, `verdicts` int16 the rule of `RULES` that drops the record or
    KEPT, `values` float32 what broke it, `digests` uint8 [n 16], `sizes` int64 characters, `hits`
    int16 the number of a test file that shares a 13-gram, or -1. `signatures` uint32 [n 128] are
    there where `compared` is true.
    """

    lines: np.ndarray
    verdicts: np.ndarray
    values: np.ndarray
    digests: np.ndarray
    sizes: np.ndarray
    hits: np.ndarray
    compared: np.ndarray
    signatures: np.ndarray
    problems: tuple[Problem, ...]
    skipped: int  # lines; of these `problems` describes the first

    def to_bytes(self) -> bytes:
        arrays = {k: v for k, v in vars(self).items() if isinstance(v, np.ndarray)}
        told = json.dumps([self.skipped, [list(vars(p).values()) for p in self.problems]])
        return save(arrays, {"problems": told})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Scan":
        """Raises ValueError if the data are not a scan."""
        try:
            arrays = load(data)
            size = int.from_bytes(data[:8], "little")
            told = json.loads(data[8 : 8 + size])["__metadata__"]["problems"]
            skipped, problems = json.loads(told)
            return cls(**arrays, problems=tuple(Problem(*p) for p in problems), skipped=skipped)
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"no scan: {error}") from None


def read_record(line: bytes | None) -> Record:
    """Raises ValueError that says what is wrong with the line."""
    if line is None:
        raise ValueError("the line is too long for a document")
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start} of the line)") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return record


def content_of(record: Record) -> Content:
    """Raises ValueError if it is no document, dialogue or question."""
    context: Any = record.get("context") or ""
    own: tuple[Any, ...] = ()
    if "text" in record:
        own, context = (record["text"],), ""
    elif isinstance(turns := record.get("turns"), list):
        own = tuple(t.get("text") if isinstance(t, dict) else None for t in turns)
        if not all(isinstance(t.get("role"), str) for t in turns if isinstance(t, dict)):
            raise ValueError('a turn has no "role"')
    elif "question" in record:
        answers = record.get("answers") or []
        own = (record["question"], *(answers if isinstance(answers, list) else (None,)))
    if not own:
        raise ValueError('neither "text" nor "turns" nor "question"')
    if not all(isinstance(part, str) for part in (context, *own)):
        raise ValueError("a text in it is not a string")
    if not any(part.strip() for part in own):
        raise ValueError("its text is empty")
    return Content(own, context, "text" in record)


def scan_block(block: Block, held_out: HeldOut) -> Scan:
    """Pure: depends on the block and the test set alone."""
    rows: list[tuple[Any, ...]] = []
    problems: list[Problem] = []
    for number, line in enumerate(block.lines, block.first):
        if line == b"":
            continue
        try:
            content = content_of(read_record(line))
        except ValueError as error:
            problems.append(Problem(block.file, number, str(error)))
        else:
            rows.append((number, *_scan(content, held_out)))
    skipped = len(problems)
    del problems[SHOWN:]
    if block.failure:
        last = block.first + len(block.lines)
        problems.insert(0, Problem(block.file, last, block.failure))
    kinds = (np.int64, np.int16, np.float32, np.uint8, np.int64, np.int16, np.bool_, np.uint32)
    shapes: Sequence[tuple[int, ...]] = ((), (), (), (16,), (), (), (), (ORDERS,))
    columns = zip(*rows, strict=True) if rows else [()] * len(kinds)
    arrays = [
        np.array(column, kind).reshape(len(rows), *shape)
        for column, kind, shape in zip(columns, kinds, shapes, strict=True)
    ]
    return Scan(*arrays, problems=tuple(problems), skipped=skipped)


_NOT_COMPARED = np.zeros(ORDERS, np.uint32)


def _scan(content: Content, held_out: HeldOut) -> tuple[Any, ...]:
    """A row of a Scan but its line: verdict, value, digest, size, hit, compared, signature."""
    verdict, value = _judge(content.own[0]) if content.document else (KEPT, 0.0)
    named = np.frombuffer(digest(map(str.strip, (content.context, *content.own))), np.uint8)
    hit, compared, marks = -1, False, _NOT_COMPARED
    if verdict == KEPT:
        parts = [hash_ngrams(plain_words(part)) for part in content.parts]
        # questions about one passage are no duplicates of each other, so these are not compared
        if not content.context and any(map(len, parts)):
            compared, marks = True, signature(np.concatenate(parts))
        found = next(filter(None, map(held_out.find, parts)), None)
        hit = -1 if found is None else found[1]
    return verdict, value, named, content.characters, hit, compared, marks


def shared_words(content: Content, held_out: HeldOut) -> str:
    """The first 13 words that a record shares with a test file."""
    for part in content.parts:
        words = plain_words(part)
        found = held_out.find(hash_ngrams(words))
        if found is not None:
            return " ".join(words[found[0] : found[0] + N])
    return ""


def _judge(text: str) -> tuple[int, float]:
    """The first rule that a document breaks, and the value that breaks it."""
    words = Words(text)
    broken = first_broken(QUALITY, measure_quality(text, words))
    if broken is not None:
        return broken
    broken = first_broken(REPETITION, measure_repetition(text, words))
    return (KEPT, 0.0) if broken is None else (len(QUALITY) + broken[0], broken[1])
