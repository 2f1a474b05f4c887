"""LocalEngine: replies written in this process, several at once.

Texts become tokens here; `engine.scheduler` feeds them to the model.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from engine.checkpoint import read_weights
from engine.decode import PlainSlots
from engine.layout import lay_out
from engine.opening import Numbers, open_slots
from engine.presets import Preset, preset
from engine.protocol import ChunkScores, Event, Info, PromptTooLong, Request, Scoring, Segment
from engine.scheduler import Scheduler
from engine.scoring import Scorer, chunks_of
from engine.slots import Slots
from engine.tokenizer import PAD, Tokenizer
from engine.writing import Prompt, Writing
from retrieval.protocol import Retrieve

MakeSlots = Callable[[Preset, Mapping[str, Any]], Slots]  # from arrays by name


class LocalEngine:
    """Writes replies with a model in this process; `retrieve` finds its neighbours.

    Safe to use from several threads. `slots` makes what holds the model and its sequences;
    `waiting` is the most requests that wait for one of those, by default a few for each.
    """

    def __init__(
        self,
        arrays: Mapping[str, Any],
        tokenizer: Tokenizer,
        info: Info,
        retrieve: Retrieve | None = None,
        *,
        slots: MakeSlots = PlainSlots,
        waiting: int | None = None,
    ):
        self.tokenizer = tokenizer
        self._preset = preset(info.preset)
        self._retrieve = retrieve
        self._info = info
        self._slots = slots(self._preset, arrays)
        self._scheduler = Scheduler(self._slots, self._preset.chunk, waiting)
        self._end = weakref.finalize(self, self._scheduler.close)  # at the latest with the process

    @classmethod
    def load(
        cls, directory: Path, numbers: Numbers = "float32", count: int = 8, **how: Any
    ) -> "LocalEngine":
        """Opens a weights directory, for `count` replies at the same time; `how` are further
        arguments of the constructor.

        Weights computed with in other `numbers` than those of the file have a fingerprint of
        their own, because they write other replies. Raises CheckpointError or TokenizerError.
        """
        card, arrays = read_weights(directory)
        tokenizer = Tokenizer(directory / "tokenizer.model")
        same = numbers == card.get("numbers", "float32")
        info = Info(
            preset=card["preset"],
            parameters=int(card["parameters"]),
            fingerprint=card["sha256"] if same else f"{card['sha256']}-{numbers}",
            tokenizer=tokenizer.fingerprint,
            context=preset(card["preset"]).context,
            note=str(card.get("note", "")),
        )
        how.setdefault("slots", partial(open_slots, numbers=numbers, count=count))
        return cls(arrays, tokenizer, info, **how)

    @cached_property
    def _scorer(self) -> Scorer:
        """Made when it is needed: slots over several devices keep no other form of the weights."""
        return Scorer(self._preset, self._slots.weights)

    def close(self) -> None:
        """Ends what is being written with EngineClosed, and gives the model's thread back."""
        self._end()

    def use(self, retrieve: Retrieve | None) -> None:
        """Sets what finds neighbours for the replies that begin from now on."""
        self._retrieve = retrieve

    @property
    def info(self) -> Info:
        return self._info

    @property
    def device(self) -> str:
        """Where it computes, and in what numbers."""
        return self._slots.device

    def count(self, text: str) -> int:
        return len(self.tokenizer.encode(text))

    def warm_up(self) -> None:
        """Compiles, or fetches from the compilation cache, what replies need."""
        self._scheduler.warm_up()

    def warm_up_scores(self) -> None:
        """The same for scoring short replies."""
        M, none = self._preset.chunk, ((), ())
        self.score(Scoring((Segment("", tokens=(PAD,) * M),), (PAD,) * (M + 1), none, (none, ())))

    def generate(self, request: Request, retrieve: Retrieve | None = None) -> Iterator[Event]:
        """Streams a reply; see `engine.protocol.Engine`. `retrieve` takes the place of the engine's
        own for this reply. Raises EngineClosed too."""
        layout = lay_out(request.prompt, self.tokenizer.encode, self._preset.chunk)
        size, length = len(layout.tokens), self._slots.length
        if not 0 < size < length:
            raise PromptTooLong(
                f"the prompt takes {size} tokens with padding, this model 1 to {length - 1}; "
                "shorten the message or start a new conversation"
            )
        find = retrieve or self._retrieve
        writing = Writing(
            request, layout, self._preset, self.tokenizer, length, searches=find is not None
        )
        yield from self._scheduler.write(writing, find)

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        """Scores a finished reply, chunk by chunk; see `engine.protocol.Engine`.

        Replies that are written meanwhile go on between two batches. Raises EngineClosed too.
        """
        M, length = self._preset.chunk, self._slots.length
        chunks = list(chunks_of(scoring, M))
        layout = lay_out(scoring.prompt, self.tokenizer.encode, M)
        size, reply = len(layout.tokens), len(scoring.tokens)
        if size + reply > length:
            raise PromptTooLong(
                f"the prompt takes {size} tokens with padding and the reply {reply}, together more "
                f"than the {length} of this model"
            )
        if not size or size % M:
            raise ValueError(f"the prompt takes {size} tokens; it must end a chunk of {M}")
        room, scheduler = self._scorer.slots(size + len(chunks) * M, length), self._scheduler
        # the prompt's last token is read with the first chunk, which it predicts
        before = Prompt(layout, M, size - 1)
        cache = scheduler.read(before, lambda slot: self._slots.cache(slot, size - 1, room))
        scored = self._scorer.score(
            cache, int(layout.tokens[-1]), chunks, scheduler.run, scoring.alternatives
        )
        return tuple(scored)
