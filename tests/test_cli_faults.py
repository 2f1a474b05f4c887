"""app.cli where something is broken or taken: one line that says what to do, and nothing lost."""

import json
import os
import shutil
import socket
from contextlib import closing
from pathlib import Path

import pytest

from app import compose
from app.cli import main
from tests.ports import free_port

COMMANDS = {
    "ask": ["ask", "When was the harbour dug?"],
    "search": ["search", "harbour"],
    "ingest": ["ingest", __file__],
}


@pytest.fixture(params=COMMANDS)
def command(request) -> list[str]:
    return COMMANDS[request.param]


@pytest.fixture
def port():
    """A port that nothing listens on."""
    return free_port()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


# ----- the passages


@pytest.mark.parametrize(
    ("harm", "name"), [(flip, "index-1.faiss"), (cut, "index-1.faiss"), (cut, "manifest.json")]
)
def test_damaged_passages_name_the_file_and_the_command_that_mends_them(
    terminal, command, harm, name
):
    harm(terminal.options.passages / name)
    problem = terminal(*command).problem
    assert f"{terminal.options.passages / name} is damaged" in problem
    assert problem.endswith("run: python app.py ingest --rebuild")


@pytest.mark.parametrize("name", ["index-1.faiss", "manifest.json"])
def test_the_command_that_is_named_mends_them(terminal, name):
    cut(terminal.options.passages / name)
    ran = terminal("ingest", "--rebuild")
    assert ran.status == 0 and "6 unchanged" in ran.out
    found = json.loads(terminal("search", "When was the harbour dug?", "--json").out)
    assert found[0]["title"] == "Harbour"


def test_damaged_text_names_the_file(terminal, command):
    path = terminal.options.passages / "chunks.db"
    path.write_bytes(b"no database at all" * 100)
    assert f"{path} is damaged" in terminal(*command).problem


# ----- the weights


@pytest.fixture
def copy(terminal, tmp_path):
    """A copy of the weights directory to damage, in use."""
    path = Path(shutil.copytree(terminal.options.weights, tmp_path / "weights"))
    terminal.change(weights=path)
    return path


@pytest.mark.parametrize("name", ["weights.safetensors", "tokenizer.model"])
def test_weights_with_a_flipped_bit_are_refused(terminal, copy, name):
    flip(copy / name)
    problem = terminal(*COMMANDS["ask"]).problem
    assert f"{copy / name} is damaged or was replaced" in problem and "restore the file" in problem


def test_weights_cut_short_are_refused(terminal, copy):
    cut(copy / "weights.safetensors")
    assert "is damaged or was replaced" in terminal(*COMMANDS["ask"]).problem


@pytest.mark.parametrize("content", ["", "{", "[]", '{"preset": "tiny"}'])
def test_a_damaged_card_is_refused(terminal, copy, command, content):
    (copy / "card.json").write_text(content)
    assert f"the model card {copy / 'card.json'} is damaged" in terminal(*command).problem


@pytest.mark.parametrize(
    "defaults", [{"temperature": -1}, {"colour": "red"}, 5, {"k": 2, "top_k": "x"}]
)
def test_a_card_that_recommends_what_cannot_be_is_refused(terminal, copy, defaults):
    card = json.loads((copy / "card.json").read_text())
    (copy / "card.json").write_text(json.dumps({**card, "defaults": defaults}))
    assert '"defaults" in the model card are unfit' in terminal(*COMMANDS["ask"]).problem


def test_a_missing_weights_directory_says_what_belongs_there(terminal, command, tmp_path):
    terminal.change(weights=tmp_path / "nowhere")
    problem = terminal(*command).problem
    assert f"no model card at {tmp_path / 'nowhere'}/card.json" in problem
    assert "weights.safetensors" in problem


# ----- what is taken


def test_a_second_start_on_the_same_data_directory_is_refused(terminal, port):
    descriptor = compose.lock(terminal.options.data)
    try:
        for words in (COMMANDS["ask"], ["chat", "--port", port]):
            problem = terminal(*words).problem
            assert f"another Retroscope is using {terminal.options.data}; stop it" in problem
            assert "--data" in problem
    finally:
        os.close(descriptor)
    assert terminal(*COMMANDS["ask"]).status == 0


def test_a_second_start_on_the_same_port_is_refused_before_it_touches_the_data(terminal, tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        number = taken.getsockname()[1]
        problem = terminal("chat", "--port", number, "--data", tmp_path / "other").problem
    assert f"cannot listen on 127.0.0.1:{number}: Address already in use" in problem
    assert "--port" in problem
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("wrong", ["70000", "-1"])
def test_a_port_that_cannot_be_is_refused(terminal, wrong):
    assert f"cannot listen on 127.0.0.1:{wrong}" in terminal("chat", "--port", wrong).problem


def test_an_address_of_another_machine_is_refused(terminal, port):
    problem = terminal("chat", "--host", "192.0.2.1", "--port", port).problem
    assert f"cannot listen on 192.0.2.1:{port}" in problem


# ----- the data directory


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_file_in_the_place_of_the_data_directory_is_said(terminal, command, tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    where = tmp_path / "file" / below
    problem = terminal(*command, "--data", where).problem
    assert f"cannot use {where} as the data directory" in problem and "RETROSCOPE_HOME" in problem
    assert (tmp_path / "file").read_text() == "in the way"


def test_the_page_needs_its_data_directory_as_well(terminal, port, tmp_path):
    (tmp_path / "file").write_text("in the way")
    problem = terminal("--port", port, "--data", tmp_path / "file").problem
    assert f"cannot use {tmp_path / 'file'} as the data directory" in problem


def test_a_log_that_is_none_is_said_and_left_alone(terminal):
    terminal.options.log.write_bytes(b"not a database" * 100)
    assert "the file is not an SQLite database" in terminal(*COMMANDS["ask"]).problem
    assert terminal.options.log.read_bytes() == b"not a database" * 100


def test_a_turn_that_cannot_be_logged_is_printed_all_the_same(terminal, monkeypatch):
    from app.store.connection import LogError
    from app.store.log import Log

    def full(*_: object) -> None:
        raise LogError("saving failed: the disk is full")

    for name in ("start", "progress", "save"):
        monkeypatch.setattr(Log, name, full)
    ran = terminal("ask", "When was the harbour dug?", "--json")
    assert ran.status == 3
    assert json.loads(ran.out)["reply"]
    assert ran.err == "error: the turn is not in the log: saving failed: the disk is full\n"


# ----- measuring


@pytest.mark.parametrize("what", ["answers", "text"])
@pytest.mark.parametrize(
    ("content", "message"),
    [("", "holds no"), ("{}x", "line 1"), (None, "cannot read")],
    ids=["empty", "bad JSON", "missing"],
)
def test_a_file_that_cannot_be_measured_on_is_said(terminal, tmp_path, what, content, message):
    if content is not None:
        (tmp_path / "some.jsonl").write_text(content)
    problem = terminal("eval", what, tmp_path / "some.jsonl").problem
    assert f"{tmp_path / 'some.jsonl'}" in problem and message in problem


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("Retroscope 0.")
