"""How well a recording serves as the model for a voice: measured, and said in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipecat_glm_tts.wording import tr
from tts_service.audio import resample
from tts_service.voices.pitch import pitch

MIN_SECONDS, MAX_SECONDS = 3.0, 30.0
_FRAME = 320  # 20 ms at the 16 kHz that pitch and loudness are measured at

Samples = NDArray[np.float32]


def advice() -> str:
    """What makes a good reference, in two sentences."""
    return tr(
        "A calm, clean reading as in the news serves best, 5 to 10 s. Phone recordings, karaoke echo and several "
        "people do not."
    )


@dataclass(frozen=True, slots=True)
class Quality:
    """What a recording measures."""

    seconds: float
    speech_seconds: float
    """Of that, louder than its pauses."""
    snr: float
    """dB between speech and pauses; 80 at most, for digital silence."""
    clipped: float
    """Share of samples cut off at full scale."""
    bandwidth: float
    """Hz up to which the speech has energy."""
    echo: float
    """How far the clearest echo between 60 and 400 ms stands out, in standard deviations of the cepstrum."""
    pitch_gap: float
    """Octaves between the two pitches that the speech falls into, if each has a fifth of it; large for a man beside a
    woman, blind to two voices of one pitch."""
    voiced: float
    """Share of the recording that has a pitch."""
    steady: float
    """Share of the fifths of a second with a pitch in which it stays within a third of a semitone: a tenth in speech,
    most in music."""

    @property
    def unusable(self) -> list[str]:
        """Why no voice can be made of it; empty if one can."""
        found = []
        if not MIN_SECONDS <= self.seconds <= MAX_SECONDS:
            found.append(
                tr(
                    "it is {seconds:.1f} s long; it must have {min_seconds:.0f} to {max_seconds:.0f} s",
                    seconds=self.seconds,
                    min_seconds=MIN_SECONDS,
                    max_seconds=MAX_SECONDS,
                )
            )
        if self.speech_seconds < 1.5:
            found.append(tr("only {speech_seconds:.1f} s of it are speech", speech_seconds=self.speech_seconds))
        elif self.voiced < 0.03:
            found.append(tr("there is noise and no voice in it"))
        elif self.steady > 0.5:
            found.append(tr("it is music or singing, not speech"))
        return found

    @property
    def doubts(self) -> list[str]:
        """What will be heard in the voice; empty for a good recording."""
        found = []
        if self.snr < 20:
            found.append(tr("noisy (signal to noise {snr:.0f} dB)", snr=self.snr))
        if self.clipped > 1e-4:
            found.append(tr("clipped ({clipped:.2%} of the samples)", clipped=self.clipped))
        if self.bandwidth < 5000:
            found.append(tr("narrow, as on the phone (up to {bandwidth:.0f} Hz)", bandwidth=self.bandwidth))
        if self.echo > 35:
            found.append(tr("it has an echo, as in karaoke"))
        if self.pitch_gap > 0.6:
            found.append(tr("perhaps more than one speaker"))
        return found

    def measures(self) -> dict[str, Any]:
        """The numbers, rounded, for machines."""
        return {name: round(float(value), 4) for name, value in asdict(self).items()}


def measure(samples: Samples, rate: int) -> Quality:
    """Measure a recording.

    Args:
        samples: [n], mono, in -1..1.
        rate: Hz.
    """
    low = resample(samples, rate, 16000) if rate != 16000 else samples
    frames = low[: len(low) // _FRAME * _FRAME].reshape(-1, _FRAME)
    if not len(frames):
        return Quality(len(samples) / rate, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    power = (frames.astype(np.float64) ** 2).mean(axis=1) + 1e-10
    loud, quiet = np.quantile(power, 0.95), np.quantile(power, 0.08)
    speech = power > loud * 10**-2.5
    track = pitch(low)
    return Quality(
        seconds=len(samples) / rate,
        speech_seconds=float(speech.sum()) * _FRAME / 16000 if loud > 1e-7 else 0.0,
        snr=float(min(80.0, 10 * np.log10(power[speech].mean() / quiet))),
        clipped=_clipped(samples),
        bandwidth=_bandwidth(samples, rate),
        echo=_echo(low),
        pitch_gap=_pitch_gap(low, speech),
        voiced=float((track > 0).mean()),
        steady=_steady(track),
    )


def _clipped(samples: Samples) -> float:
    """Share of samples in runs of three and more at the same extreme."""
    peak = np.abs(samples).max()
    if peak < 0.5:
        return 0.0
    at_top = np.abs(samples) > 0.995 * peak
    inner = at_top[:-2] & at_top[1:-1] & at_top[2:]
    return float(inner.mean())


def _bandwidth(samples: Samples, rate: int) -> float:
    """Highest frequency at which the loud half of the recording is less than 60 dB below its strongest band."""
    size = 1024
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    if not len(frames):
        return 0.0
    power = np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2
    loud = power[power.sum(axis=1) >= np.median(power.sum(axis=1))].mean(axis=0)
    smooth = np.convolve(loud, np.ones(9) / 9, mode="same")
    present = np.flatnonzero(smooth > smooth.max() * 1e-6)
    return float(present[-1] * rate / size) if len(present) else 0.0


def _echo(samples: Samples) -> float:
    """A copy of the signal after `t` seconds is a ripple in its log spectrum: a peak at `t` in the cepstrum."""
    if len(samples) < 16000:
        return 0.0
    spectrum = np.log(np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2 + 1e-10)
    cepstrum = np.abs(np.fft.irfft(spectrum - spectrum.mean()))[960:6400]
    return float(cepstrum.max() / (cepstrum.std() + 1e-12))


def _steady(track: NDArray[np.float64]) -> float:
    if len(track) < 20:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(track, 20)
    windows = windows[windows.min(axis=1) > 0]
    return float((np.ptp(np.log2(windows), axis=1) < 1 / 36).mean()) if len(windows) else 0.0


def _pitch_gap(samples: Samples, speech: NDArray[np.bool_]) -> float:
    """Split the pitch (log2 Hz, by autocorrelation over 40 ms) in two, and see how far the halves lie apart."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, 2 * _FRAME)[::_FRAME]
    windows = windows[speech[: len(windows)]].astype(np.float64)
    spectrum = np.fft.rfft(windows - windows.mean(axis=1, keepdims=True), n=4 * _FRAME)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :_FRAME]
    correlation /= correlation[:, :1] + 1e-9
    lags = correlation[:, 40:229]  # 400 to 70 Hz
    voiced = lags.max(axis=1) > 0.5 if len(lags) else np.zeros(0, bool)
    if voiced.sum() < 50:
        return 0.0
    pitch = np.log2(16000 / (40 + lags[voiced].argmax(axis=1)))
    # A median over half a second leaves the intonation of one speaker, and no octave errors.
    pitch = np.median(np.lib.stride_tricks.sliding_window_view(pitch, 25), axis=1)
    low, high = np.quantile(pitch, [0.1, 0.9])
    upper = pitch > (low + high) / 2
    if not 0.2 <= upper.mean() <= 0.8:
        return 0.0
    return float(np.median(pitch[upper]) - np.median(pitch[~upper]))
