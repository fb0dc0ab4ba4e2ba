"""Who is speaking, as 256 numbers: the GE2E speaker embedding (Wan et al. 2018) with Resemblyzer's weights.

Two recordings of one person point in nearly the same direction; the cosine between them is the similarity that voice
matching raises and reports.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from tts_service.kokoro.network import open_session

SAMPLE_RATE = 16000
WINDOW, HOP, BANDS = 400, 160, 40
PARTIAL = 160
"""Frames that the network looks at in one piece: 1.6 s."""
STEP, CLOSE = 77, 20
"""Frames between the beginnings of two pieces: as is usual, and where a sentence of two seconds is to tell who speaks,
of which the usual step would hear one piece or two."""
LOUDNESS = 10 ** (-30 / 20)
"""Root mean square that quieter recordings are brought to."""
LONGEST_PAUSE = 21
"""Frames of silence that are kept, as the network was trained without pauses."""


class SpeakerEncoder:
    """The network. One thread: a recording of ten seconds takes a twentieth of a second."""

    def __init__(self) -> None:
        self._session = open_session(files(__package__).joinpath("speaker.onnx").read_bytes(), 1)

    def embed(self, samples: NDArray[np.float32], step: int = STEP) -> NDArray[np.float32]:
        """The embedding of a recording, [256], of length one and nowhere negative.

        Args:
            samples: [n] mono at 16 kHz, with at least a syllable of speech.
            step: Frames between the beginnings of the pieces that are looked at.
        """
        mean = self._session.run(None, {"mel": partials(mel(without_pauses(samples)), step)})[0].mean(axis=0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)


def mel(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel power spectrum [1 + n // 160, 40], not a logarithm, as librosa computes it with its defaults."""
    padded = np.pad(samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
    return (power @ mel_filters().T).astype(np.float32)


def mel_filters() -> NDArray[np.float64]:
    """Triangles [40, 201] of equal area on Slaney's scale: linear below 1 kHz, logarithmic above."""
    step, knee, ratio = 200 / 3, 1000.0, np.log(6.4) / 27
    highest = knee / step + np.log(SAMPLE_RATE / 2 / knee) / ratio
    mels = np.linspace(0, highest, BANDS + 2)
    edges = np.where(mels < knee / step, mels * step, knee * np.exp(ratio * (mels - knee / step)))
    frequencies = np.arange(WINDOW // 2 + 1) * SAMPLE_RATE / WINDOW
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def partials(spectrum: NDArray[np.float32], step: int = STEP) -> NDArray[np.float32]:
    """Overlapping pieces [n, 160, 40]; the last is filled up with silence, or left out if a quarter is missing."""
    begins = [0, *(i for i in range(step, len(spectrum) - PARTIAL // 4, step) if i + 0.75 * PARTIAL <= len(spectrum))]
    padded = np.pad(spectrum, ((0, PARTIAL), (0, 0)))
    return np.stack([padded[i : i + PARTIAL] for i in begins])


def speech_frames(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which stretches of 10 ms are louder than the pauses, [n // 160]."""
    frames = samples[: len(samples) // HOP * HOP].reshape(-1, HOP).astype(np.float64)
    level = 10 * np.log10((frames**2).mean(axis=1) + 1e-10)
    smooth = np.convolve(np.pad(level, 2, mode="edge"), np.ones(5) / 5, mode="valid")
    loud, quiet = np.quantile(smooth, [0.95, 0.05])
    # Midway between noise and speech where the noise is near, 35 dB below the speech where it is far.
    return smooth > max(loud - 35, quiet + 0.4 * (loud - quiet) if loud - quiet < 40 else loud - 35)


def without_pauses(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring a recording to a common loudness and shorten its silences to a fifth of a second."""
    loudness = np.sqrt(np.mean(np.square(samples, dtype=np.float64))) + 1e-9
    scaled = samples * np.float32(max(1.0, LOUDNESS / loudness))
    speech = speech_frames(samples)
    near = np.convolve(speech, np.ones(LONGEST_PAUSE), mode="same") > 0
    kept = scaled[: len(near) * HOP].reshape(-1, HOP)[near]
    return kept.ravel() if len(kept) else scaled
