import io
import json
import shutil
import subprocess

import av
import numpy as np
import pytest
import soundfile

from tts_service import AudioChunk, SpeechError
from tts_service.workshop.audio_file import FORMATS, SpeechWriter, read_label, save
from tts_service.workshop.label import Label, content_id

LABEL = Label("kokoro", "lan")
LABELLED = [format for format in FORMATS if format != "pcm"]


def chunks(seconds=1.0, rate=24000, pieces=7, hertz=440):
    time = np.arange(int(seconds * rate)) / rate
    for piece in np.array_split((0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32), pieces):
        yield AudioChunk(piece, rate)


def pitch(samples, rate):
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


def read_aac(path):
    """libsndfile does not read it."""
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)]), file.streams[0].rate


@pytest.mark.parametrize("format", LABELLED)
@pytest.mark.parametrize("rate", [24000, 32000])
def test_a_file_holds_the_sound_and_the_label(tmp_path, format, rate):
    path = tmp_path / f"out.{format}"
    seconds = save(path, chunks(), rate, Label("kokoro", "lan", "task-7", "某某公司", "2026-01-02T03:04:05+08:00"))
    assert seconds == pytest.approx(1.0, abs=0.01)
    samples, written = read_aac(path) if format == "aac" else soundfile.read(path)
    assert written == (48000 if (format, rate) == ("opus", 32000) else rate)
    assert len(samples) / written == pytest.approx(1.0, abs=0.08)
    assert pitch(samples, written) == pytest.approx(440, abs=5)
    fields = json.loads(read_label(path))
    assert fields["Label"] == "1"
    assert fields["ContentProducer"] == "某某公司"
    assert content_id(read_label(path)) == "task-7"


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs ffprobe")
@pytest.mark.parametrize("format", LABELLED)
def test_other_programs_see_that_a_machine_made_it(tmp_path, format):
    path = tmp_path / f"out.{format}"
    save(path, chunks(), 24000, Label("kokoro", "lan"))
    shown = subprocess.run(["ffprobe", "-hide_banner", path], capture_output=True, text=True, check=True).stderr
    assert "人工智能生成 / AI-generated speech" in shown
    assert "pipecat-glm-tts" in shown
    assert "lan" in shown


def test_riff_sizes_are_right_in_a_file_and_open_in_a_pipe(tmp_path):
    path = tmp_path / "out.wav"
    save(path, chunks(), 24000, Label("kokoro", "lan"))
    data = path.read_bytes()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert int.from_bytes(data[data.index(b"data") + 4 :][:4], "little") == 48000

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    pipe = Pipe()
    with SpeechWriter(pipe, "wav", 24000, Label("kokoro", "lan")) as writer:
        for chunk in chunks():
            before = len(pipe.getvalue())
            writer.write(chunk)
            assert len(pipe.getvalue()) - before == 2 * len(chunk.samples)
    data = pipe.getvalue()
    assert int.from_bytes(data[4:8], "little") == 0xFFFFFFFF
    with av.open(io.BytesIO(data)) as file:
        assert sum(frame.samples for frame in file.decode(audio=0)) == 24000


def test_loud_samples_are_clipped_and_not_wrapped(tmp_path):
    path = tmp_path / "out.wav"
    save(path, [AudioChunk(np.array([0.0, 3.0, -3.0], np.float32), 24000)], 24000, Label("kokoro", "lan"))
    assert soundfile.read(path, dtype="int16")[0].tolist() == [0, 32767, -32767]


def broken():
    yield from list(chunks())[:3]
    raise SpeechError("the engine failed")


@pytest.mark.parametrize("source", [broken, list])
def test_what_fails_or_says_nothing_leaves_no_file(tmp_path, source):
    with pytest.raises(SpeechError):
        save(tmp_path / "out.wav", source(), 24000, Label("kokoro", "lan"))
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_file_does_not_replace_a_finished_one(tmp_path):
    path = tmp_path / "out.wav"
    save(path, chunks(), 24000, Label("kokoro", "lan"))
    before = path.read_bytes()
    with pytest.raises(SpeechError):
        save(path, broken(), 24000, Label("kokoro", "lan"))
    assert path.read_bytes() == before


def test_formats_and_rates_that_do_not_exist(tmp_path):
    with pytest.raises(SpeechError, match="wav, pcm, flac, mp3, opus"):
        save(tmp_path / "out.ogg", chunks(), 24000, Label("kokoro", "lan"))
    with pytest.raises(SpeechError, match="12345"):
        save(tmp_path / "out.wav", chunks(), 12345, Label("kokoro", "lan"))


def noise(seconds=8.0):
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * 24000)).astype(np.float32)
    return [AudioChunk(piece, 24000) for piece in np.array_split(samples, 20)]


@pytest.mark.parametrize(
    ("format", "asked", "kbps"), [("mp3", None, 128), ("opus", None, 48), ("mp3", 64, 64), ("opus", 96, 96)]
)
def test_compressed_speech_has_bits_enough(tmp_path, format, asked, kbps):
    path = tmp_path / f"out.{format}"
    seconds = save(path, noise(), 24000, LABEL, bitrate=asked)
    assert path.stat().st_size * 8 / seconds / 1000 == pytest.approx(kbps, rel=0.15)


def test_the_usual_bit_rate_is_a_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("GLM_TTS_LANG", "en")
    monkeypatch.setenv("GLM_TTS_MP3_KBPS", "64")
    seconds = save(tmp_path / "out.mp3", noise(), 24000, LABEL)
    assert (tmp_path / "out.mp3").stat().st_size * 8 / seconds / 1000 == pytest.approx(64, rel=0.15)
    monkeypatch.setenv("GLM_TTS_MP3_KBPS", "loud")
    with pytest.raises(SpeechError, match="GLM_TTS_MP3_KBPS: mp3 takes 8 to 320 kbit/s, not 'loud'"):
        save(tmp_path / "out.mp3", noise(), 24000, LABEL)
    with pytest.raises(SpeechError, match="opus takes 6 to 510"):
        save(tmp_path / "out.opus", noise(), 24000, LABEL, bitrate=4000)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"RIFF\xff\xff\xff\xffWAVEAIGC\xff\xff\xff\xff", b"\0" * 5000, b"ID3" * 99]
)
def test_files_that_carry_no_label(tmp_path, content):
    path = tmp_path / "odd.wav"
    path.write_bytes(content)
    assert content_id(read_label(path)) is None


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """Each file is whole; the last one to be finished stays."""
    path = tmp_path / "out.wav"

    def interrupted():
        for number, chunk in enumerate(chunks(seconds=2)):
            if number == 3:
                save(path, chunks(), 24000, Label("kokoro", "lan"))
                assert soundfile.info(path).frames == 24000
            yield chunk

    save(path, interrupted(), 24000, Label("kokoro", "lan"))
    assert soundfile.info(path).frames == 48000
    assert list(tmp_path.iterdir()) == [path]
