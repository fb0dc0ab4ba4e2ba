"""Voice matching: from a recording to a style table for the embedded engine.

The model's style was trained on its own speakers. Here it is moved until the model sounds like somebody else: prosody
first (pitch, its range, energy), which the front tells without rendering; then timbre, by rendering a few sentences,
listening, and asking `Response` where to go next. It comes near a voice and does not clone it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2p.encode.kokoro import encode
from g2p.frontend import analyze
from pipecat_glm_tts.wording import tr
from tts_service.audio import resample
from tts_service.kokoro.cast import FORMER, style_table
from tts_service.kokoro.matching.manner import Manner
from tts_service.kokoro.matching.response import TIMBRE, Heard, Response
from tts_service.kokoro.matching.speaker import SAMPLE_RATE, SpeakerEncoder
from tts_service.kokoro.model import cache_directory
from tts_service.kokoro.rendering import Renderer, Rendering
from tts_service.kokoro.symbols import Piece
from tts_service.kokoro.voice import SAMPLE_RATE as MODEL_RATE
from tts_service.kokoro.voice import VOICED, style_row

BASES = tuple(sorted(FORMER.values()))
"""Tables that a match starts from, in the order of `Response`."""
PROBES = ("明天有雨，出门带伞。", "我们坐地铁去比较快。", "Thank you for calling, good night.")
"""What a candidate says to be compared: two seconds each, both languages."""
ROUNDS = 6
PULL, COLOUR, DOUBT = 0.02, 0.02, 0.05
"""Weights of the distance from the packaged voice, of the colour and of the doubt beside the cosine; see `propose`."""
RANGE = (0.25, 1.3)
"""Octaves of pitch range that can be asked for; beyond lie creaks and wrong octaves."""
PITCH_SHIFT, ENERGY_RATIO = 0.7, (0.8, 1.25)
"""Most octaves and the ratios that pitch and energy range are moved by."""
RATE, PAUSE = (0.8, 1.25), (0.5, 2.0)
"""Limits of the tempo and pause factors."""
USUAL_PAUSE = 0.3
"""Seconds between the clauses of somebody who reads calmly."""

Progress = Callable[[str, float], None]
Style = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Match:
    """A voice made for a recording."""

    base: str
    """The packaged table that it starts from."""
    delta: NDArray[np.float32]
    """[256], added to every row of that table."""
    rate: float
    """Tempo factor."""
    pause: float
    """Factor of the silences between clauses."""
    before: float
    """Similarity of the nearest packaged voice to the recordings, by the cosine of `SpeakerEncoder`."""
    after: float
    """Similarity of this voice, on the sentences it was made with."""

    @property
    def styles(self) -> NDArray[np.float32]:
        """The style table [rows, 256]."""
        return style_table(self.base) + self.delta


class Matcher:
    """Fits styles to recordings.

    Args:
        renderer: Speaks in any style.
        encoder: Tells speakers apart.
        rounds: Renderings of every probe.
    """

    def __init__(self, renderer: Renderer, encoder: SpeakerEncoder, rounds: int = ROUNDS) -> None:
        self.renderer = renderer
        self._encoder = encoder
        self._rounds = rounds
        self._probes = [tokens_of(text) for text in PROBES]
        self._centre, self.unit = style_spread()

    @classmethod
    def load(cls, cache_dir: Path | None = None, threads: int = 1, rounds: int = ROUNDS) -> Matcher:
        """With the packaged model; the first time, prepare it in the cache. See `KokoroEngine.load`."""
        return cls(Renderer(cache_directory(cache_dir), threads), SpeakerEncoder(), rounds)

    def match(self, recordings: Sequence[NDArray[np.float32]], progress: Progress) -> Match:
        """Fit a style.

        Args:
            recordings: Of one person, each [n] mono at 16 kHz.
            progress: Told what is being done and how far it is, 0 to 1.
        """
        progress(tr("listening to the recording"), 0.0)
        wanted = self.hear(recordings)
        manners = [Manner.of(samples) for samples in recordings]
        response = Response.load()
        likeness = response.packaged @ wanted.embedding
        # Near in timbre, but above all in pitch, which is hard to move far.
        distance = np.abs(response.pitches - np.median([manner.pitch for manner in manners]))
        chosen = int(np.argmax(likeness - 0.3 * distance))
        base = BASES[chosen]
        table = style_table(base)
        progress(tr("matching pitch and energy"), 0.1)
        louder = float(np.median([manner.dynamics for manner in manners]) / response.dynamics[chosen])
        prosody = self._prosody(table, manners, louder, response.prosody[chosen])
        pitch = prosody_features(self.curves(table, prosody))[0]

        start = (self._middle_row(table) - self._centre)[:TIMBRE] / self.unit[:TIMBRE]
        best: tuple[float, Style, list[NDArray[np.float32]]] | None = None
        for i in range(self._rounds):
            progress(tr("matching the timbre"), 0.2 + 0.8 * i / self._rounds)
            z = response.propose(wanted, start, pitch, pull=PULL, colour=COLOUR, doubt=DOUBT)
            delta = np.concatenate([(z - start) * self.unit[:TIMBRE], prosody])
            heard, renderings = self.probe(table, delta)
            similarity = float(heard.embedding @ wanted.embedding)
            if best is None or similarity > best[0]:
                best = similarity, delta, renderings
            response.observe(z, pitch, heard)
        assert best is not None
        after, delta, renderings = best
        ours = Manner.of(np.concatenate(renderings))
        rate = float(np.clip(np.median([m.rate for m in manners]) / ours.rate, *RATE))
        pauses = [m.pause for m in manners if m.pause]
        pause = float(np.clip(np.median(pauses) / USUAL_PAUSE, *PAUSE)) if pauses else 1.0
        progress(tr("matched"), 1.0)
        return Match(base, delta.astype(np.float32), rate, pause, float(likeness.max()), after)

    def weakened(self, match: Match, share: float, recordings: Sequence[NDArray[np.float32]]) -> Match:
        """Only that share of the way from the packaged voice to a match."""
        delta = match.delta * np.float32(share)
        heard, _ = self.probe(style_table(match.base), delta)
        return replace(match, delta=delta, after=float(heard.embedding @ self.hear(recordings).embedding))

    def say(self, tokens: NDArray[np.int64], base: str, delta: NDArray) -> Rendering:
        """Tokens in a packaged table moved by delta [256]."""
        return self.renderer.render(tokens, _moved(style_table(base), tokens, delta))

    def probe(self, table: NDArray[np.float32], delta: NDArray) -> tuple[Heard, list[NDArray[np.float32]]]:
        """What is heard in a table [rows, 256] moved by delta [256], and the probes themselves, each [n] at 16 kHz."""
        said = [at_16k(self.renderer.render(tokens, _moved(table, tokens, delta))) for tokens in self._probes]
        return self.hear(said), said

    def hear(self, recordings: Sequence[NDArray[np.float32]]) -> Heard:
        """The mean of several recordings, each [n] at 16 kHz."""
        embedding = np.mean([self._encoder.embed(samples) for samples in recordings], axis=0)
        colour = np.mean([Manner.of(samples).colour for samples in recordings], axis=0)
        return Heard(embedding / np.linalg.norm(embedding), colour)

    def _prosody(
        self, table: NDArray[np.float32], manners: Sequence[Manner], louder: float, directions: Style
    ) -> Style:
        """The change of the prosody half [128] that brings pitch, range and energy to those of the recordings.

        Args:
            table: Of the packaged voice, [rows, 256].
            manners: Of the recordings.
            louder: How many times wider their range of loudness is than the packaged voice's.
            directions: [3, 128], see `Response`.
        """
        delta = np.zeros(256 - TIMBRE)
        found = prosody_features(self.curves(table, delta))
        wanted = np.array(
            [
                np.clip(
                    np.median([manner.pitch for manner in manners]), found[0] - PITCH_SHIFT, found[0] + PITCH_SHIFT
                ),
                np.clip(np.median([manner.range for manner in manners]), *RANGE),
                found[2] * np.clip(louder, *ENERGY_RATIO),
            ]
        )
        slopes = np.eye(3)  # of the features along the directions, corrected after every step (Broyden 1965)
        for _ in range(4):
            step = np.linalg.solve(slopes, wanted - found)
            step *= min(1.0, 0.5 / np.abs(step[:2]).max())
            delta = delta + step @ directions * self.unit[TIMBRE:]
            previous, found = found, prosody_features(self.curves(table, delta))
            slopes += np.outer(found - previous - slopes @ step, step) / (step @ step)
        return delta

    def curves(self, table: NDArray[np.float32], prosody: Style) -> NDArray[np.float32]:
        """Pitch in Hz and energy, [2, frames], of the probes in a table whose prosody half is moved by [128]."""
        delta = np.concatenate([np.zeros(TIMBRE), prosody])
        spoken = [self.renderer.prosody(tokens, _moved(table, tokens, delta)) for tokens in self._probes]
        return np.stack([np.concatenate([s.pitch for s in spoken]), np.concatenate([s.energy for s in spoken])])

    def _middle_row(self, table: NDArray[np.float32]) -> Style:
        return np.mean([style_row(table, len(tokens) - 2) for tokens in self._probes], axis=0).astype(np.float64)


def tokens_of(text: str) -> NDArray[np.int64]:
    """A short sentence as the model's tokens, pads included."""
    symbols = encode(analyze(text))
    return Piece(symbols.text, symbols.tokens).tokens()


@lru_cache(maxsize=1)
def style_spread() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation [256] of all rows of the packaged voices: the origin and unit of timbres."""
    rows = np.concatenate([style_table(name) for name in BASES]).astype(np.float64)
    return rows.mean(axis=0), rows.std(axis=0)


def prosody_features(curves: NDArray[np.float32]) -> NDArray[np.float64]:
    """Median and range of the pitch in octaves, and range of the energy, of curves [2, n] of pitch in Hz and energy."""
    voiced = curves[0] > VOICED
    octaves = np.log2(curves[0][voiced]) if voiced.any() else np.full(1, 7.5)
    low, middle, high = np.quantile(octaves, [0.1, 0.5, 0.9])
    return np.array([middle, high - low, np.subtract(*np.quantile(curves[1], [0.9, 0.2]))])


def _moved(table: NDArray[np.float32], tokens: NDArray[np.int64], delta: NDArray) -> NDArray[np.float32]:
    return (style_row(table, len(tokens) - 2) + delta).astype(np.float32)


def at_16k(rendering: Rendering) -> NDArray[np.float32]:
    """Its samples [n] at the rate of `SpeakerEncoder` and Whisper."""
    return resample(rendering.samples, MODEL_RATE, SAMPLE_RATE)
