"""Small corpora for the data pipeline: what is written, and what is left of it."""

import json
import lzma
import random
from collections.abc import Iterable
from pathlib import Path

from engine.training.corpus import read_records

WORDS = ["".join(random.Random(i).choices("abcdefghijklmnop", k=6)) for i in range(2000)]
SIZE = 3000  # bytes in a block: a few documents


def prose(seed: int, count: int = 80) -> str:
    words = random.Random(seed).choices(WORDS, k=count)
    return "The " + " ".join(words[: count // 2]) + ".\n\nAnd of " + " ".join(words[count // 2 :])


def write(path: Path, records: Iterable[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode()
    path.write_bytes(lzma.compress(lines) if path.suffix == ".xz" else lines)
    return path


def document(seed: int, **fields: object) -> dict[str, object]:
    return {"id": f"d{seed}", "title": f"Title {seed}", "text": prose(seed), **fields}


DIALOGUE = {"turns": [{"role": "user", "text": "Who?"}, {"role": "assistant", "text": "Nobody."}]}
QUESTION = {"context": prose(900), "question": "Who dug it?", "answers": ["Nobody did."]}


def plant(folder: Path, test: Path) -> None:
    """Two files with something for every stage to drop, and a test file."""
    near = prose(3, 400)
    first = [document(i) for i in range(12)]
    first += [
        {"text": "Too short."},
        {"text": f"{prose(50)}\n{prose(50)}"},
        document(5, id="again"),
    ]
    write(folder / "first.jsonl.xz", first)
    second = [document(i) for i in range(20, 30)]
    second += [document(60, text=near), document(61, text=near + " more"), document(7)]
    second += [document(70, text=f"{prose(71)} {prose(500, 40)} {prose(72)}")]
    write(folder / "second.jsonl", [*second, DIALOGUE, QUESTION, {**QUESTION, "question": "When?"}])
    write(test, [{"text": f"{prose(501)} {prose(500, 40)}"}])


def outputs(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(out.iterdir()) if p.is_file()}


def kept(out: Path) -> list[dict]:
    return [r for path in sorted(out.glob("*.jsonl.xz")) for r in read_records(path)]
