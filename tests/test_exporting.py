"""Failures as files by the command line and by the page, and annotations back in."""

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app.cli import main
from app.compose import lock
from app.exports.formats import FORMATS, export
from app.settings import Options
from app.store.connection import LogError
from app.store.filters import Filter
from app.store.log import Log
from app.ui.exporting import routes
from app.ui.guard import Guard
from app.ui.offline import Offline
from tests.filled import MAIL, Filled
from tests.terminal import Ran
from tests.test_imports import line_of, standing

Run = Callable[..., Ran]


@pytest.fixture
def log(full_log: Log) -> Log:
    return full_log


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    options = Options(tmp_path, tmp_path / "weights", tmp_path / "library")
    monkeypatch.setattr("app.cli.read_environment", lambda: options)

    def run(*words: object) -> Ran:
        status = main(["log", *map(str, words)])
        printed = capsys.readouterr()
        return Ran(status, printed.out, printed.err)

    return run


@pytest.mark.parametrize("format", ["jsonl", "csv", "w3c", "labelstudio"])
def test_the_command_writes_what_the_function_gives(
    log: Log, filled: Filled, run: Run, tmp_path: Path, format: str
):
    given = {"kind": "repetition", "source": "machine"}
    expected = "".join(export(log, format, Filter.of(given)))
    flags = [f"--{name}={value}" for name, value in given.items()]
    assert run("export-failures", "--format", format, *flags) == Ran(0, expected, "")
    out = tmp_path / "failures"
    assert run("export-failures", "--format", format, *flags, "--out", out).status == 0
    assert out.read_bytes().decode() == expected


def test_the_command_gives_personal_data_only_when_asked(log: Log, filled: Filled, run: Run):
    assert MAIL not in run("export-failures").out
    assert MAIL in run("export-failures", "--with-personal-data").out
    assert MAIL not in run("pairs", "findings").out
    assert MAIL in run("pairs", "findings", "--with-personal-data").out


@pytest.mark.parametrize(
    "words", [["--since=yesterday"], ["--status=bad"], ["--kind=<b>"], ["--text=?!"]]
)
def test_a_filter_without_sense_is_one_line(log: Log, run: Run, words: list[str]):
    assert "filter" in run("export-failures", *words).problem


@pytest.fixture
def client(log: Log, filled: Filled) -> TestClient:
    middleware = [Middleware(Guard, "127.0.0.1"), Middleware(Offline)]
    app = Starlette(routes=routes(log), middleware=middleware)
    return TestClient(app, base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "avid"])
def test_a_download_is_the_file_without_personal_data(client: TestClient, log: Log, format: str):
    answer = client.get("/failures/export", params={"format": format, "kind": "repetition"})
    assert answer.status_code == 200
    assert answer.text == "".join(export(log, format, Filter.of({"kind": "repetition"})))
    headers = answer.headers
    assert headers["content-type"] == FORMATS[format].media
    assert headers["content-disposition"].startswith('attachment; filename="failures ')
    assert f'.{FORMATS[format].end}"' in headers["content-disposition"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_a_download_never_has_personal_data(client: TestClient):
    asked = {"with_personal_data": "1", "personal": "true", "with-personal-data": "yes"}
    assert MAIL not in client.get("/failures/export", params=asked).text


@pytest.mark.parametrize(
    "query", ["format=exe", "since=never", "status=x", "severity=9", "text=" + "x" * 500]
)
def test_a_download_without_sense_is_refused_in_plain_text(client: TestClient, query: str):
    answer = client.get(f"/failures/export?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert "give" in answer.text or "characters" in answer.text


def test_a_download_from_a_log_that_cannot_be_read_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_, **__):
        raise LogError("reading failed")
        yield

    monkeypatch.setattr("app.ui.exporting.export", fail)
    answer = client.get("/failures/export")
    assert (answer.status_code, answer.text) == (503, "reading failed\n")


# ----- annotations back in


def test_the_command_says_what_it_did(log: Log, filled: Filled, run: Run, tmp_path: Path):
    path = tmp_path / "given.jsonl"
    path.write_text(line_of(filled) + line_of(filled, quote="1412"))
    ran = run("import", path)
    assert (ran.status, ran.out) == (
        1, "1 annotations added, 0 changed, 0 there already, 1 refused\n"
    )  # fmt: skip
    assert ran.err.startswith(f"{path}, line 2: the quote '1412' was given")
    path.write_text(line_of(filled))
    assert run("import", path).status == 0


def test_nothing_is_imported_beside_the_application(
    log: Log, filled: Filled, run: Run, tmp_path: Path
):
    path = tmp_path / "given.jsonl"
    path.write_text(line_of(filled))
    with open(lock(tmp_path)):
        assert "another Retroscope is using" in run("import", path).problem
    assert len(standing(log, filled)) == 3
