"""Who has a login: the file, the header, and every kind of request."""

import base64
import re
import sys
import threading
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.cli import build_parser, main
from app.logins import BadLogins, Logins, read_logins
from app.settings import Options, read_environment
from app.ui.guard import Guard

PAIRS = (("anna", "pass:word"), ("Zoë", "grün 🌊"))


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def file_of(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


# ----- the file


def test_a_file_gives_its_names_and_passwords(tmp_path: Path):
    text = "\ufeff# who may read\r\n\nanna:pass:word\r\nZoë:grün 🌊\n"
    logins = read_logins(file_of(tmp_path / "logins", text.encode()))
    assert all(logins.admits(basic(*pair).encode()) for pair in PAIRS)
    assert not logins.admits(basic("# who may read", "").encode())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "has no login"),
        (b"# only this\n\n", "has no login"),
        (b"anna:secret\nberta\n", "line 2 is no login"),
        (b"anna:secret\n:secret\n", "line 2 is no login"),
        (b"anna:\n", "line 1 is no login"),
        (b"anna:secret\n\nanna:secret2\n", "line 3 gives anna a second password"),
        (b" anna:secret\n", "line 1: the name has spaces"),
        (b"an\x1bna:secret\n", "line 1: the name has"),
        (b"anna:secret\nzo\xeb:secret\n", "line 2 is not UTF-8"),
        (b"anna:secret\n" * 100_000, "larger than"),
    ],
)
def test_a_bad_file_is_refused_with_its_line_and_without_a_password(
    tmp_path: Path, content: bytes, problem: str
):
    path = file_of(tmp_path / "logins", content)
    with pytest.raises(BadLogins, match=problem) as raised:
        read_logins(path)
    assert str(path) in str(raised.value) and "secret" not in str(raised.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622, 0o644])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int):
    with pytest.raises(BadLogins, match="chmod 600"):
        read_logins(file_of(tmp_path / "logins", b"anna:secret\n", mode))


@pytest.mark.parametrize("name", ["none", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str):
    with pytest.raises(BadLogins, match="cannot read the logins"):
        read_logins(tmp_path / name)


def test_a_bad_file_stops_the_start_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    path = file_of(tmp_path / "logins", b"nobody\n")
    monkeypatch.setenv("RETROSCOPE_LOGINS", str(path))
    monkeypatch.setenv("RETROSCOPE_HOME", str(tmp_path / "data"))
    assert main(["chat", "--no-browser"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"error: {path}, line 1")
    assert not (tmp_path / "data").exists()


def test_a_flag_is_laid_over_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RETROSCOPE_LOGINS", raising=False)
    assert read_environment().logins is None
    monkeypatch.setenv("RETROSCOPE_LOGINS", "a")
    parser = build_parser(read_environment())
    assert parser.parse_args(["chat"]).logins == Path("a")
    assert parser.parse_args(["chat", "--logins", "b"]).logins == Path("b")


@pytest.mark.parametrize(
    ("host", "logins", "warned"),
    [("0.0.0.0", False, True), ("0.0.0.0", True, False), ("127.0.0.1", False, False)],
)
def test_a_page_for_other_machines_without_a_login_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    host: str, logins: bool, warned: bool,
):  # fmt: skip
    from types import ModuleType

    from app import serving

    page, example, launched = ModuleType("page"), ModuleType("example"), []
    page.build = lambda *_: None  # type: ignore[attr-defined]
    page.launch = lambda *_, **given: launched.append(given)  # type: ignore[attr-defined]
    example.stored_example = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "app.ui.page", page)
    monkeypatch.setitem(sys.modules, "app.ui.example", example)
    monkeypatch.setattr("app.compose.Application.load_in_background", lambda *_: threading.Thread())
    path = file_of(tmp_path / "logins", b"anna:secret\n") if logins else None
    options = Options(tmp_path / "data", tmp_path, tmp_path, host, 0, logins=path)
    assert serving.serve(options, open_browser=False) == 0
    assert ("ask for a login with --logins FILE" in capsys.readouterr().err) is warned
    assert (launched[0]["logins"] is not None) is logins


