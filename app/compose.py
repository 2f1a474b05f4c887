"""The only constructor: Options -> log, engine, retriever, turns.

Opening the log takes milliseconds; the model, the passage database and compilation take seconds,
so they load behind `status` while the page is already up.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from app.effects import Effects, thresholds_of
from app.failures.detectors import run_detectors
from app.jobs import Jobs
from app.records import Settings
from app.settings import VERSION, Options
from app.store.log import Log
from app.store.marks import Marks
from app.turn import Turns
from engine.attribution import Thresholds
from engine.card import CheckpointError, read_card
from engine.protocol import Engine, Info, Sampling
from retrieval.manifest import DatabaseMismatch
from retrieval.protocol import EncodeOffsets, Retrieve

if TYPE_CHECKING:  # they bring jax, which takes seconds
    from app.passages import Passages
    from engine.local import LocalEngine
    from engine.remote import RemoteEngine


class StartError(RuntimeError):
    """The application cannot start; says why and what to do."""


class NotReady(RuntimeError):
    """Asked for a turn while the model is still loading, or after loading failed."""


@dataclass(frozen=True)
class Status:
    """What the banner says. `done` of `total` is progress, 0 of 0 where it is unknown; `news` has
    just changed. Of an engine that is "lost" replies may be asked, since it may be back."""

    stage: Literal["loading", "ready", "lost", "failed"]
    message: str
    done: int = 0
    total: int = 0
    news: str = ""


class Application:
    """What the page and the commands work with: `log` at once, `turns` when ready."""

    def __init__(self, log: Log, defaults: Settings):
        self.log, self.defaults = log, defaults
        self.marks = Marks(log)
        self.status = Status("loading", "Starting")
        self.engine: Engine | None = None
        self.passages: Passages | None = None
        self.jobs = Jobs(log.path.parent / "uploads", lambda: self.passages)
        self.card: dict[str, Any] = {}
        self.thresholds: Thresholds | None = None  # of the effects that have a word
        self.encode_offsets: EncodeOffsets | None = None  # the tokenizer's, once it is loaded
        self.release: Callable[[], None] = lambda: None  # of the data directory
        self.closed = threading.Event()
        self.closing = ExitStack()  # what else is to be let go of
        self._turns: Turns | None = None
        self._effects: Effects | None = None

    @property
    def turns(self) -> Turns:
        """Raises NotReady until the model is loaded."""
        if self._turns is None:
            raise NotReady(f"{self.status.message}; try again when the model is ready")
        return self._turns

    @property
    def effects(self) -> Effects:
        """Raises NotReady until the model is loaded."""
        if self._effects is None:
            raise NotReady(f"{self.status.message}; try again when the model is ready")
        return self._effects

    @property
    def info(self) -> Info | None:
        return self.engine.info if self.engine else None

    @property
    def address(self) -> str:
        """Where the engine is, "" for one in this process."""
        return getattr(self.engine, "url", "")

    def attach(
        self,
        engine: Engine,
        retrieve: Retrieve | None,
        database: Callable[[], str] = lambda: "",
        passages: "Passages | None" = None,
        encode_offsets: EncodeOffsets | None = None,
    ) -> None:
        """Makes the application ready with an engine."""
        self.engine, self.passages, self.encode_offsets = engine, passages, encode_offsets
        draw = passages.draw if passages else None
        self._turns = Turns(
            engine, self.log, retrieve=retrieve, database=database, draw=draw,
            encode_offsets=encode_offsets,
        )  # fmt: skip
        self._effects = Effects(engine, self.log, draw or (lambda count, seed: ()))
        self.status = Status("ready", f"Ready: {engine.info.preset}")

    def close(self) -> None:
        """Stops adding documents, closes the log and lets go of the data directory."""
        self.closed.set()
        self.closing.close()
        self.jobs.close()
        self.log.close()
        self.release()

    def load_in_background(self, load: Callable[["Application"], None]) -> threading.Thread:
        """Runs `load(self)` in a thread; an error becomes the status instead of a traceback."""

        def run() -> None:
            try:
                load(self)
            except Exception as error:
                self.status = Status("failed", str(error) or type(error).__name__)

        thread = threading.Thread(target=run, name="load", daemon=True)
        thread.start()
        return thread


def open_application(options: Options) -> Application:
    """Locks the data directory, opens the log and reads the model card; takes no model yet.

    Turns that a crash left unfinished are marked. To be closed by the caller. Raises StartError,
    LogError, and CheckpointError if what the model card recommends is unfit.
    """
    with ExitStack() as opened:
        descriptor = lock(options.data)
        opened.callback(os.close, descriptor)
        log = Log(options.log, VERSION)
        opened.callback(log.close)
        recover(log)
        try:
            card = {} if options.engine else read_card(options.weights)
        except CheckpointError:
            card = {}  # loading will fail and say so where the model is needed
        application = Application(log, defaults_of(card))
        take_card(application, card)
        application.release = partial(os.close, descriptor)
        opened.pop_all()
    return application


def take_card(application: Application, card: dict[str, Any]) -> None:
    """Takes over what a model card says. Raises CheckpointError if that is unfit."""
    application.defaults, application.thresholds = defaults_of(card), thresholds_of(card)
    application.card = card


def recover(log: Log) -> None:
    """Ends the turns that a crash left unfinished: marked as crashed, and looked at by detectors.

    To be called at start-up, before the first turn. Raises LogError.
    """
    for turn_id in log.recover():
        turn = log.turn(turn_id)
        log.save(turn, run_detectors(turn))


def defaults_of(card: dict[str, Any]) -> Settings:
    """What a model card recommends, over our own defaults. Raises CheckpointError."""
    names = {f.name for f in fields(Sampling)}
    try:
        wanted = dict(card.get("defaults", {}))
        sampling = Sampling(**{k: v for k, v in wanted.items() if k in names})
        return Settings(sampling, **{k: v for k, v in wanted.items() if k not in names})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'the "defaults" in the model card are unfit: {error}') from None


def load(
    application: Application,
    options: Options,
    report: Callable[[str, int, int], None] | None = None,
) -> "LocalEngine | RemoteEngine":
    """Loads the model, opens or builds the passage database, compiles. Seconds to a minute.

    The status follows, and `report` if given. Raises CheckpointError, TokenizerError,
    EmbedderError and DatabaseError; for an engine elsewhere what `engine.remote` raises.
    """

    def say(message: str, done: int = 0, total: int = 0) -> None:
        application.status = Status("loading", message, done, total)
        if report is not None:
            report(message, done, total)

    say(f"Connecting to {options.engine}" if options.engine else "Loading the model")
    engine = open_engine(options)
    if options.engine:
        from engine.remote import RemoteEngine

        assert isinstance(engine, RemoteEngine)
        application.closing.callback(engine.close)
        take_card(application, engine.card)
    from app.passages import Passages  # imports of seconds, while the page is already up
    from retrieval.embedder import default_embedder

    say("Loading the passage encoder")
    embedder = default_embedder()
    say("Opening the passages")
    try:
        passages = Passages.prepare(
            options, embedder, engine.tokenizer,
            lambda done, total: say("Reading the library into passages", done, total),
        )  # fmt: skip
    except DatabaseMismatch as error:
        if not options.engine:
            raise
        raise DatabaseMismatch(
            f"{error} --engine {options.engine}; or keep these, with --data and another directory"
        ) from None
    engine.use(passages.retrieve)
    if not options.engine:
        say("Compiling the model; later starts are faster")
    engine.warm_up()
    passages.retrieve("warm up", 1)
    application.attach(
        engine, passages.retrieve, passages.fingerprint, passages, engine.tokenizer.encode_offsets
    )
    return engine


def open_engine(options: Options) -> "LocalEngine | RemoteEngine":
    """The engine that is asked for, without passages. Raises as `load`."""
    prepare_jax(options)
    if options.engine:
        from engine.remote import RemoteEngine

        return RemoteEngine(options.engine, options.key)
    from engine.local import LocalEngine

    return LocalEngine.load(options.weights, options.numbers, options.slots)


def prepare_jax(options: Options) -> None:
    """Compiled programs are kept in the data directory, so that only the first start is slow."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str((options.data / "compiled").absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@contextmanager
def data_directory(directory: Path) -> Iterator[None]:
    """Makes the data directory if need be. StartError if that or what is done inside fails."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise StartError(
            f"cannot use {directory} as the data directory: {error.strerror}; set RETROSCOPE_HOME "
            "or --data to a directory that you can write to"
        ) from None


def lock(directory: Path) -> int:
    """Makes the data directory this process's own until it ends; returns the lock's descriptor."""
    with data_directory(directory):
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StartError(
            f"another Retroscope is using {directory}; stop it first, or give this one its own "
            "with --data DIRECTORY"
        ) from None
    return descriptor
