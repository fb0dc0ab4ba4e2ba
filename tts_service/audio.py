"""Recordings as numbers: decoding and resampling."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from pipecat_glm_tts.extras import needs
from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError

Samples = NDArray[np.float32]
MAX_RATE = 384_000
"""Samples a second, of all channels together."""


def load_audio(source: str | Path | bytes | BinaryIO, *, max_seconds: float = 600.0) -> tuple[Samples, int]:
    """Decode an audio file (WAV, FLAC, OGG, MP3, AIFF and what else libsndfile reads; M4A).

    Args:
        source: A path, the file's bytes, or an open binary file that can seek.
        max_seconds: Longer files are refused before they are decoded.

    Returns:
        Samples [channels, n] in -1..1 and the sample rate in Hz.

    Raises:
        SpeechError: The file does not exist, is no audio, is empty or too long, or has an absurd rate.
    """
    name = str(source) if isinstance(source, str | Path) else tr("the uploaded audio")
    try:
        with open(source, "rb") if isinstance(source, str | Path) else _opened(source) as file:
            container = _container(file.read(16))
            file.seek(0)
            samples, rate = _decode_container(file, container, max_seconds) if container else _decode(file, max_seconds)
    except _TooMuch as error:
        raise SpeechError(f"{name} {error}") from error
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError) as error:
        # libsndfile's own words name the Python object that it was given.
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
        raise SpeechError(
            tr("{name} cannot be read as audio ({reason}); use WAV, FLAC, OGG, MP3 or M4A", name=name, reason=reason)
        ) from error
    if samples.shape[1] == 0:
        raise SpeechError(tr("{name} holds no sound", name=name))
    if not np.isfinite(samples).all():
        raise SpeechError(tr("{name} holds samples that are not numbers", name=name))
    return np.ascontiguousarray(samples), rate


class _TooMuch(Exception):
    """With what is too much, and how much is read."""


def _limit(frames: int, rate: int, channels: int, max_seconds: float) -> None:
    """Refuse what would fill the memory: silence of eight channels at 655 kHz takes a FLAC next to nothing."""
    if rate * channels > MAX_RATE:
        raise _TooMuch(
            tr(
                "has a sample rate of {rate} Hz on {channels} channels; save it in stereo at 48000 Hz",
                rate=rate,
                channels=channels,
            )
        )
    if frames > max_seconds * rate:
        raise _TooMuch(tr("is too long; at most {max_seconds:.0f} s are read", max_seconds=max_seconds))


def _opened(source: bytes | BinaryIO) -> AbstractContextManager[BinaryIO]:
    """An open file stays open: it is the caller's."""
    return nullcontext(io.BytesIO(source) if isinstance(source, bytes) else source)


def _decode(file: BinaryIO, max_seconds: float) -> tuple[Samples, int]:
    with soundfile.SoundFile(file) as sound:
        _limit(sound.frames, sound.samplerate, sound.channels, max_seconds)
        return sound.read(dtype="float32", always_2d=True).T, sound.samplerate


def _container(head: bytes) -> str | None:
    """Which of FFmpeg's formats a file begins like, of those that libsndfile does not read."""
    if head[4:8] == b"ftyp":
        return "mp4"  # AAC or ALAC, what telephones record
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "matroska"  # WebM, what browsers record
    if head.startswith(b"0&\xb2u\x8ef\xcf\x11"):
        return "asf"  # WMA
    return "aac" if head[:1] == b"\xff" and head[1:2] in (b"\xf1", b"\xf9") else None


def _decode_container(file: BinaryIO, format: str, max_seconds: float) -> tuple[Samples, int]:
    """Through FFmpeg, which may take the file for nothing else."""
    with needs("files"):
        import av

    pieces: list[Samples] = []
    length = 0
    with av.open(file, "r", format=format) as container:
        if not container.streams.audio:
            raise ValueError(tr("there is no sound in it"))
        stream = container.streams.audio[0]
        planar = av.AudioResampler("fltp", rate=stream.rate)
        for frame in container.decode(stream):
            pieces += [part.to_ndarray().astype(np.float32) for part in planar.resample(frame)]
            length += frame.samples
            _limit(length, stream.rate, frame.layout.nb_channels, max_seconds)
    return np.concatenate(pieces or [np.zeros((1, 0), np.float32)], axis=1), stream.rate


def resample(samples: Samples, rate: int, new_rate: int) -> Samples:
    """Resample by soxr at its high quality: flat up to 0.91 of the lower Nyquist frequency.

    Args:
        samples: [n] or [channels, n].
        rate: Hz of `samples`.
        new_rate: Hz wanted.

    Returns:
        [..., about n * new_rate / rate].
    """
    return np.ascontiguousarray(soxr.resample(samples.T, rate, new_rate).T)
