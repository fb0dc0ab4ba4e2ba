"""Finds the watermark of `tts_service.speech.watermark` in a recording, whatever it went through on its way.

A piece of sound is made equally loud in every 25 ms and every frequency, so that speech weighs no more than the mark
below it, and compared with the noise at all its places at once. The score tells by how many standard deviations the
best place stands out; in sound without a mark the places are normally distributed, so that the chance of a false alarm
follows from the score.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tts_service.audio import Samples, load_audio, resample
from tts_service.speech.watermark import HIGH, LOW, PERIOD, noise
from tts_service.workshop.audio_file import read_label

RATE = 16000
"""Hz at which is compared."""
FALSE_ALARM = 1e-4
"""How often a recording without a mark is called marked, as long as its score is distributed as noise's is. A tenth of
what is promised: of speech, which is not quite noise, 1 in 1,000 at most."""
DOUBTFUL = 0.05
"""How often it is called doubtful."""
SHORTEST = 3.0
"""Seconds of sound, pauses left out, of which can be told that there is no mark in them."""
WINDOWS = (3, 5, 10)
"""Seconds of the pieces that are looked at, one beginning every second."""
LONGEST = 4 * 3600.0
"""Seconds of a recording that are read."""
SPEEDS = 0.06
"""How much faster or slower a recording may play and be found by a thorough search."""
_FRAME, _STEP = 400, 100
_SLOW_RATE, _SLOW_HIGH, _SLOW_STEP = 4800, 2300, 8e-5
_SILENT = 1e-3  # of full scale, the mean of a frame


class Mark(StrEnum):
    """What can be said of a recording."""

    MARKED = "marked"
    NOT_MARKED = "not marked"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in a recording."""

    mark: Mark
    score: float
    """Standard deviations by which the best place stands out."""
    chance: float
    """That a recording of this length without a mark scores as high."""
    begin: float
    """Where the piece with that score begins, in seconds."""
    end: float
    speed: float = 1.0
    """Of the recording, beside the one in which it was made."""
    label: str | None = None
    """The value of the file's `AIGC` field, which says so by itself."""


def detect(source: str | Path | bytes | BinaryIO, *, thorough: bool = False) -> Detection:
    """Look for the mark in a file: in every channel, and in its metadata.

    Args:
        source: As for `tts_service.audio.load_audio`.
        thorough: Look for a recording that plays up to 6 % faster or slower, too: a second or two per piece of 5 s.

    Raises:
        SpeechError: It cannot be read as audio.
    """
    samples, rate = load_audio(source, max_seconds=LONGEST)
    found = detect_samples(samples, rate, thorough=thorough)
    label = read_label(Path(source)) if isinstance(source, str | Path) else None
    return Detection(found.mark, found.score, found.chance, found.begin, found.end, found.speed, label)


def detect_samples(samples: Samples, rate: int, *, thorough: bool = False) -> Detection:
    """Look for the mark in sound [n] or [channels, n] of that rate in Hz."""
    channels = np.atleast_2d(samples)
    found: list[Detection] = []
    for channel in channels:
        sound = resample(channel, rate, RATE) if rate != RATE else channel
        pieces = list(_pieces(_levelled(sound)))
        searches = len(channels) * (2 if thorough else 1)
        found += _judged(pieces, searches, PERIOD * RATE, sound)
        if thorough and found[-1].mark is not Mark.MARKED:
            faster = list(_at_other_speeds(sound))
            found += _judged(faster, searches, PERIOD * _SLOW_RATE, sound)
    return min(found, key=lambda detection: detection.chance)


@dataclass(frozen=True, slots=True)
class _Piece:
    begin: float
    end: float
    score: float
    speed: float = 1.0
    tried: int = 1


def _judged(pieces: list[_Piece], searches: int, places: int, sound: Samples) -> list[Detection]:
    """The best piece, and what that means where so many were looked at."""
    if not pieces:
        return [Detection(Mark.UNKNOWN, 0.0, 1.0, 0.0, len(sound) / RATE)]
    best = max(pieces, key=lambda piece: piece.score)
    tries = places * searches * sum(piece.tried for piece in pieces)
    # a normal distribution's tail, once for every place
    chance = -math.expm1(-tries * math.erfc(best.score / math.sqrt(2)) / 2)
    if chance < FALSE_ALARM:
        mark = Mark.MARKED
    elif chance < DOUBTFUL or _sounding(sound) < SHORTEST:
        mark = Mark.UNKNOWN
    else:
        mark = Mark.NOT_MARKED
    return [Detection(mark, best.score, chance, best.begin, best.end, best.speed)]


