"""Recordings as numbers: decoding and resampling."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tts_service.engine import SpeechError

Samples = NDArray[np.float32]


def load_audio(source: str | Path | bytes | BinaryIO, *, max_seconds: float = 600.0) -> tuple[Samples, int]:
    """Decode an audio file (WAV, FLAC, OGG, MP3, AIFF; whatever libsndfile reads).

    Args:
        source: A path, the file's bytes, or an open binary file.
        max_seconds: Longer files are refused before they are decoded.

    Returns:
        Samples [channels, n] in -1..1 and the sample rate in Hz.

    Raises:
        SpeechError: The file does not exist, is no audio, or is empty or too long.
    """
    name = str(source) if isinstance(source, str | Path) else "the uploaded audio"
    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            if file.frames > max_seconds * file.samplerate:
                raise SpeechError(
                    f"{name} is {file.frames / file.samplerate:.0f} s long; at most {max_seconds:.0f} s are read"
                )
            samples = file.read(dtype="float32", always_2d=True).T
            rate = file.samplerate
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError) as error:
        raise SpeechError(f"{name} cannot be read as audio ({error}); use WAV, FLAC, OGG or MP3") from error
    if samples.shape[1] == 0:
        raise SpeechError(f"{name} holds no sound")
    if not np.isfinite(samples).all():
        raise SpeechError(f"{name} holds samples that are not numbers")
    return np.ascontiguousarray(samples), rate


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
