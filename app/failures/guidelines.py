"""What annotators are told: a text of this project beside the code, with a version."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

TEXT = Path(__file__).with_name("guidelines.md")


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it; `points` are the items of its list."""

    heading: str
    paragraphs: tuple[str, ...]
    points: tuple[str, ...]


@dataclass(frozen=True)
class Guidelines:
    version: str
    sections: tuple[Section, ...]


@lru_cache(maxsize=1)
def guidelines() -> Guidelines:
    first, _, text = TEXT.read_text(encoding="utf-8").partition("\n")
    sections = [part.strip().splitlines() for part in text.split("## ")[1:]]
    return Guidelines(first.removeprefix("version:").strip(), tuple(map(_section, sections)))


def _section(lines: list[str]) -> Section:
    below = [line.strip() for line in lines[1:] if line.strip()]
    return Section(
        lines[0].strip(),
        tuple(line for line in below if not line.startswith("- ")),
        tuple(line[2:] for line in below if line.startswith("- ")),
    )
