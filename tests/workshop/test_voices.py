import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import given
from hypothesis import strategies as st

import tts_service
from tts_service import SpeechError, UnknownVoice, Voice
from tts_service.voices.library import MAX_BYTES, Library, load_recording, safe_name, speaker
from tts_service.voices.reference import measure

CONSENT = {"transcript": "今天天气很好。", "consent": "本人同意，用于测试"}


@pytest.fixture(scope="module")
def spoken():
    """Six seconds of a woman and six of a man, 24 kHz."""
    text = "今天天气很好，我们一起去公园散步，然后回家吃饭，晚上再看一场电影。"
    with tts_service.load("kokoro") as voice:
        return {name: np.concatenate([c.samples for c in voice.stream(text, name)]) for name in ("lian", "bai")}


@pytest.fixture
def recording(tmp_path, spoken):
    path = tmp_path / "recording.wav"
    soundfile.write(path, spoken["lian"], 24000)
    return path


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "library")


def test_a_voice_comes_and_goes(library, recording):
    card = library.add(recording, name="小兰", licence="CC0", **CONSENT)
    assert library.names() == ["小兰"]
    assert library.card("小兰") == card
    assert card.consent == CONSENT["consent"]
    voice = library.voice("小兰")
    assert voice.folder == library.folder / "小兰"
    stored, rate = soundfile.read(voice.folder / "reference.wav")
    assert rate == 24000
    assert np.abs(stored - soundfile.read(recording)[0]).max() < 1e-4
    library.remove("小兰")
    assert library.names() == []
    assert list(library.folder.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "..",
        ".",
        "",
        ".hidden",
        "a/b",
        "a\\b",
        "CON",
        "con.wav",
        "LPT1",
        "nul",
        "x" * 65,
        "a\0b",
        "a:b",
        "a b",
        "尾.",
        "\u202eabc",
    ],
)
def test_names_that_are_no_file_names(library, recording, name, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for act in (
        lambda: library.add(recording, name=name, **CONSENT),
        lambda: library.remove(name),
        lambda: library.card(name),
    ):
        with pytest.raises(SpeechError, match="cannot be a name"):
            act()
    assert sorted(tmp_path.rglob("*")) == before


@given(st.text(max_size=80))
def test_a_safe_name_is_one_plain_part_of_a_path(name):
    try:
        safe = safe_name(name)
    except SpeechError:
        return
    assert os.path.basename(safe) == safe
    assert safe not in (".", "..")
    assert safe.isprintable()


def test_links_in_the_library_are_no_voices(library, recording, tmp_path):
    library.add(recording, name="real", **CONSENT)
    outside = tmp_path / "outside"
    shutil.copytree(library.folder / "real", outside)
    (library.folder / "linked").symlink_to(outside, target_is_directory=True)
    assert library.names() == ["real"]
    with pytest.raises(UnknownVoice):
        library.remove("linked")
    assert (outside / "voice.yaml").exists()


def test_a_voice_is_not_added_over_another(library, recording):
    library.add(recording, name="Fang", **CONSENT)
    with pytest.raises(SpeechError, match="already"):
        library.add(recording, name="fang", **CONSENT)
    assert library.names() == ["Fang"]


@pytest.mark.parametrize("field", ["transcript", "consent"])
def test_transcript_and_consent_are_asked_for(library, recording, field):
    with pytest.raises(SpeechError, match=field):
        library.add(recording, name="a", **{**CONSENT, field: "  "})
    assert library.names() == []


def test_a_changed_recording_is_noticed(library, recording):
    library.add(recording, name="a", **CONSENT)
    path = library.folder / "a" / "reference.wav"
    path.write_bytes(path.read_bytes()[:-2] + b"\x12\x34")
    with pytest.raises(SpeechError, match="has changed"):
        library.voice("a")


def test_a_recording_is_read_once_however_often_its_voice_is_listed(library, recording, monkeypatch):
    library.add(recording, name="a", **CONSENT)
    opened, read = [], Path.open
    monkeypatch.setattr(Path, "open", lambda path, *args, **more: (opened.append(path), read(path, *args, **more))[1])
    assert [library.voice("a") for _ in range(3)] == [library.voice("a")] * 3
    path = library.folder / "a" / "reference.wav"
    assert opened.count(path) == 1
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(SpeechError, match="has changed"):
        library.voice("a")


def test_a_recording_that_goes_away_while_it_is_looked_at_is_missing(library, recording, monkeypatch):
    library.add(recording, name="a", **CONSENT)
    opened = Path.open

    def vanish(path, *args, **more):
        if path.name == "reference.wav":
            path.unlink()
        return opened(path, *args, **more)

    monkeypatch.setattr(Path, "open", vanish)
    for _ in ("while it is read", "afterwards"):
        with pytest.raises(SpeechError, match=r"reference\.wav is missing; remove"):
            library.audio("a")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: [", "cannot be read"),
        ("- a", "must hold the fields"),
        ("name: a", "'language' is missing"),
        ("created: 2026-99-99", "cannot be read"),
        ("[" * 10000, "cannot be read"),
        (None, "transcript"),
    ],
)
def test_a_damaged_card_is_named(library, recording, content, said):
    library.add(recording, name="a", **CONSENT)
    path = library.folder / "a" / "voice.yaml"
    if content is None:
        content = yaml.safe_dump({**yaml.safe_load(path.read_text()), "transcript": 3})
    path.write_text(content)
    with pytest.raises(SpeechError, match=said) as error:
        library.card("a")
    assert "voice.yaml" in str(error.value)


