"""Reading a corpus: directories of jsonl and jsonl.xz records -> records -> training texts.

A record is a document {"title", "text"}, a dialogue {"turns": [{"role", "text"}]} with an
optional "context", or a question {"context", "question", "answers"}.
"""

import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class CorpusError(ValueError):
    """A corpus file that cannot be read; the message names the file and line."""


def read_records(path: Path) -> Iterator[Record]:
    """The records of one .jsonl or .jsonl.xz file, in order."""
    opener = lzma.open if path.suffix == ".xz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except json.JSONDecodeError as error:
                        raise CorpusError(f"{path}, line {number}: {error.msg}") from None
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise CorpusError(f"cannot read {path}: {error}") from None


def text_of(record: Record) -> str:
    """One plain training text of any record."""
    if "text" in record:
        title = record.get("title")
        return f"{title}\n\n{record['text']}" if title else record["text"]
    context = f"{record['context']}\n\n" if record.get("context") else ""
    if "turns" in record:
        tags = {"user": "USER: ", "context": "PASSAGE: "}
        lines = (tags.get(t["role"], "GOPHER: ") + t["text"] for t in record["turns"])
        return context + "\n".join(lines)
    answer = (record.get("answers") or [""])[0]
    return f"{context}USER: {record['question']}\nGOPHER: {answer}"


def sample_paragraphs(paths: list[Path], characters: int) -> Iterator[str]:
    """Paragraphs of up to 4,000 characters from all files in equal shares, for a tokenizer.

    Takes records evenly spaced through each file, so that no part of the alphabet is missed.
    """
    share = characters // max(1, len(paths))
    for path in paths:
        records = [text_of(r) for r in read_records(path)]
        total = sum(map(len, records)) or 1
        step = max(1, total // share)
        for text in records[::step]:
            for paragraph in text.split("\n\n"):
                if paragraph.strip():
                    yield paragraph[:4000]