def _sounding(sound: Samples) -> float:
    """Seconds of it that are no silence."""
    frames = sound[: len(sound) // _STEP * _STEP].reshape(-1, _STEP)
    return float((np.sqrt((frames**2).mean(axis=1)) > _SILENT).sum()) * _STEP / RATE


def _levelled(sound: Samples, high: int = HIGH) -> NDArray[np.float32]:
    """The sound [n] with every frequency of every frame equally loud, but for what is noise or nothing.

    What is that weak is left weak: the tenth part of a minute's frames in which a frequency is weakest tell the noise.
    """
    window = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
    frequencies = np.fft.rfftfreq(_FRAME, 1 / RATE)
    used = (frequencies >= LOW) & (frequencies <= high)
    sound = np.pad(sound.astype(np.float32, copy=False), (_FRAME, _FRAME + -len(sound) % _STEP))
    level = np.zeros(len(sound), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(sound, _FRAME)[::_STEP]
    minute = 60 * RATE // _STEP
    for first in range(0, len(frames), minute):
        spectra = np.fft.rfft(frames[first : first + minute] * window, axis=1)
        power = np.abs(spectra) ** 2
        power[:, ~used] = 0
        weak = 3 * np.percentile(power, 10, axis=0) + 1e-4 * power.mean(axis=0) + 1e-6 * power.mean() + 1e-9
        spectra *= np.sqrt(power) / (power + weak)
        parts = np.fft.irfft(spectra, _FRAME, axis=1) * window
        places = level[first * _STEP : first * _STEP + (len(parts) + _FRAME // _STEP - 1) * _STEP].reshape(-1, _STEP)
        for part in range(_FRAME // _STEP):
            places[part : part + len(parts)] += parts[:, part * _STEP : (part + 1) * _STEP]
    return level[_FRAME : len(level) - _FRAME]


@lru_cache(maxsize=2)
def _noise_spectrum(rate: int) -> NDArray[np.complex64]:
    return np.conj(np.fft.rfft(noise(rate))).astype(np.complex64)


def _pieces(level: NDArray[np.float32]) -> Iterator[_Piece]:
    """How well each piece fits the noise, which repeats: a piece may be folded to the length of a period."""
    period, spectrum = PERIOD * RATE, _noise_spectrum(RATE)
    seconds = max(1, len(level) // RATE)
    windows = [window for window in WINDOWS if window <= seconds] or [seconds]
    sums = {window: np.zeros(period, np.float32) for window in windows}
    recent: deque[NDArray[np.float32]] = deque(maxlen=windows[-1] + 1)
    for second in range(seconds):
        last = second + 1 == seconds
        fold = np.zeros(period, np.float32)
        for start in range(second * RATE, len(level) if last else (second + 1) * RATE, RATE):
            part = level[start : min(start + RATE, len(level))]
            fold[start % period :][: len(part)] += part
        fits = np.fft.irfft(np.fft.rfft(fold) * spectrum, period).astype(np.float32)
        recent.append(fits)
        for window, total in sums.items():
            total += fits
            if second >= window:
                total -= recent[-1 - window]
            if second + 1 >= window and (spread := float(total.std())):
                yield _Piece(second + 1 - window, second + 1, float(total.max()) / spread)


def _at_other_speeds(sound: Samples) -> Iterator[_Piece]:
    """The same for pieces of 5 s that may play faster or slower, by the lower third of the noise."""
    slow = resample(_levelled(sound, _SLOW_HIGH), RATE, _SLOW_RATE)
    period, spectrum = PERIOD * _SLOW_RATE, _noise_spectrum(_SLOW_RATE)
    speeds = np.arange(1 - SPEEDS, 1 + SPEEDS, _SLOW_STEP)
    length = min(WINDOWS[1] * _SLOW_RATE, len(slow))
    for start in range(0, len(slow) - length + 1, length // 2):
        piece = slow[start : start + length]
        best = (0.0, 1.0)
        for speed in speeds:
            places = np.arange(int(length * speed)) / speed
            own = np.interp(places, np.arange(length), piece)
            fold = np.pad(own, (0, -len(own) % period)).reshape(-1, period).sum(axis=0)
            fits = np.fft.irfft(np.fft.rfft(fold) * spectrum, period)
            if spread := float(fits.std()):
                best = max(best, (float(fits.max()) / spread, float(speed)))
        yield _Piece(start / _SLOW_RATE, (start + length) / _SLOW_RATE, *best, tried=len(speeds))
