"""English words inside Mandarin: said as a native speaker of English says them, in the voice of who speaks.

The front runs once more in the style of that speaker, and the English stretches of the sentence are taken from there:
sounds, stress and tempo. The generator goes a little towards the same timbre while it says them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tts_service.kokoro.voice import VOICED

Affines = tuple[NDArray[np.float32], NDArray[np.float32]]
ENGLISH_TEMPO = 0.7
"""Of English words inside Mandarin: that fast as whom it leans on would say them."""
ENGLISH_TIMBRE = np.float32(0.4)
"""How far the generator goes towards the timbre of whom it leans on for them: the further, the more often the words are
understood, and the less it is the same person."""
ENGLISH_PAUSE = 3
"""Silence before and after them, in units of two frames."""
SILENT = 3
"""A frame that never sounds: the model is silent for 0.4 s at first."""
FADE = 3
"""Frames in which it goes there and back."""


@dataclass(frozen=True, slots=True)
class Front:
    """What the front tells of an utterance."""

    frames: NDArray[np.float32]
    """[512, n], 80 a second."""
    pitch: NDArray[np.float32]
    """Hz, [n]."""
    energy: NDArray[np.float32]
    """Logarithmic, [n]."""
    durations: NDArray[np.int64]
    """Of the tokens [T], in units of two frames."""

    def with_stretches(self, other: Front, tokens: NDArray[np.bool_], pauses: NDArray[np.int64]) -> Front:
        """This one, but for the tokens [T] that are marked: those as the other one says them, at this one's height.

        Args:
            other: The same tokens, said otherwise.
            tokens: Those to be taken from there.
            pauses: Silence [T] to be added to those that begin or end a stretch, at its outer end, as `durations`.
        """
        heights = [one.pitch[one.pitch > VOICED] for one in (self, other)]
        height = np.median(heights[0]) / np.median(heights[1]) if all(map(len, heights)) else 1.0
        lifted = np.where(other.pitch > VOICED, other.pitch * height, other.pitch)
        both = [
            np.concatenate(pair, axis=-1)
            for pair in ((self.frames, other.frames), (self.pitch, lifted), (self.energy, other.energy))
        ]
        ends, others = (2 * np.append(0, np.cumsum(one.durations)) for one in (self, other))
        others += len(self.pitch)
        durations, parts = np.where(tokens, other.durations, self.durations), []
        for marked, run_of in itertools.groupby(range(len(tokens)), key=lambda i: bool(tokens[i])):
            group = list(run_of)
            at = others if marked else ends
            stretch = np.arange(at[group[0]], at[group[-1] + 1])
            if marked:
                before, after = (np.full(2 * pauses[end], SILENT) for end in (group[0], group[-1]))
                stretch = np.concatenate([before, stretch, after])
                durations[group[0]] += pauses[group[0]]
                durations[group[-1]] += pauses[group[-1]]
            parts.append(stretch)
        frames, pitch, energy = (one[..., np.concatenate(parts)] for one in both)
        return Front(frames, pitch.astype(np.float32), energy, durations)

    def shares(self, tokens: NDArray[np.bool_]) -> NDArray[np.float32]:
        """How much of every frame [n] belongs to the tokens [T] that are marked, 0 to 1, with a gradual change."""
        marked = np.repeat(tokens, 2 * self.durations)
        return np.convolve(marked, np.full(FADE, 1 / FADE, np.float32), "same").astype(np.float32)


@dataclass(frozen=True, slots=True)
class English:
    """An utterance with its English words as they are to be said inside Mandarin."""

    front: Front
    share: NDArray[np.float32]
    """Of English in every frame, [n]."""
    affines: Affines
    """With which the generator says those."""
