"""Toys and fixtures shared by the tests. Add yours as one block."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.records import Settings, Turn
from app.settings import NUMBERS, Numbers, Options
from app.store.ids import new_id, now
from engine.protocol import ChunkEvent, DoneEvent, Event, Info, Reply, Sampling, TokenEvent
from retrieval.protocol import CHUNK, Neighbour
from tests.filling import closed as closed
from tests.filling import filled as filled
from tests.filling import filled_log as filled_log
from tests.filling import full_log as full_log
from tests.filling import run as run
from tests.running import pytest_collection as pytest_collection
from tests.running import pytest_collection_modifyitems as pytest_collection_modifyitems
from tests.running import pytest_configure as pytest_configure
from tests.running import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler

if TYPE_CHECKING:  # jax must not be imported before pytest_configure has chosen its settings
    from app.compose import Application
    from app.passages import Passages
    from app.store.log import Log
    from engine.local import LocalEngine
    from engine.tokenizer import Tokenizer
    from retrieval.embedder import BertEmbedder
    from tests.attached import Counting, Loopback
    from tests.crowd import Make
    from tests.terminal import Terminal
    from tests.toys import Toy

# ----- turns (store, failures, page)


@pytest.fixture(scope="session")
def toy_turn() -> Callable[..., Turn]:
    """Builds a finished turn from the text of its reply: `toy_turn("Hello.", finish="length")`.

    The text is written one word a token, with two neighbours for each chunk of 64 tokens. Any
    field of Turn may be given; a `reply` given so replaces the built one.
    """

    def neighbour(i: int) -> Neighbour:
        return Neighbour(
            chunk_id=i, document_id=i // 2, title=f"Title {i}", source=f"library/{i}.md",
            position=i % 2, start=10 * i, end=10 * i + 9, text=f"passage {i}",
            continuation=f"and on {i}", tokens=(i, i + 1), continuation_tokens=(i + 2,),
            distance=0.25 * i, overlap=0.5,
        )  # fmt: skip

    def build(text: str = "The harbour was dug in 1411.", **fields) -> Turn:
        events: list[Event] = []
        for i, word in enumerate(re.findall(r"\s*\S+|\s+$", text)):
            chunk = i // CHUNK
            if i % CHUNK == 0:
                shown = (neighbour(2 * chunk + 1), neighbour(2 * chunk + 2))
                events.append(ChunkEvent(chunk, f"query {chunk}", shown, 0.01))
            events.append(TokenEvent(i, word, -0.5, ((word, -0.5), (" other", -1.5)), chunk))
        events.append(DoneEvent("stop", 12, {"first_token": 0.125, "total": 2.0}))
        turn = Turn(
            id=new_id(), conversation="toy", parent=None, message="When was the harbour dug?",
            reply=Reply.of(events), settings=Settings(),
            model=Info("tiny", 1000, "f" * 64, "e" * 64, 2048, "A toy."),
            database="d" * 64, finish="stop", created=now(),
        )  # fmt: skip
        return replace(turn, **fields)

    return build


@pytest.fixture(scope="session")
def blank_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from app.store.log import Log

    path = tmp_path_factory.mktemp("blank") / "log.db"
    Log(path).close()
    return path


@pytest.fixture
def log(blank_log: Path, tmp_path: Path) -> "Iterator[Log]":
    """An empty log; copying one is faster than applying the migrations again."""
    from app.store.log import Log

    log = Log(Path(shutil.copy(blank_log, tmp_path)), app_version="0.1.0")
    yield log
    log.close()


@pytest.fixture(scope="module")
def shared_log(blank_log: Path, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Log]":
    """A log for property tests, whose examples share it."""
    from app.store.log import Log

    log = Log(Path(shutil.copy(blank_log, tmp_path_factory.mktemp("shared"))))
    yield log
    log.close()


# ----- models (engine)


@pytest.fixture(scope="session")
def retro() -> "Toy":
    """A small RETRO with random weights and its compiled full pass."""
    from tests import toys

    return toys.toy(toys.TOY)


@pytest.fixture(scope="session")
def gopher(retro: "Toy") -> "Toy":
    """The decoder of `retro`, on its own."""
    from tests import toys

    return toys.decoder_of(retro)


SENTENCES = (
    "The harbour was dug in 1411, and the town grew around it until the river moved away.",
    "A heron waits in the reeds until a fish swims near; then it strikes faster than the eye.",
    "Why does bread rise? Because yeast eats the sugar in the dough and breathes out a gas.",
    'She wrote: "the lamp burns low", then put 3.50 on the table and left without a word.',
    "Two hikers crossed the bridge;\nthe third waited for the rain to stop, and then followed.\n",
    "Old clocks lose a few seconds in summer, since a warm pendulum is longer and swings slower.",
    "Where the glacier ended there was a lake, green with the dust of rocks it had ground.",
    "Nobody in the village could say who had built the wall, or what it had once kept out.",
    "Copper conducts heat better than iron, which is why the older kettles were made of it.",
    "If the moon is full tonight, the tide will reach the second step of the stone stairs.",
    "The printer mixed black ink from soot and oil, and cleaned his letters every evening.",
    "Migrating geese take turns at the front, where flying is hardest, and call to each other.",
    "    indented = lines(are, kept)\t# and so are tabs",
    "Le café était fermé, die Straße war leer, и снег шёл тихо.",
)


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 400 pieces, trained on a few sentences."""
    from engine.tokenizer import train

    return train(SENTENCES * 4, tmp_path_factory.mktemp("tokenizer") / "toy", 400)


