"""What the buttons of the studio do, for several people at once; `tests/e2e` presses them."""

import shutil
import tempfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from fastapi import FastAPI

pytest.importorskip("gradio", reason="the extra `studio` is not installed")

from tests.workshop.conftest import serving
from tts_service.speech.watermark import Watermark
from tts_service.studio import build, mount
from tts_service.studio.desk import Desk
from tts_service.voices.library import Library

SPEECH = Path(__file__).parents[1] / "glm" / "golden" / "cases" / "wav" / "prompt_mono_24k.wav"


@pytest.fixture
def desk(tone, tmp_path):
    return Desk(
        lambda: tone,
        "glm",
        Library(tmp_path / "library"),
        transcribe=lambda samples, rate: "今天天气很好。",
        dictionary=tmp_path / "dict.jsonl",
        path="/studio",
        outputs=tmp_path / "outputs",
    )


@pytest.fixture
def recording(tmp_path_factory):
    """Two seconds of speech twice over: long enough for a voice."""
    path = tmp_path_factory.mktemp("mine") / "me.wav"
    samples, rate = soundfile.read(SPEECH)
    soundfile.write(path, np.tile(samples, 2), rate)
    return path


def button(desk, name):
    """What a button calls."""
    [found] = [each.fn for each in build(desk).fns.values() if each.name == name]
    return found


def paths(answers):
    """The files among what a callback shows, each while it is shown."""
    for answer in answers:
        yield from (Path(value) for value in answer.values() if isinstance(value, str) and value.endswith(".wav"))


def test_two_people_compare_voices_at_once(desk):
    compare = button(desk, "both")
    short, long = paths(compare("一", "low", "high")), paths(compare("一二三", "low", "high"))
    mine = next(short)
    before = soundfile.info(mine).duration
    assert soundfile.info(next(long)).duration > before
    assert soundfile.info(mine).duration == before
    assert len(list(short)) == 1
    assert not mine.exists(), "nothing stays behind when the page has its copy"


OPTIONS = (1.0, 24000, 42, "ras", True, None, False)
"""Of the tab 合成, as it opens but without streaming."""


def test_a_recording_is_made_a_voice_once(desk, recording, tmp_path):
    """Whoever presses the button again does not wait for the engine to listen again."""
    spoken_with = []
    engine = desk.synthesizer().engine
    synthesize = engine.synthesize
    engine.synthesize = lambda words, voice, *rest: spoken_with.append(voice) or synthesize(words, voice, *rest)
    speak = button(desk, "speak")
    uploads = [shutil.copy(recording, tmp_path / name) for name in ("a.wav", "b.wav")]
    for path in uploads:
        list(speak("你好。", None, path, "今天天气很好。", *OPTIONS))
    list(speak("你好。", None, uploads[0], "", *OPTIONS))
    first, second, recognised = spoken_with
    assert first == second
    assert first.folder.is_relative_to(desk.folder)
    assert recognised != first
    assert desk.references.voice(recording, "").name == recognised.name


def left(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def test_nobody_s_recording_is_left_when_the_studio_closes(tone, recording, tmp_path, monkeypatch):
    """Not the voice that was uploaded, nor the page's copies of what was made; that itself is kept in its place."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    app = FastAPI()
    outputs = tmp_path / "outputs"
    options = {"transcribe": lambda samples, rate: "x", "dictionary": tmp_path / "dict.jsonl", "outputs": outputs}
    mount(app, lambda: tone, engine="glm", library=Library(tmp_path / "library"), **options)
    with serving(app) as address, httpx.Client(base_url=f"{address}/studio/gradio_api/", timeout=120) as browser:
        [path] = browser.post("upload", files={"files": ("me.wav", recording.read_bytes())}).json()
        uploaded = {"path": path, "meta": {"_type": "gradio.FileData"}}
        event = browser.post("call/speak", json={"data": ["你好。", None, uploaded, "好。", *OPTIONS]}).json()
        reply = browser.get(f"call/speak/{event['event_id']}").text
        assert "event: complete" in reply, reply
        assert any(path.name == "reference.wav" for path in left(tmp_path))
        assert any(path.name.startswith("tts_") for path in left(tmp_path))
    assert {path.parent for path in left(tmp_path)} == {outputs}
    assert sorted(path.suffix for path in left(outputs)) == [".srt", ".vtt", ".wav"]


def test_a_recording_is_looked_at_for_a_mark(desk, tmp_path):
    noise = (0.1 * np.random.default_rng(2).standard_normal(5 * 24000)).astype(np.float32)
    soundfile.write(tmp_path / "plain.wav", noise, 24000)
    soundfile.write(tmp_path / "marked.wav", Watermark(24000).mark(noise), 24000)
    look = button(desk, "look")
    assert look(str(tmp_path / "plain.wav")).startswith("**not marked")
    assert look(str(tmp_path / "marked.wav")).startswith("**marked")
