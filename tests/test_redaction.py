"""Personal data masked in the log for good: log redact."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.cli import main
from app.effects import Effects
from app.exports.formats import export
from app.failures.masking import MASK, Value
from app.replay import NotReplayable, check_replayable
from app.settings import ROOT
from app.store.filters import Filter
from app.store.log import Log
from app.store.masked import UNKNOWN
from app.store.redaction import redact, redacted
from app.store.soundness import check
from engine.attribution import Unmeasurable
from tests.filled import (
    CHANCE,
    MAIL,
    PARTS,
    PHONE,
    PIECE,
    REPLY,
    VALUES,
    Filled,
    asked,
    contents,
    tables,
)
from tests.terminal import Ran
from tests.test_effects import measured

Run = Callable[..., Ran]


@pytest.fixture
def log(full_log: Log) -> Log:
    return full_log


@pytest.fixture
def masked(log: Log, run: Run) -> Iterator[Log]:
    """The log after `log redact --all`; a preserved copy is beside it."""
    shutil.copy(log.path, log.path.parent / "before.db")
    log.close()
    ran = run("redact", "--all", "--yes")
    assert ran.status == 0 and "masked in 1 conversation" in ran.out
    assert not any(value in ran.out + ran.err for value in VALUES)
    with closing(Log(log.path)) as again:
        yield again


def test_no_byte_of_a_value_is_left(masked: Log):
    raw = contents(masked.path)
    for part in (*VALUES, *PARTS, MAIL[12:]):
        assert part.encode() not in raw, part
    assert not PIECE.search(CHANCE.sub(b" ", raw))
    assert b"the sea is blue" in raw


def test_lengths_offsets_and_other_words_stay(masked: Log, filled: Filled):
    turn = masked.turn(filled.flagged.id)
    assert turn.reply.text == REPLY.replace(MAIL, MASK * len(MAIL))
    assert turn.message == filled.flagged.message.replace(PHONE, MASK * len(PHONE))
    assert [(c.start, c.end) for c in turn.reply.chunks] == [
        (c.start, c.end) for c in filled.flagged.reply.chunks
    ]
    assert masked.turn(filled.clean.id) == filled.clean
    assert [c.name for c in check(masked, alone=True) if c.wrong] == []


def test_passages_are_masked_across_their_halves_and_lose_their_token_ids(
    masked: Log, filled: Filled
):
    before = filled.flagged.reply.chunks[0].neighbours
    after = masked.turn(filled.flagged.id).reply.chunks[0].neighbours
    assert after[0].text == "-Mail " + MASK * 12
    assert after[0].continuation == MASK * (len(MAIL) - 12) + " or " + MASK * len(PHONE)
    assert after[0].tokens == (UNKNOWN,) * len(before[0].tokens)
    assert after[1] == before[1]
    (judged,) = [j for j in masked.judgements(filled.flagged.id)]
    assert judged.verdict == "misleading"


def test_tokens_that_spelled_a_value_are_dropped(masked: Log, filled: Filled):
    before, after = filled.flagged.reply.tokens, masked.turn(filled.flagged.id).reply.tokens
    assert "".join(t.text for t in after) == masked.turn(filled.flagged.id).reply.text
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert [before[i].text for i in changed] == [f" {MAIL}"]
    token = after[changed[0]]
    assert (token.id, token.text) == (UNKNOWN, " " + MASK * len(MAIL))
    assert all(set(text) == {MASK} for text, _ in token.top)
    assert token.logprob == before[changed[0]].logprob


def test_findings_annotations_titles_and_changes_are_masked(masked: Log, filled: Filled):
    quotes = {f.kind: f.quote for f in masked.findings(filled.flagged.id)}
    assert quotes["personal.email"] == MASK * len(MAIL)
    notes = [
        note for (note,) in asked(masked, "SELECT note FROM annotations WHERE label='personal'")
    ]
    assert notes == [f"call {MASK * len(PHONE)}"]
    assert {c.title for c in masked.conversations()} >= {
        f"=Who keeps the harbour? Mine is {MASK * len(PHONE)} 🌊"
    }
    (compared,) = masked.comparisons(filled.flagged.id)
    assert compared.change == f"without {MASK * len(MAIL)}" and compared.vote == "b"


def test_a_masked_word_is_not_found_any_more(masked: Log):
    assert masked.conversations("smith") == () and masked.conversations("7946") == ()
    assert [c.id for c in masked.conversations("calm")] == ["talk"]


def test_the_log_says_what_kinds_were_where_by_hash(masked: Log, filled: Filled):
    rows = asked(masked, "SELECT place, kind, hash, times FROM redactions WHERE turn_id = ?",
               filled.flagged.id)  # fmt: skip
    mail = Value("personal.email", MAIL).hash
    assert ("turns.reply", "personal.email", mail, 1) in rows
    hashes = {(kind, hash) for _, kind, hash, _ in rows}
    phone = Value("personal.phone", PHONE).hash
    assert hashes == {("personal.email", mail), ("personal.phone", phone), ("personal", "")}
    assert ("annotations.quote", "personal", "", 1) in rows  # which cut the address


def test_what_was_masked_is_not_replayed_or_measured(masked: Log, filled: Filled):
    turn = masked.turn(filled.flagged.id)
    when = redacted(masked, turn)
    assert when is not None and redacted(masked, filled.clean) is None
    with pytest.raises(NotReplayable, match="was masked on"):
        check_replayable(turn, turn.model, when)
    engine = SimpleNamespace(info=turn.model)
    with pytest.raises(Unmeasurable, match="masked"):
        Effects(engine, masked, lambda count, seed: ()).measure(turn.id)  # type: ignore[arg-type]


def test_a_turn_after_a_masked_one_is_not_replayed_either(
    log: Log, filled: Filled, toy_turn: Callable
):
    after = toy_turn(conversation="talk", parent=filled.flagged.id)
    alone = replace(toy_turn(conversation="talk", parent=filled.flagged.id))
    alone = replace(alone, settings=replace(alone.settings, history=0))
    log.save(after)
    log.save(alone)
    with log.writing("masking") as db:
        redact(db, "talk")
    assert redacted(log, after) and not redacted(log, alone)


def test_what_was_masked_is_exported_without_a_hash_of_its_mask(masked: Log):
    rows = [json.loads(line) for line in export(masked, "jsonl", Filter.of({"kind": "personal"}))]
    assert {row["value_hash"] for row in rows} == {""}
    assert MASK * len(MAIL) in {row["quote"] for row in rows}


def test_masking_again_finds_nothing(masked: Log, run: Run):
    masked.close()
    before = tables(masked)
    ran = run("redact", "--all", "--yes")
    assert ran.status == 0 and "0 values" in ran.out
    assert tables(masked) == before


def test_a_conversation_or_the_old_ones_alone_are_masked(closed: Log, run: Run):
    assert run("redact", "--older-than", "1d", "--yes").status == 0
    assert run("redact", "--conversation", "rest", "--yes").status == 0
    assert MAIL.encode() in contents(closed.path)
    assert run("redact", "--conversation", "talk", "--yes").status == 0
    assert MAIL.encode() not in contents(closed.path)


def test_values_that_were_cut_or_written_otherwise_are_masked_too(log: Log, toy_turn: Callable):
    long = f"{PHONE} {'x' * 27} {MAIL} and more"
    turn = toy_turn(f"Call {PHONE.replace(' ', '  ')}. I mean {MAIL.title()}.", message=long)
    log.save(turn)
    assert MAIL[:12] in log.conversation("toy").title  # which is cut to 60 characters
    with log.writing("masking") as db:
        redact(db, "toy")
    kept = log.turn(turn.id)
    for text in (log.conversation("toy").title, kept.message, kept.reply.text):
        assert "anna" not in text.lower() and "7946" not in text
    assert len(kept.reply.text) == len(turn.reply.text)


def test_names_of_documents_are_masked_wherever_they_are_kept(log: Log, toy_turn: Callable):
    turn = toy_turn()
    chunk = turn.reply.chunks[0]
    named = replace(chunk.neighbours[0], title=f"Letter to {MAIL}", source=f"mail/{MAIL}.txt")
    chunks = (replace(chunk, neighbours=(named, *chunk.neighbours[1:])),)
    turn = replace(turn, reply=replace(turn.reply, chunks=chunks))
    log.save(turn)
    log.save_attribution(turn.id, measured(turn))
    log.judge(turn.id, 0, 0, "useful", "Ida")
    shown = sum(log.shown_counts().values())
    with log.writing("masking") as db:
        db.execute("INSERT INTO case_keys SELECT id, 'e', x'00' FROM cases")
        redact(db, "toy")
        redact(db, "talk")
    assert not [name for name, rows in tables(log).items() if MAIL in repr(rows)]
    assert sum(log.shown_counts().values()) == shown
    assert (f"mail/{MASK * 26}", f"Letter to {MASK * 22}") in log.shown_counts()
    assert asked(log, "SELECT count(*) FROM showings WHERE document_id NOT IN "
               "(SELECT id FROM shown_documents)") == [(0,)]  # fmt: skip
    flagged = "SELECT id FROM turns WHERE reply LIKE '%sea is blue%'"
    left = f"SELECT 1 FROM case_keys k JOIN cases c ON c.id = k.case_id WHERE c.n IN ({flagged})"
    assert asked(log, left.replace("SELECT id", "SELECT n")) == []
    assert [c.name for c in check(log, alone=True) if c.wrong] == []


def test_what_a_finding_says_of_a_masked_place_is_masked(log: Log, filled: Filled):
    with log.writing("writing a finding") as db:
        start = REPLY.index(MAIL)
        db.execute(
            "UPDATE findings SET explanation = 'The number 1411 and smith', evidence = ?, "
            '"start" = ?, "end" = ?, quote = ? WHERE kind = \'repetition.loop\'',
            [json.dumps({"unit": "ANNA smi…", "n": 3, "name": "Example"}), start - 3, start + 5,
             REPLY[start - 3 : start + 5]],
        )  # fmt: skip
        redact(db, "talk")
    (found,) = [f for f in log.findings(filled.flagged.id) if f.kind == "repetition.loop"]
    assert found.quote == "to " + MASK * 5
    assert found.explanation == f"The number 1411 and {MASK * 5}"
    assert found.evidence == {"unit": f"{MASK * 4} smi…", "n": 3, "name": MASK * 7}


def test_a_failure_halfway_leaves_a_conversation_as_it_was(
    log: Log, monkeypatch: pytest.MonkeyPatch
):
    before = tables(log)
    monkeypatch.setattr(
        "app.store.redaction._Work.title", lambda self: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt), log.writing("masking") as db:
        redact(db, "talk")
    assert tables(log) == before


@pytest.mark.slow
def test_a_kill_leaves_each_conversation_masked_or_as_it_was(
    log: Log, toy_turn: Callable, tmp_path: Path
):
    for i in range(300):
        log.save(toy_turn(f"Write to {MAIL} now. " * 20, conversation=f"c{i:03}"))
    log.close()
    words = ["app.py", "log", "redact", "--all", "--yes", "--data", str(tmp_path)]
    killed = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    with closing(sqlite3.connect(log.path, timeout=10)) as db:
        while db.execute("SELECT count(*) FROM redactions").fetchone()[0] < 20:
            assert killed.poll() is None
            time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    with closing(Log(log.path)) as again:
        assert [c.name for c in check(again, alone=True) if c.wrong] == []
        texts = [again.tree(f"c{i:03}")[0].reply.text for i in range(300)]
    left = sum(MAIL in text for text in texts)
    assert all((MAIL in text) != (MASK in text) for text in texts)
    assert left < 300
    assert main(words[1:]) == 0
    assert MAIL.encode() not in contents(log.path)
