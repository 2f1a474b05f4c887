"""app.jobs: uploaded files become documents in the background, and none is lost."""

import json
import threading
import time

import pytest

from app import jobs
from app.jobs import Jobs
from app.uploads import Refused, Upload
from retrieval.writer import drafting
from tests.arrivals import EXPECTED, TEXTS, Gate, finish, look, outcome, sources, write


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    monkeypatch.setattr("retrieval.ingest.BLOCK", 4)


@pytest.fixture
def gate(passages):
    passages._embedder = Gate(passages._embedder)
    return passages._embedder


@pytest.fixture
def folder(passages):
    return passages._options.data / "uploads"


@pytest.fixture
def job(passages, folder):
    job = Jobs(folder, lambda: passages)
    yield job
    job.close()


# ----- from files to documents


def test_uploaded_files_become_documents_and_are_deleted(job, passages, folder, tmp_path):
    arrived = write(tmp_path, TEXTS)
    job.start(arrived)
    report, state = outcome(job), look(job)
    assert (state.stage, report.added, state.read) == ("done", 4, 4)
    assert state.done == state.chunks == report.chunks > 8
    assert state.rate and state.rate > 0
    assert sources(passages) == EXPECTED
    assert passages.retrieve("a ferry and sheep number 3", 1)[0].title == "text 3"
    assert list(folder.iterdir()) == [] and not any(a.path.exists() for a in arrived)


def test_what_cannot_be_read_is_listed_by_its_name_and_the_rest_is_added(job, passages, tmp_path):
    job.start(write(tmp_path, {"photo.txt": b"\x89PNG\0", **TEXTS, "lines.jsonl": "[1]\n"}))
    report, state = outcome(job), look(job)
    assert (state.stage, report.added) == ("done", 4)
    assert [(s.source, s.reason.split(":")[0]) for s in state.skipped] == [
        ("photo.txt", "this is not text"),
        ("lines.jsonl, line 1", 'expected an object with a string "text"'),
    ]


def test_where_nothing_can_be_read_the_job_is_refused_and_nothing_is_kept(job, folder, tmp_path):
    job.start(write(tmp_path, {"photo.txt": b"\x89PNG\0"}))
    state = finish(job)
    assert state.stage == "refused" and not state.resumable
    assert [s.source for s in state.skipped] == ["photo.txt"]
    assert list(folder.iterdir()) == []
    job.dismiss()
    assert job.state is None


def test_a_file_of_the_same_name_replaces_the_earlier_upload(job, passages, tmp_path):
    job.start(write(tmp_path, {"a.md": "# One\n\nThe first text."}))
    finish(job)
    job.start(write(tmp_path, {"a.md": "# Two\n\nThe second text."}))
    assert outcome(job).replaced == 1
    assert [e.title for e in passages.documents() if e.source == "uploads/a.md"] == ["Two"]


def test_files_of_the_same_name_in_one_upload_live_side_by_side(job, passages, tmp_path):
    first, second = write(tmp_path, {"a.md": "# One\n\nFirst.", "b.md": "# Two\n\nSecond."})
    job.start([first, Upload(second.path, "other/a.md")])
    assert outcome(job).added == 2
    assert sources(passages) == ["uploads/a.md"] * 2


def test_an_upload_cannot_pass_for_a_document_of_the_library(job, passages, tmp_path):
    known = next(e for e in passages.documents() if e.title == "Bread")
    record = {"title": "Bread", "source": known.source, "text": "Bread is made of stone."}
    job.start(write(tmp_path, {"x.jsonl": json.dumps(record)}))
    assert outcome(job).replaced == 0
    assert passages.document(known.id) is not None
    assert sources(passages) == [f"uploads/x.jsonl: {known.source}"]


def test_progress_goes_up_to_the_end_and_tells_how_long_is_left(job, gate, tmp_path):
    gate.close()
    job.start(write(tmp_path, TEXTS))
    seen = []
    for _ in range(3):
        assert gate.waiting.wait(20)
        gate.waiting.clear()
        seen.append(look(job))
        gate.blocks.release()
    gate.blocks.release(10**6)
    assert {s.stage for s in seen} == {"embedding"}
    assert [s.done for s in seen] == [0, 4, 8]
    assert (seen[0].rate, seen[0].left) == (None, None)
    assert seen[2].left == pytest.approx((seen[2].chunks - 8) / seen[2].rate)
    assert finish(job).stage == "done"


# ----- one at a time


def test_a_second_upload_is_refused_while_one_is_added(job, gate, passages, tmp_path):
    gate.close()
    job.start(write(tmp_path, TEXTS))
    other = write(tmp_path, {"more.txt": "More."})
    with pytest.raises(Refused, match="wait until it has finished, or cancel"):
        job.start(other)
    with pytest.raises(Refused):
        job.discard()
    assert other[0].path.exists()
    gate.blocks.release(10**6)
    finish(job)
    assert sources(passages) == EXPECTED


