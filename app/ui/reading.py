"""What the inspector asks the server for, one turn at a time. Nothing is raised into the page."""

from collections.abc import Sequence

from app.compose import Application, NotReady
from app.export import Exchange, exchange_json, exchange_of
from app.records import DetectorRun, Ruling, Turn, Verdict
from app.replay import NotReplayable, Replay
from app.store.connection import LogError
from app.store.marks import Marked, named
from app.store.queries import Reader
from app.ui.annotating import rule
from app.ui.asking import Answer, answering
from app.ui.command import command_of
from app.ui.example import Example
from app.ui.measured import effects, tokens
from app.ui.payload import inspection
from engine.attribution import Attribution, Unmeasurable
from engine.messages import RemoteError
from engine.protocol import EngineBusy, PromptTooLong, ReplyChunk
from retrieval.protocol import Neighbour


class NotThere(ValueError):
    """What was asked for is not there; says what and why."""


answered = answering(
    NotThere, LogError, NotReady, Unmeasurable, NotReplayable, PromptTooLong, RemoteError,
    EngineBusy,
)  # fmt: skip


def payload_of(log: Reader, turn: Turn, runs: Sequence[DetectorRun] = ()) -> Answer:
    """The inspector's payload of a turn with what the log says of it; `runs` stand in for a
    finished turn that is not in the log."""
    try:
        runs = log.runs(turn.id) or runs
        versions, judgements = log.siblings(turn.id), log.judgements(turn.id)
        logged = Marked(log).findings(turn.id)
    except LogError:
        versions, judgements, logged = (), (), ()
    unlogged = sorted((f for run in runs for f in run.findings), key=lambda f: (f.start, f.end))
    findings = [found.finding for found in logged] or unlogged
    told = inspection(turn, findings, versions, runs=runs, judgements=judgements)
    for finding, found in zip(told["findings"], logged, strict=False):
        finding["id"] = found.id  # by which it can be ruled on
    return told


class Reading:
    """Answers about turns in the log, and about the example that is in none.

    Chunks and ranks count from 0, as in `Turn`.
    """

    def __init__(self, application: Application, example: Example | None = None):
        self._app, self._example = application, example or Example()

    @answered
    def inspect(self, turn: str) -> Answer:
        """The inspector's payload, see `inspection`, and as "measured" the effects or None."""
        found, stored = self._turn(turn), self._stored(turn)
        shown = self._example.shown if self._example_of(turn) else payload_of(self._app.log, found)
        measured = stored and effects(found, stored, self._app.thresholds)
        return {**(shown or {}), "measured": measured}

    @answered
    def measure(self, turn: str) -> Answer:
        """What the passages changed, see `measured.effects`; measured now if it has not been."""
        found, stored = self._turn(turn), self._stored(turn)
        if stored is None and self._example_of(turn):
            raise Unmeasurable("nothing was measured on the example; ask something yourself")
        attribution = stored or self._app.effects.measure(turn)
        return effects(found, attribution, self._app.thresholds)

    @answered
    def tokens(self, turn: str) -> Answer:
        """The reply token by token, see `measured.tokens`."""
        return tokens(self._turn(turn))

    @answered
    def context(self, turn: str, chunk: int, rank: int, step: int = 0) -> Answer:
        """The passages round a shown one in its document, `step` passages on from it.

        {"title", "source", "position", "count",
         "passages": [{"position", "text", "shown": "passage", "continuation" or ""}]}
        """
        _, shown = self._passage(turn, chunk, rank)
        if shown.document_id < 0:
            raise NotThere("this passage was pasted in; it is from no document of the library")
        passages = self._app.passages
        if passages is None:
            raise NotReady(f"the passages are not open yet: {self._app.status.message}")
        title = f"“{shown.title}”" if shown.title else "The document"
        there = passages.around(shown.document_id, shown.position)
        if there is None or there.text != shown.text:
            raise NotThere(
                f"{title} is no longer in the library as it was when the model was shown "
                "this passage: it has been removed or has changed since"
            )
        position = shown.position + step
        found = passages.around(shown.document_id, position) if step else there
        if found is None:
            raise NotThere(f"{title} has {there.chunks} passages, none at {position + 1}")
        roles = {shown.position: "passage"}
        if shown.continuation:
            roles[shown.position + 1] = "continuation"
        near = enumerate((found.before, found.text, found.after), position - 1)
        return {
            "title": shown.title,
            "source": shown.source,
            "position": position,
            "count": there.chunks,
            "passages": [
                {"position": at, "text": text, "shown": roles.get(at, "")}
                for at, text in near
                if text is not None
            ],
        }

    @answered
    def judge(self, turn: str, chunk: int, rank: int, verdict: Verdict | None) -> Answer:
        """Saves what a person thinks of a passage; None takes it back."""
        place, _ = self._passage(turn, chunk, rank)
        self._app.log.judge(turn, place.index, rank, verdict)
        return {"verdict": verdict}

    @answered
    def rulings(self, turn: str, annotator: str) -> Answer:
        """{"rulings": {id of the finding: ruling}} of this annotator alone."""
        name, findings = named(annotator), self._app.marks.findings(turn)
        return {"rulings": {f"{f.id}": f.rulings[name] for f in findings if name in f.rulings}}

    @answered
    def rule(self, turn: str, finding: int, annotator: str, ruling: Ruling | None) -> Answer:
        """Saves what the annotator says of a finding; None takes it back."""
        rule(self._app, turn, finding, named(annotator), ruling)
        return {"ruling": ruling}

    @answered
    def raw(self, turn: str) -> Answer:
        """{"json", "command", "lacks"}: all of the turn, and the command that asks it again."""
        exchange = self._example_of(turn) or exchange_of(self._app.log, turn)
        return {"json": exchange_json(exchange), **command_of(exchange.turn, self._app.defaults)}

    @answered
    def replay(self, turn: str) -> Answer:
        """{"same", "text"}: whether the turn, written again, gives the same tokens."""
        for event in self._app.turns.replay(turn):
            if isinstance(event, Replay):
                return {"same": event.same, "text": str(event).removeprefix(f"{turn}: ")}
        raise NotThere(f"turn {turn} was written again, but nothing came of it")

    def _example_of(self, turn: str) -> Exchange | None:
        return self._example.exchange if turn == self._example.id else None

    def _turn(self, turn: str) -> Turn:
        example = self._example_of(turn)
        return example.turn if example else self._app.log.turn(turn)

    def _stored(self, turn: str) -> Attribution | None:
        example = self._example_of(turn)
        return example.attribution if example else self._app.log.attribution(turn)

    def _passage(self, turn: str, chunk: int, rank: int) -> tuple[ReplyChunk, Neighbour]:
        chunks = self._turn(turn).reply.chunks
        if not (0 <= chunk < len(chunks) and 0 <= rank < len(chunks[chunk].neighbours)):
            raise NotThere(
                f"turn {turn} has no passage {rank + 1} in chunk {chunk + 1}; show the reply anew"
            )
        return chunks[chunk], chunks[chunk].neighbours[rank]
