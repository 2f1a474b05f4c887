"""app.compose: what is opened is closed, and loading in the background fails softly."""

from dataclasses import replace

import jax
import pytest

from app import compose
from app.compose import NotReady, StartError, defaults_of, load, open_application, prepare_jax
from app.failures.detectors import DETECTORS
from app.records import Settings
from app.settings import Options
from engine.card import CheckpointError
from engine.protocol import Sampling


@pytest.fixture
def options(tmp_path) -> Options:
    return Options(tmp_path / "data", tmp_path / "no weights", tmp_path / "no library")


@pytest.fixture
def application(options):
    application = open_application(options)
    yield application
    application.close()


def test_the_data_directory_is_taken_until_the_application_is_closed(options):
    first = open_application(options)
    with pytest.raises(StartError, match="another Retroscope"):
        open_application(options)
    first.close()
    open_application(options).close()


def test_a_start_that_fails_lets_go_of_the_data_directory(options, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(compose, "read_card", lambda path: {"defaults": {"top_p": 7}})
        with pytest.raises(CheckpointError, match="top_p is 7"):
            open_application(options)
    open_application(options).close()


def test_turns_that_a_crash_left_unfinished_are_marked_at_the_next_start(options, toy_turn):
    turn = toy_turn(finish="running")
    application = open_application(options)
    application.log.start(turn)
    application.close()
    application = open_application(options)
    assert application.log.turn(turn.id).finish == "crashed"
    runs = application.log.runs(turn.id)
    assert [run.detector for run in runs] == [detector.kind for detector in DETECTORS]
    assert "truncated.crashed" in [f.kind for f in application.log.findings(turn.id)]
    application.close()


def test_without_weights_it_opens_and_loading_says_what_is_missing(
    application, options, monkeypatch
):
    monkeypatch.setattr(compose, "prepare_jax", lambda options: None)
    thread = application.load_in_background(lambda app: load(app, options))
    with pytest.raises(NotReady):
        _ = application.turns
    thread.join()
    assert application.status.stage == "failed"
    assert "no model card at" in application.status.message
    with pytest.raises(NotReady, match="no model card"):
        _ = application.turns


def test_a_card_recommends_settings_over_our_own():
    card = {"defaults": {"temperature": 0, "max_tokens": 9, "k": 1, "in_context": True}}
    wanted = Settings(Sampling(temperature=0, max_tokens=9), k=1, in_context=True)
    assert defaults_of(card) == wanted
    assert defaults_of({}) == Settings()


def test_compiled_programs_are_kept_in_the_data_directory(options):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    try:
        prepare_jax(replace(options, data=options.data / "here"))
        assert getattr(jax.config, names[0]) == str(options.data / "here" / "compiled")
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