def test_of_many_starts_at_the_same_time_one_wins(job, gate, tmp_path):
    gate.close()
    files = [[Upload(path.path, path.name)] for path in write(tmp_path, TEXTS)]
    refused = []

    def start(upload) -> None:
        try:
            job.start(upload)
        except Refused as problem:
            refused.append(problem)

    threads = [threading.Thread(target=start, args=[upload]) for upload in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == len(files) - 1
    gate.blocks.release(10**6)
    assert outcome(job).added == 1


def test_another_writer_is_waited_for(job, passages, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "RETRY", 0.01)
    kind = passages._made_with()
    with drafting(
        passages._options.passages,
        embedder=kind["embedder"],
        tokenizer=kind["tokenizer_fingerprint"],
    ):
        job.start(write(tmp_path, TEXTS))
        while not look(job).message:
            time.sleep(0.005)
        assert (look(job).stage, look(job).message[:15]) == ("waiting", "Another process")
    assert finish(job).stage == "done"


def test_nothing_begins_before_the_passages_are_loaded(folder, tmp_path):
    job = Jobs(folder, lambda: None)
    arrived = write(tmp_path, TEXTS)
    with pytest.raises(Refused, match="still being loaded"):
        job.start(arrived)
    assert job.state is None and not folder.exists()


# ----- cancelled, failed, resumed, given up


def cancelled_halfway(job, gate, tmp_path, blocks: int = 2):
    gate.close()
    job.start(write(tmp_path, TEXTS))
    for _ in range(blocks):
        gate.blocks.release()
    while look(job).done < 4 * blocks:
        time.sleep(0.005)
    assert gate.waiting.wait(20)
    job.cancel()
    assert look(job).stopping
    gate.blocks.release(10**6)
    return finish(job)


def test_a_cancelled_job_changes_nothing_and_can_be_resumed(job, gate, passages, folder, tmp_path):
    before = passages.fingerprint()
    state = cancelled_halfway(job, gate, tmp_path)
    assert (state.stage, state.stopping) == ("cancelled", False)
    assert state.done < state.chunks
    assert passages.fingerprint() == before and sources(passages) == []
    with pytest.raises(Refused, match="resume that, or discard it first"):
        job.start(write(tmp_path, {"more.txt": "More."}))
    calls = gate._embedder.calls
    job.resume()
    assert finish(job).stage == "done"
    assert gate._embedder.calls - calls == -(-(state.chunks - state.done) // 4)
    assert sources(passages) == EXPECTED
    assert list(folder.iterdir()) == []


def test_a_cancelled_job_is_offered_after_a_restart(job, gate, passages, folder, tmp_path):
    cancelled_halfway(job, gate, tmp_path)
    later = Jobs(folder, lambda: passages)
    assert (look(later).stage, look(later).names) == ("cancelled", tuple(TEXTS))
    later.resume()
    assert outcome(later).added == 4
    assert sources(passages) == EXPECTED


def test_a_job_that_the_end_of_the_process_stopped_is_offered(gate, passages, folder, tmp_path):
    job = Jobs(folder, lambda: passages)
    gate.close()
    job.start(write(tmp_path, TEXTS))
    assert gate.waiting.wait(20)
    threading.Timer(0.05, gate.blocks.release, [10**6]).start()
    job.close()
    with pytest.raises(Refused, match="being closed"):
        job.resume()
    later = Jobs(folder, lambda: passages)
    assert look(later).stage == "interrupted" and look(later).resumable
    later.resume()
    assert finish(later).stage == "done"
    assert sources(passages) == EXPECTED


def test_what_was_given_up_is_gone_and_does_not_come_with_the_next(job, gate, passages, folder,
                                                                   tmp_path):  # fmt: skip
    cancelled_halfway(job, gate, tmp_path)
    job.discard()
    assert job.state is None and list(folder.iterdir()) == []
    job.start(write(tmp_path, {"more.txt": "More of it."}))
    finish(job)
    assert sources(passages) == ["uploads/more.txt"]


def test_a_job_that_fails_says_why_and_can_be_resumed(job, gate, passages, tmp_path):
    gate.failing = True
    job.start(write(tmp_path, TEXTS))
    state = finish(job)
    assert (state.stage, state.resumable) == ("failed", True)
    assert "No space left on device" in state.message
    gate.failing = False
    job.resume()
    assert finish(job).stage == "done"
    assert sources(passages) == EXPECTED


def test_where_nothing_waits_there_is_nothing_to_resume_and_cancelling_is_no_error(job):
    with pytest.raises(Refused, match="nothing to resume"):
        job.resume()
    job.cancel()
    job.discard()
    job.dismiss()
    assert job.state is None
