"""Conversations as files, and who may have them."""

import json
from collections.abc import Callable
from urllib.parse import unquote

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from app.records import Turn
from app.store.log import Log
from app.ui.downloads import disposition, routes
from app.ui.guard import Guard


def client_of(log: Log, host: str = "127.0.0.1") -> TestClient:
    app = Starlette(routes=routes(log), middleware=[Middleware(Guard, host)])
    return TestClient(app, base_url="http://127.0.0.1:7860")


@pytest.fixture
def client(log: Log, toy_turn: Callable[..., Turn]) -> TestClient:
    log.save(toy_turn("<b>1411</b>", message='Ports\r\nand <script>alert("x")</script> "quays" 🌊'))
    return client_of(log)


def test_a_conversation_is_saved_as_json(client: TestClient):
    answer = client.get("/conversations/toy.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.text)["turns"][0]["turn"]["reply"]["text"] == "<b>1411</b>"


def test_a_conversation_is_saved_as_markdown_that_is_inert(client: TestClient):
    answer = client.get("/conversations/toy.md")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "1411" in answer.text and "🌊" in answer.text
    assert "<script>" not in answer.text and "<b>" not in answer.text


def test_a_download_is_a_file_that_nothing_else_may_read_or_keep(client: TestClient):
    headers = client.get("/conversations/toy.json").headers
    assert headers["content-disposition"].startswith('attachment; filename="Ports.json"')
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["nowhere.json", "nowhere.md", "toy.exe", "%2e%2e%2ftoy.json"])
def test_what_there_is_not_is_said_in_plain_text(client: TestClient, path: str):
    answer = client.get(f"/conversations/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("title", "plain", "full"),
    [
        ("Ports", "Ports", "Ports"),
        ('a"b/c\\d\r\nx: <y>', "a b c d x y", "a b c d x y"),
        ("Ørsted 🌊", "rsted", "Ørsted"),
        ("../..", "conversation", "conversation"),
        ("🌊", "conversation", "conversation"),
        ("x" * 200, "x" * 60, "x" * 60),
    ],
)
def test_a_title_becomes_a_safe_file_name(title: str, plain: str, full: str):
    header = disposition(title, "md")
    assert header.isascii() and header.isprintable()
    first, second = header.split("; ")[1:]
    assert first == f'filename="{plain}.md"'
    assert unquote(second.removeprefix("filename*=UTF-8''")) == f"{full}.md"


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:7860", "127.0.0.1:7860", "[::1]:7860", "127.9.9.9", "LOCALHOST."],
)
def test_this_machine_is_answered(client: TestClient, host: str):
    assert client.get("/conversations/toy.json", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7860", "localhost.evil.example", "10.0.0.5:7860", "0.0.0.0",
     "[::", "127.0.0.1@evil.example", ""],
)  # fmt: skip
def test_a_name_that_was_led_here_is_not_answered(client: TestClient, host: str):
    answer = client.get("/conversations/toy.json", headers={"host": host})
    assert answer.status_code == 403 and "1411" not in answer.text


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://127.0.0.1:7860", 200), ("http://evil.example", 403), ("null", 403),
     ("http://127.0.0.1:8080", 403)],
)  # fmt: skip
def test_a_page_of_another_site_is_not_answered(client: TestClient, origin: str, status: int):
    assert client.get("/conversations/toy.json", headers={"origin": origin}).status_code == status


def test_a_server_on_every_address_is_answered_by_address_but_not_by_any_name(log: Log):
    client = client_of(log, "0.0.0.0")
    statuses = {
        host: client.get("/conversations/toy.json", headers={"host": host}).status_code
        for host in ("192.168.1.5:7860", "[fe80::1]:7860", "localhost", "evil.example")
    }
    assert list(statuses.values()) == [404, 404, 404, 403]
