"""What the buttons of the studio do, for several people at once; `tests/e2e` presses them."""

from pathlib import Path

import pytest
import soundfile

pytest.importorskip("gradio", reason="the extra `studio` is not installed")

from tts_service.studio import build
from tts_service.studio.desk import Desk
from tts_service.voices import Library


@pytest.fixture
def desk(tone, tmp_path):
    return Desk(
        lambda: tone,
        "glm",
        Library(tmp_path / "library"),
        transcribe=lambda samples, rate: "今天天气很好。",
        dictionary=tmp_path / "dict.jsonl",
        path="/studio",
    )


def button(desk, name):
    """What a button calls."""
    [found] = [each.fn for each in build(desk).fns.values() if each.name == name]
    return found


def lengths(paths):
    return [soundfile.info(path).duration for path in paths]


def test_two_people_compare_voices_at_once(desk):
    compare = button(desk, "both")
    short, long = compare("一", "low", "high"), compare("一二三", "low", "high")
    mine = next(short)
    before = lengths(mine)
    assert lengths(next(long)) > before
    assert lengths(mine) == before
    assert list(short) == []
    assert not any(Path(path).exists() for path in mine), "nothing stays behind when the page has its copy"
