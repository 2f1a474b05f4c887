"""Fixtures: a log with everything in it, for exports and upkeep. `conftest` takes them in."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # as in conftest
    from app.records import Turn
    from app.store.log import Log
    from tests.filled import Filled
    from tests.terminal import Ran


@pytest.fixture(scope="session")
def filled_log(
    blank_log: Path, toy_turn: "Callable[..., Turn]", tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Path, Filled]":
    from app.store.log import Log
    from tests.filled import fill

    path = Path(shutil.copy(blank_log, tmp_path_factory.mktemp("filled")))
    with closing(Log(path, "0.1.0")) as log:
        return path, fill(log, toy_turn)


@pytest.fixture
def full_log(filled_log: "tuple[Path, Filled]", tmp_path: Path) -> "Iterator[Log]":
    """A log with two conversations; see `tests.filled`."""
    from app.store.log import Log

    with closing(Log(Path(shutil.copy(filled_log[0], tmp_path)), "0.1.0")) as log:
        yield log


@pytest.fixture
def filled(filled_log: "tuple[Path, Filled]") -> "Filled":
    """What is in `full_log`."""
    return filled_log[1]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Callable[..., Ran]":
    """`run("list")` is `python app.py log list` with the data directory of `log`."""
    from app.cli import main
    from app.settings import Options
    from tests.terminal import Ran

    options = Options(tmp_path, tmp_path / "weights", tmp_path / "library")
    monkeypatch.setattr("app.cli.read_environment", lambda: options)

    def run(*words: object) -> Ran:
        try:
            status = main(["log", *map(str, words)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        printed = capsys.readouterr()
        return Ran(status, printed.out, printed.err)

    return run


@pytest.fixture
def closed(log: "Log") -> "Log":
    """The log as the commands find it: nobody has it open."""
    log.close()
    return log
