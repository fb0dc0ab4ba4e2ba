"""Reference audio as numbers: loading, resampling, Kaldi filter banks. Needs neither torch nor torchaudio.

The two formulas are torchaudio's (`functional.resample` with its defaults, `compliance.kaldi.fbank`), so that a voice
has the same features on every machine: with torchaudio or without (its wheels cannot be imported beside a CPU build of
torch), and bit for bit the same whichever other resampler is installed. The tests hold them against torchaudio,
kaldi-native-fbank and soxr where those exist.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
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
    """Windowed-sinc resampling with six zero crossings and a roll-off of 0.99.

    Args:
        samples: [..., n].
        rate: Hz of `samples`.
        new_rate: Hz wanted.

    Returns:
        [..., ceil(n * new_rate / rate)].
    """
    if rate == new_rate:
        return samples
    divisor = math.gcd(rate, new_rate)
    kernel, width = _sinc_kernel(rate // divisor, new_rate // divisor)
    stride = rate // divisor
    padded = np.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(width, width + stride)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[1], axis=-1)[..., ::stride, :]
    phases = windows @ kernel.T
    length = math.ceil(new_rate * samples.shape[-1] / rate)
    return np.ascontiguousarray(phases.reshape(*samples.shape[:-1], -1)[..., :length])


@lru_cache(maxsize=16)
def _sinc_kernel(rate: int, new_rate: int) -> tuple[Samples, int]:
    """Taps [new_rate, 2 * width + rate], one row for each output phase, and the padding `width`."""
    zero_crossings, rolloff = 6, 0.99
    base = min(rate, new_rate) * rolloff
    width = math.ceil(zero_crossings * rate / base)
    taps = np.arange(-width, width + rate, dtype=np.float64) / rate
    phase = np.arange(new_rate, dtype=np.float64)[:, None] / new_rate
    time = np.clip((taps - phase) * base, -zero_crossings, zero_crossings)
    window = np.cos(time * math.pi / zero_crossings / 2) ** 2
    return (np.sinc(time) * window * base / rate).astype(np.float32), width


def kaldi_fbank(samples: Samples) -> Samples:
    """80 log mel energies of Kaldi's `compute-fbank-feats` at 16 kHz, dither and energy off, Povey window.

    Args:
        samples: [n] in -1..1 (not scaled to 16 bits), at 16 kHz, at least 400.

    Returns:
        [1 + (n - 400) // 160, 80].
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160].astype(np.float64)
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    povey = (0.5 - 0.5 * np.cos(2 * math.pi * np.arange(400) / 399)) ** 0.85
    power = np.abs(np.fft.rfft(frames * povey, n=512)) ** 2
    energies = power @ _kaldi_mel_weights().T
    return np.log(np.maximum(energies, 1.1920929e-07)).astype(np.float32)


@lru_cache(maxsize=1)
def _kaldi_mel_weights() -> NDArray[np.float64]:
    """Triangles [80, 257] that are linear in mel, from 20 to 8000 Hz."""
    low, high = 1127 * np.log(1 + np.array([20.0, 8000.0]) / 700)
    edges = np.linspace(low, high, 82)
    mel = 1127 * np.log(1 + np.arange(256) * (16000 / 512) / 700)
    rising = (mel - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - mel) / np.diff(edges)[1:, None]
    return np.pad(np.maximum(0, np.minimum(rising, falling)), ((0, 0), (0, 1)))