@pytest.fixture(scope="session")
def tokenizer(tokenizer_file: Path) -> "Tokenizer":
    from engine.tokenizer import Tokenizer

    return Tokenizer(tokenizer_file)


@pytest.fixture
def make(tokenizer: "Tokenizer") -> "Iterator[Make]":
    """make(count=2, uniform=True, waiting=None): an engine without a model, and its ledger."""
    from tests.crowd import ledgers

    with ledgers(tokenizer) as make:
        yield make


# ----- the command line


@pytest.fixture(scope="session")
def weights(tokenizer_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights directory: the preset "tiny" with random weights, replies of 20 tokens."""
    from engine.checkpoint import save_weights
    from engine.presets import preset
    from tests.toys import random_arrays

    directory = tmp_path_factory.mktemp("weights")
    card = {"note": "A toy.", "defaults": {"max_tokens": 20}}
    save_weights(directory, "tiny", random_arrays(preset("tiny")), tokenizer_file, card)
    return directory


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--numbers", choices=NUMBERS, default="int8",
        help="what the tests' engine computes in: int8 (as the page does), int4, float32",
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny(weights: Path, request: pytest.FixtureRequest) -> "LocalEngine":
    """The engine of `weights`, so that it is compiled once for all tests."""
    from engine.local import LocalEngine

    numbers: Numbers = request.config.getoption("--numbers") or "int8"
    return LocalEngine.load(weights, numbers)


@pytest.fixture(scope="module")
def counting(tokenizer: "Tokenizer") -> "Counting":
    from tests.attached import Counting

    return Counting(tokenizer)


@pytest.fixture
def counted(counting: "Counting") -> "Iterator[Loopback]":
    """A server of `counting`, which fails nowhere yet."""
    from tests.attached import serve

    counting.fails.clear()
    counting.ended.clear()
    server = serve(counting)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of six short articles."""
    from tests.terminal import ARTICLES

    directory = tmp_path_factory.mktemp("library")
    for title, text in ARTICLES.items():
        path = directory / f"{title.lower()}.md"
        path.write_text(f"---\ntitle: {title}\ntopic: Village\n---\n\n{text}\n")
    return directory


@pytest.fixture(scope="session")
def stocked(
    tokenizer: "Tokenizer", library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A passage database made from `library`, as at a first start."""
    from retrieval.ingest import ingest
    from retrieval.readers import read
    from tests.bag import BagEmbedder

    directory = tmp_path_factory.mktemp("stocked") / "passages"
    ingest(
        read(library), directory, encode_offsets=tokenizer.encode_offsets,
        tokenizer_fingerprint=tokenizer.fingerprint, embedder=BagEmbedder(),
    )  # fmt: skip
    return directory


@pytest.fixture
def terminal(
    weights: Path, library: Path, stocked: Path, tiny: "LocalEngine", tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> "Terminal":  # fmt: skip
    """Runs commands in a data directory that has its passages already."""
    from tests.terminal import Terminal

    options = Options(tmp_path / "data", weights, library)
    shutil.copytree(stocked, options.passages)
    return Terminal(options, tiny, monkeypatch, capsys)


# ----- passages


@pytest.fixture
def passages(tokenizer: "Tokenizer", stocked: Path, library: Path, tmp_path: Path) -> "Passages":
    """The six articles of `library` in a database of the test's own, searched as the page does."""
    from app.passages import Passages
    from tests.bag import BagEmbedder

    options = Options(tmp_path / "data", tmp_path / "no weights", library)
    shutil.copytree(stocked, options.passages)
    return Passages(options, BagEmbedder(), tokenizer)


# ----- the passage encoder that comes with Retroscope


@pytest.fixture(scope="session")
def minilm() -> "BertEmbedder":
    from retrieval.embedder import default_embedder

    return default_embedder()


# ----- the page, without a page


@pytest.fixture
def scripted(log: "Log") -> "Application":
    """An application whose engine follows a script, with two passages to be shown."""
    from app.compose import Application
    from tests.e2e.scripted import ScriptedEngine, passage

    application = Application(log, Settings(Sampling(seed=5)))
    application.attach(ScriptedEngine(), lambda query, k: [passage(i) for i in range(k)])
    return application
