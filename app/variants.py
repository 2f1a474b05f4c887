"""Counterfactuals: the settings of a turn with one thing changed, and the change in words."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from app.changes import (
    BadChange,
    Change,
    OtherPreset,
    OtherSampling,
    OtherSeed,
    Pasted,
    RandomPassages,
    RetrievalOff,
    Without,
    changed_sampling,
)
from app.prompt import cleaned, whole_sentences
from app.records import Preset, Settings, Turn
from retrieval.chunks import split
from retrieval.protocol import CHUNK, Document, EncodeOffsets, Neighbour

PASTED = "Pasted passage"
PASTED_ID = -1  # chunk and document of a passage that is in no database
_WORDS = {  # for a value that has taken the place of another
    "temperature": "temperature {new:g} instead of {old:g}",
    "top_k": "top k {new} instead of {old}",
    "top_p": "top p {new:g} instead of {old:g}",
    "max_tokens": "at most {new} instead of {old} tokens",
    "seed": "seed {new} instead of {old}",
    "k": "{new} instead of {old} passages a chunk",
    "history": "{new} instead of {old} earlier turns shown",
    "follow": "searching with {new} instead of {old}",
    "template": "another prompt template",
}
_SWITCHES = {
    "retrieve": ("retrieval off", "retrieval on"),
    "in_context": ("no passage in the prompt", "a passage in the prompt"),
    "random": ("no random passages", "random passages"),
}


@dataclass(frozen=True)
class Variant:
    """A turn to be written again. `passage` is the one for its prompt, None to choose it anew;
    `change` says in words what differs."""

    settings: Settings
    passage: str | None
    change: str


def vary(
    turn: Turn,
    change: Change,
    *,
    encode_offsets: EncodeOffsets | None = None,
    presets: Sequence[Preset] = (),
) -> Variant:
    """The turn with the change; all else stays as it was, the seed included.

    `encode_offsets` is needed for pasted passages. Raises BadChange, also where nothing would
    change.
    """
    if turn.finish == "running":
        raise BadChange("the reply is still being written; wait for it, or stop it first")
    old = turn.settings
    passage = turn.passage
    match change:
        case RetrievalOff():
            new = replace(old, retrieve=False, pinned=(), random=False)
            words = "retrieval off"
        case Without(chunk_id, title):
            new, passage = _without(turn, chunk_id)
            name = " ".join(cleaned(title).split())
            words = f"without “{name}”" if name else f"without passage {chunk_id}"
        case Pasted(text):
            if encode_offsets is None:
                raise BadChange("a pasted passage needs the tokenizer of the model; there is none")
            pasted, left = paste(text, encode_offsets)
            new = replace(old, pinned=(pasted, *old.pinned))
            if not old.retrieve:  # it was shown none, so now it is shown this one alone
                new = replace(new, retrieve=True, random=False, k=1, pinned=(pasted,))
            words = "with a pasted passage"
            words += f", of which the model reads the first {2 * CHUNK} tokens" if left else ""
        case RandomPassages():
            new = replace(old, random=True, retrieve=True)
            words = "with random passages"
        case OtherSampling():
            new = replace(old, sampling=changed_sampling(old.sampling, change.given()))
            words = in_words(old, new)
        case OtherSeed(seed):
            new = replace(old, sampling=changed_sampling(old.sampling, {"seed": seed}))
            words = in_words(old, new)
        case OtherPreset(name):
            new = _preset(old, name, presets)
            words = f"preset “{name}”: {in_words(old, new)}"
    if new == old:
        raise BadChange("the reply was written with exactly that; change something else")
    if not isinstance(change, Without) and not _same_passage(old, new):
        passage = None
    return Variant(new, passage, words)


def paste(text: str, encode_offsets: EncodeOffsets) -> tuple[Neighbour, bool]:
    """A text as a passage: its first 64 tokens and, as the continuation, 64 more. Also whether
    some of it is left over, which the model cannot be shown."""
    document = Document(PASTED, "", cleaned(text))
    first, *more = split(document, encode_offsets)
    following = more[0] if more else None
    passage = Neighbour(
        PASTED_ID, PASTED_ID, PASTED, "", 0, first.start, first.end,
        first.text, following.text if following else "",
        first.tokens, following.tokens if following else (),
    )  # fmt: skip
    return passage, len(more) > 1


def in_words(old: Settings, new: Settings) -> str:
    """What differs between two settings, such as "temperature 1.2 instead of 0.2"; "" if nothing.

    Passages that are pinned or left out are not among it.
    """
    before, after = (asdict(s.sampling) | vars(s) for s in (old, new))
    words = [
        template.format(old=before[name], new=after[name])
        for name, template in _WORDS.items()
        if before[name] != after[name]
    ]
    words += [
        switch[after[name]] for name, switch in _SWITCHES.items() if before[name] != after[name]
    ]
    return ", ".join(words)


def _without(turn: Turn, chunk_id: int) -> tuple[Settings, str]:
    old = turn.settings
    shown = [n for c in turn.reply.chunks for n in c.neighbours if n.chunk_id == chunk_id]
    if not shown:
        raise BadChange(
            f"passage {chunk_id} was not shown for this reply; choose one of those that were"
        )
    out = {*old.without, chunk_id} - {PASTED_ID}
    kept = tuple(n for n in old.pinned if n.chunk_id != chunk_id)
    in_prompt = any(whole_sentences(n) == turn.passage for n in shown)
    new = replace(old, pinned=kept, without=tuple(sorted(out)))
    return new, "" if in_prompt else turn.passage


def _preset(old: Settings, name: str, presets: Sequence[Preset]) -> Settings:
    chosen = next((p.settings for p in presets if p.name == name), None)
    if chosen is None:
        known = ", ".join(f"“{p.name}”" for p in presets) or "none; make one on the runs page"
        raise BadChange(f"there is no preset “{name}”; there are {known}")
    return replace(
        chosen, sampling=replace(chosen.sampling, seed=old.sampling.seed),
        pinned=old.pinned, without=old.without, random=old.random,
    )  # fmt: skip


def _same_passage(old: Settings, new: Settings) -> bool:
    """Whether the passage in the prompt is chosen from the same ones."""
    names = ("retrieve", "in_context", "random", "pinned", "without")
    same = all(getattr(old, name) == getattr(new, name) for name in names)
    return same and not (new.random and old.sampling.seed != new.sampling.seed)