# ----- the header


@pytest.mark.parametrize(
    "header",
    [
        None, b"", b"Basic", b"Basic ", b"Basic !!!", b"Basic \xff", b"Bearer abc",
        basic("anna", "").encode(), basic("", "").encode(), basic("anna", "pass:wor").encode(),
        basic("anna", "pass:word ").encode(), basic("Anna", "pass:word").encode(),
        basic("nobody", "pass:word").encode(), basic("anna", "grün 🌊").encode(),
        b"Basic " + base64.b64encode(b"anna:\xff"), b"Basic " + base64.b64encode(b"annapassword"),
    ],
)  # fmt: skip
def test_no_other_header_is_admitted(header: bytes | None):
    assert not Logins.of(PAIRS).admits(header)


def test_the_scheme_may_be_written_in_any_case():
    logins = Logins.of(PAIRS)
    assert all(logins.admits(f"{s} {basic(*PAIRS[0])[6:]}".encode()) for s in ("basic", "BASIC"))


def test_every_header_costs_the_same_comparisons(monkeypatch: pytest.MonkeyPatch):
    logins, counts = Logins.of(PAIRS), []
    compared: list[int] = []
    from hmac import compare_digest

    monkeypatch.setattr(
        "app.logins.hmac.compare_digest",
        lambda a, b: compared.append(len(a) + len(b)) or compare_digest(a, b),
    )
    for header in (basic(*PAIRS[0]), basic("anna", "x"), basic("nobody", "x"), "", "Basic !"):
        compared.clear()
        logins.admits(header.encode())
        counts.append(list(compared))
    assert all(count == counts[0] for count in counts) and len(counts[0]) == 2 * len(PAIRS)


def test_logins_show_no_password():
    assert "pass" not in repr(Logins.of(PAIRS))


# ----- requests


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("open")


def client_of(logins: Logins | None) -> TestClient:
    def answer(request):
        return PlainTextResponse("secret")

    routes = [
        Route(path, answer, methods=["GET", "POST"])
        for path in ("/", "/x", "/gradio_api/startup-events")
    ]
    app = Starlette(
        routes=[*routes, WebSocketRoute("/ws", socket)],
        middleware=[Middleware(Guard, "127.0.0.1", logins)],
    )
    return TestClient(app, base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "PUT"])
def test_without_a_login_there_is_no_answer(method: str):
    answer = client_of(Logins.of(PAIRS)).request(method, "/x")
    assert answer.status_code == 401 and "secret" not in answer.text
    assert re.fullmatch('Basic realm=".+", charset="UTF-8"', answer.headers["www-authenticate"])
    assert answer.headers["cache-control"] == "no-store"


def test_with_a_login_there_is():
    client = client_of(Logins.of(PAIRS))
    for pair in PAIRS:
        answer = client.get("/x", headers={"authorization": basic(*pair)})
        assert (answer.status_code, answer.text) == (200, "secret")


def test_where_there_are_no_logins_none_is_asked_for():
    assert client_of(None).get("/x").status_code == 200


def test_a_login_opens_no_page_of_another_site():
    headers = {"authorization": basic(*PAIRS[0]), "origin": "http://evil.example"}
    assert client_of(Logins.of(PAIRS)).get("/x", headers=headers).status_code == 403


def test_a_websocket_needs_a_login_too():
    client, way = client_of(Logins.of(PAIRS)), "ws://127.0.0.1:7860/ws"  # the scheme names no host
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(way):
        pass
    headers = {"authorization": basic(*PAIRS[0])}
    with client.websocket_connect(way, headers=headers) as opened:
        assert opened.receive_text() == "open"


def test_the_page_begins_once_without_a_login():
    client = client_of(Logins.of(PAIRS))
    begin = "/gradio_api/startup-events"
    statuses = [client.post(begin).status_code, *(client.get(begin).status_code for _ in range(2))]
    assert statuses == [401, 200, 401]
