"""Presets of settings in the log; tests/test_presets.py is about models."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.records import Preset, Settings
from app.store.connection import LogError
from app.store.log import Log
from engine.protocol import Sampling
from tests.drawn import presets

CAREFUL = Preset("careful", Settings(Sampling(temperature=0)))


@given(st.lists(presets, max_size=4, unique_by=lambda preset: preset.name))
@settings(max_examples=12, deadline=None)
def test_presets_are_read_back_by_name_with_the_last_default(shared_log: Log, saved: list[Preset]):
    for preset in shared_log.presets():
        shared_log.delete_preset(preset.name)
    for preset in saved:
        shared_log.save_preset(preset)
    default = next((p.name for p in reversed(saved) if p.default), None)
    expected = [replace(preset, default=preset.name == default) for preset in saved]
    assert shared_log.presets() == tuple(sorted(expected, key=lambda preset: preset.name.encode()))
    assert shared_log.default_preset() == next((p for p in expected if p.default), None)


def test_saving_again_replaces_the_settings(log: Log):
    log.save_preset(CAREFUL)
    log.save_preset(replace(CAREFUL, settings=Settings(k=4), default=True))
    assert log.presets() == (Preset("careful", Settings(k=4), default=True),)
    log.save_preset(CAREFUL)
    assert log.default_preset() is None


def test_a_deleted_preset_is_gone_and_cannot_be_deleted_again(log: Log):
    log.save_preset(replace(CAREFUL, default=True))
    log.delete_preset("careful")
    assert (log.presets(), log.default_preset()) == ((), None)
    with pytest.raises(LogError, match="no preset 'careful'"):
        log.delete_preset("careful")


@pytest.mark.parametrize("name", ["", " ", " x", "a\nb", "a\x00", "a  b", "\ud800", "x" * 61])
def test_a_name_that_cannot_be_shown_on_one_line_is_refused(log: Log, name: str):
    with pytest.raises(LogError, match="give a name of 1 to 60 characters"):
        log.save_preset(replace(CAREFUL, name=name))
    assert log.presets() == ()
