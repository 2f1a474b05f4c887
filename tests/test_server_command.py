"""`serve`: who may be served, what its settings come to, and how it starts and ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.keys import BadKeys, read_keys
from app.rendering import rendered
from app.settings import read_environment
from engine.server.refusals import Refusal
from engine.server.service import Message
from prompts.dialogue import DEFAULT
from tests.answering import HEADERS, KEY, eventually
from tests.ports import free_port
from tests.terminal import Terminal

# ----- keys


def test_keys_come_from_a_file_and_from_the_environment(tmp_path, monkeypatch):
    path = tmp_path / "keys"
    path.write_text("# of the laptops\nfirst-key-of-some-length\n\nsecond-key-of-some-length\n")
    path.chmod(0o600)
    monkeypatch.setenv("RETROSCOPE_API_KEYS", str(path))
    monkeypatch.setenv("RETROSCOPE_API_KEY", "third-key-of-some-length")
    options = read_environment()
    assert read_keys(options.keys, options.key) == [
        "first-key-of-some-length", "second-key-of-some-length", "third-key-of-some-length",
    ]  # fmt: skip
    assert "third-key" not in repr(options)


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("short\n", 0o600, "line 1"),
        ("a key with spaces in it\n", 0o600, "no spaces"),
        ("# none\n", 0o600, "no API key"),
        ("first-key-of-some-length\n", 0o644, "chmod 600"),
        (None, 0o600, "cannot read"),
    ],
)
def test_unfit_keys_are_refused_and_not_repeated(tmp_path, text, mode, expected):
    path = tmp_path / "keys"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    with pytest.raises(BadKeys, match=expected) as caught:
        read_keys(path)
    assert text is None or text.strip() not in str(caught.value)


def test_without_keys_only_this_machine_is_served(terminal: Terminal):
    problem = terminal("serve", "--host", "0.0.0.0").problem
    assert "no API keys" in problem and "127.0.0.1" in problem


# ----- rendering


def test_a_conversation_reads_as_the_page_s_own(tokenizer):
    past = [Message("user", "What rises?"), Message("assistant", "The tide.")]
    said = rendered([*past, Message("user", "Why?")], "A passage.", DEFAULT)
    first, reply, last = said.prompt
    assert first.text == DEFAULT.render("What rises?")
    assert reply.text == " The tide."
    assert last.text == "\n" + DEFAULT.render("Why?", "A passage.")
    assert (first.ends_chunk, reply.ends_chunk, last.ends_chunk) == (True, False, True)
    assert (said.query, said.stop) == ("Why?", ("\nUSER:",))


def test_what_the_system_says_stands_at_the_beginning():
    said = rendered([Message("system", "Be brief."), Message("user", "Why?")], "", DEFAULT)
    assert [s.text for s in said.prompt] == ["Be brief.\n\n" + DEFAULT.render("Why?")]


def test_a_message_of_control_characters_is_empty():
    with pytest.raises(Refusal, match=r"messages\[0\]\.content is empty"):
        rendered([Message("user", "\x00\x01")], "", DEFAULT)


# ----- the process


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`app.py serve` in a process that cannot import gradio, and a client of it."""
    port = free_port()
    start = "import sys; sys.modules['gradio'] = None; from app.cli import main; sys.exit(main())"
    server = subprocess.Popen(
        [sys.executable, "-c", start, "serve", "--port", str(port), "--no-passages", *words],
        cwd=Path(__file__).parents[1], env=os.environ | {"RETROSCOPE_API_KEY": KEY},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers=HEADERS, timeout=60
        ) as client:
            yield server, client
    finally:
        server.kill()
        server.communicate()


def answers(client: httpx.Client, path: str) -> int:
    """The status of a path; 0 where nothing listens."""
    try:
        return client.get(path).status_code
    except httpx.TransportError:
        time.sleep(0.1)
        return 0


@pytest.mark.slow
def test_the_command_finishes_what_runs_before_it_ends(weights, tmp_path):
    with serving("--weights", str(weights), "--data", str(tmp_path)) as (server, client):
        assert eventually(lambda: answers(client, "/health") == 200, 60)
        assert answers(client, "/ready") in (200, 503)
        assert eventually(lambda: answers(client, "/ready") == 200, 120)
        lines: list[str] = []
        begun = threading.Event()

        def read() -> None:
            body = {"prompt": "x", "max_tokens": 200, "stream": True, "seed": 1}
            with client.stream("POST", "/v1/completions", json=body) as response:
                for line in response.iter_lines():
                    lines.append(line)
                    begun.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert begun.wait(60)
        server.send_signal(signal.SIGTERM)
        reader.join(60)
        sent = [line.removeprefix("data: ") for line in lines if line]
        assert sent[-1] == "[DONE]"
        assert json.loads(sent[-2])["choices"][0]["finish_reason"] in ("stop", "length")
        assert server.wait(60) == 0


@pytest.mark.slow
def test_an_engine_that_cannot_be_loaded_ends_the_command_with_the_reason(tmp_path):
    with serving("--weights", str(tmp_path / "none"), "--data", str(tmp_path)) as (server, _):
        _, problem = server.communicate(timeout=120)
        assert server.returncode == 2
        assert "none" in problem.splitlines()[-1]
        assert "Traceback" not in problem
