"""app.cli batch: the questions of a file, each asked once."""

from contextlib import closing
from pathlib import Path

import pytest

import app.batch
from app.batch import NothingToAsk, read_questions
from app.records import Settings
from app.store.log import Log
from app.turn import Turns
from tests.terminal import Terminal

ROOT = Path(__file__).parents[1]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def logged(terminal: Terminal) -> list[str]:
    with closing(Log(terminal.options.log)) as log:
        return [log.turns(c.id)[0].message for c in reversed(log.conversations())]


def test_each_question_is_a_conversation_of_its_own(terminal, tmp_path):
    file = write(tmp_path / "q.txt", "# a remark", "Why?", "", "  When? ", "Why?")
    ran = terminal("batch", file, "--max-tokens", 4)
    assert (ran.status, ran.err) == (0, "")
    assert logged(terminal) == ["Why?", "When?"]
    assert ran.out.startswith("2 replies, ")


def test_what_was_asked_before_is_left_out(terminal, tmp_path):
    write(tmp_path / "a.txt", "Why?")
    write(tmp_path / "b.txt", "When?", "Why?")
    terminal("batch", tmp_path / "a.txt", "--max-tokens", 4)
    ran = terminal("batch", tmp_path / "b.txt", "--max-tokens", 4)
    assert "1 of 2 have been asked before" in ran.out
    assert logged(terminal) == ["Why?", "When?"]


def test_other_settings_are_asked_again(terminal, tmp_path):
    file = write(tmp_path / "q.txt", "Why?")
    terminal("batch", file, "--max-tokens", 4)
    terminal("batch", file, "--max-tokens", 4, "--seed", 1)
    assert logged(terminal) == ["Why?", "Why?"]


def test_the_counts_are_those_of_the_log(terminal, tmp_path):
    ran = terminal("batch", write(tmp_path / "q.txt", "Why?", "When?"), "--max-tokens", 12)
    with closing(Log(terminal.options.log)) as log:
        turns = [log.turns(c.id)[0] for c in log.conversations()]
        kinds = [{f.kind for f in log.findings(turn.id)} for turn in turns]
    assert f"{sum(len(t.reply.tokens) for t in turns)} tokens" in ran.out
    assert f"\n{sum(map(bool, kinds))} have a finding" in ran.out
    for kind in set().union(*kinds):
        assert f"{sum(kind in found for found in kinds)}  {kind}\n" in ran.out


def test_effects_are_measured_if_asked_for(terminal, tmp_path):
    file = write(tmp_path / "q.txt", "When was the harbour dug?")
    terminal("batch", file, "--max-tokens", 4, "--effects")
    with closing(Log(terminal.options.log)) as log:
        (conversation,) = log.conversations()
        assert log.attribution(log.turns(conversation.id)[0].id) is not None


def test_an_interrupted_run_goes_on_where_it_was(terminal, tmp_path, monkeypatch):
    file = write(tmp_path / "q.txt", "One?", "Two?", "Three?")

    def interrupt(turns: Turns, question: str, settings: Settings):
        if question == "Two?":
            raise KeyboardInterrupt
        return real(turns, question, settings)

    real = app.batch._reply
    monkeypatch.setattr(app.batch, "_reply", interrupt)
    stopped = terminal("batch", file, "--max-tokens", 2)
    assert "goes on from here" in stopped.err and logged(terminal) == ["One?"]
    monkeypatch.setattr(app.batch, "_reply", real)
    terminal("batch", file, "--max-tokens", 2)
    assert logged(terminal) == ["One?", "Two?", "Three?"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no question"),
        (b"# only a remark\n", "no question"),
        (b"fine\n\xff\xfe", "no UTF-8"),
        (b"fine\n" + b"x" * 20_001, "line 2: the message has 20,001"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, content: bytes, said: str):
    file = tmp_path / "bad.txt"
    file.write_bytes(content)
    with pytest.raises(NothingToAsk, match=said):
        read_questions([file])


def test_a_missing_file_is_one_line(terminal, tmp_path):
    assert "cannot read" in terminal("batch", tmp_path / "none.txt").problem


def test_the_two_files_of_the_repository_hold_two_hundred_questions():
    files = [ROOT / "app/evaluation" / name for name in ("questions.txt", "prompts.txt")]
    assert len(read_questions(files)) == 200
