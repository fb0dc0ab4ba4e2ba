"""Recordings are read whatever format they come in, and refused with the reason."""

import io

import av
import numpy as np
import pytest
import soundfile

from tts_service.audio import load_audio
from tts_service.engine import SpeechError

RATE = 44100
STEREO = np.stack([0.4 * np.sin(2 * np.pi * hertz * np.arange(2 * RATE) / RATE) for hertz in (300, 500)]).astype("f4")


def encoded(format):
    sink = io.BytesIO()
    if format not in ("aac", "alac"):
        soundfile.write(sink, STEREO.T, RATE, format=format)
        return sink.getvalue()
    with av.open(sink, "w", format="ipod") as container:
        stream = container.add_stream(
            format, rate=RATE, layout="stereo", format={"aac": "fltp", "alac": "s16p"}[format]
        )
        samples = STEREO if format == "aac" else (STEREO * 32767).round().astype("i2")
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=stream.format.name, layout="stereo")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return sink.getvalue()


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "aac", "alac"])
def test_every_format_is_read_from_a_path_from_bytes_and_from_an_open_file(tmp_path, format):
    content = encoded(format)
    (tmp_path / "sound").write_bytes(content)
    with (tmp_path / "sound").open("rb") as file:
        heard = [load_audio(source) for source in (tmp_path / "sound", content, file)]
        assert not file.closed
    for samples, rate in heard:
        assert rate == RATE
        assert samples.dtype == np.float32
        assert samples.shape[0] == 2
        assert samples.shape[1] / RATE == pytest.approx(2, abs=0.06)
        middle = slice(RATE // 2, RATE // 2 + RATE)
        for channel, hertz in zip(samples[:, middle], (300, 500), strict=True):
            spectrum = np.abs(np.fft.rfft(channel))
            assert spectrum.argmax() == hertz
            assert np.sqrt((channel**2).mean()) == pytest.approx(0.4 / 2**0.5, rel=0.03)


@pytest.mark.parametrize("format", ["FLAC", "aac"])
def test_what_is_too_long_is_refused(format):
    with pytest.raises(SpeechError, match=r"at most 1 s"):
        load_audio(encoded(format), max_seconds=1)


def test_a_rate_that_would_fill_the_memory_is_refused():
    """A third of a megabyte of such a FLAC decodes to more than a gigabyte, and is no longer than others."""
    flac, mp4 = io.BytesIO(), io.BytesIO()
    soundfile.write(flac, np.zeros((65535, 8), "i2"), 655350, format="FLAC")
    with av.open(mp4, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=96000, layout="5.1")
        frame = av.AudioFrame.from_ndarray(np.zeros((6, 9600), "f4"), format="fltp", layout="5.1")
        frame.sample_rate = 96000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for content, found in ((flac, "655350 Hz on 8 channels"), (mp4, "96000 Hz on 6 channels")):
        with pytest.raises(SpeechError, match=f"{found}; save it in stereo"):
            load_audio(content.getvalue())


@pytest.mark.parametrize(
    "content", [b"", b"no sound at all", encoded("aac")[:3000], b"\0\0\0\x20ftypM4A " + bytes(500)]
)
def test_what_is_no_audio_is_refused_with_what_could_be_used(content):
    with pytest.raises(SpeechError, match="use WAV, FLAC, OGG, MP3 or M4A"):
        load_audio(content)


def test_a_playlist_is_not_followed(tmp_path):
    """FFmpeg would open what it names; here nothing but MP4 goes that way."""
    (tmp_path / "secret.wav").write_bytes(encoded("WAV"))
    playlist = f"#EXTM3U\n#EXTINF:2,\n{tmp_path / 'secret.wav'}\n#EXT-X-ENDLIST\n".encode()
    with pytest.raises(SpeechError, match="cannot be read"):
        load_audio(playlist)


def test_a_missing_file_and_samples_that_are_no_numbers_are_refused(tmp_path):
    with pytest.raises(SpeechError, match="No such file"):
        load_audio(tmp_path / "none.wav")
    sink = io.BytesIO()
    soundfile.write(sink, np.array([0, np.nan], "f4"), 16000, format="WAV", subtype="FLOAT")
    with pytest.raises(SpeechError, match="not numbers"):
        load_audio(sink.getvalue())