def test_a_voice_is_called_as_its_folder(library, recording):
    """A card comes from anybody who shares a voice; its name must not become a path."""
    library.add(recording, name="bob", **CONSENT)
    path = library.folder / "bob" / "voice.yaml"
    path.write_text(path.read_text().replace("name: bob", "name: ../../evil"))
    assert library.card("bob").name == library.voice("bob").name == "bob"


def test_a_gigabyte_that_calls_itself_a_recording_is_not_read(tmp_path):
    path = tmp_path / "huge.wav"
    with path.open("wb") as file:
        file.write(
            b"RIFF\xff\xff\xff\x3fWAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0"
            b"data\xff\xff\xff\x3f"
        )
        file.truncate(1 << 30)
    with pytest.raises(SpeechError, match=f"1024 MB; a reference may have {MAX_BYTES >> 20}"):
        load_recording(path)


@pytest.mark.parametrize("content", [b"", b"no sound at all", b"RIFF\x10\0\0\0WAVE"])
def test_files_that_are_no_recordings(tmp_path, content):
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(SpeechError, match=r"x\.wav"):
        load_recording(path)


def test_a_good_recording_raises_no_doubts(spoken):
    for samples in spoken.values():
        quality = measure(samples, 24000)
        assert quality.unusable == []
        assert quality.doubts == []


def test_what_is_wrong_with_a_recording_is_heard(spoken, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    lan, song = spoken["lian"], spoken["bai"]
    noise = np.random.default_rng(0).normal(0, 0.05, len(lan)).astype(np.float32)
    spectrum = np.fft.rfft(lan)
    spectrum[int(3400 / 24000 * len(lan)) :] = 0
    phone = np.fft.irfft(spectrum, len(lan)).astype(np.float32)
    delay = int(0.18 * 24000)
    echo = lan + 0.6 * np.concatenate([np.zeros(delay, np.float32), lan[:-delay]])
    both = np.concatenate([lan[: 5 * 24000], song[: 5 * 24000]])
    heard = {
        name: measure(samples.astype(np.float32), 24000).doubts
        for name, samples in {
            "noisy": lan + noise,
            "clipped": np.clip(lan * 8, -0.9, 0.9),
            "narrow": phone,
            "echo": echo,
            "speaker": both,
        }.items()
    }
    for word, doubts in heard.items():
        assert any(word in doubt for doubt in doubts), (word, doubts)


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, "must have 3 to 30 s"), (40, "must have 3 to 30 s"), (5, "are speech")]
)
def test_recordings_that_cannot_be_used(seconds, said, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    quality = measure(np.zeros(seconds * 16000, np.float32), 16000)
    assert any(said in reason for reason in quality.unusable)


def test_music_and_noise_are_no_voices(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    random, seconds = np.random.default_rng(0), np.arange(24000 * 6) / 24000
    notes = np.repeat(random.choice([196, 220, 262, 294, 330], 12), 12000)
    music = sum(np.sin(2 * np.pi * notes * m * seconds) for m in (1, 1.26, 1.5, 2)) * np.exp(-3 * (seconds % 0.5)) / 5
    noise = random.normal(0, 0.1, len(seconds))
    for samples, said in ((music, "music"), (noise, "no voice")):
        assert any(said in reason for reason in measure(samples.astype(np.float32), 24000).unusable)


def test_the_embedded_engine_says_that_it_cannot_clone(tone, library, recording, monkeypatch):
    library.add(recording, name="mine", **CONSENT)
    assert speaker(tone, library, "mine") == Voice("mine", ("zh",), "mine · 克隆 / cloned", library.folder / "mine")
    assert speaker(tone, library, "high").folder is None
    monkeypatch.setattr(tone.engine, "name", "kokoro")
    with pytest.raises(UnknownVoice, match=r"embedded engine cannot clone.*--engine glm"):
        speaker(tone, library, "mine")
    with pytest.raises(UnknownVoice, match="available: low, high, mine"):
        speaker(tone, library, "nobody")


def test_the_users_library_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setenv("GLM_TTS_VOICES", str(tmp_path / "elsewhere"))
    assert Library().folder == tmp_path / "elsewhere"
    monkeypatch.delenv("GLM_TTS_VOICES")
    assert Library().folder.name == "voices"
