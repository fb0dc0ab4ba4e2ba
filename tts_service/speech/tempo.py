"""Speech faster or slower than a model speaks well: stretched in time at the same pitch, while it streams.

The stretching itself is FFmpeg's `atempo` (waveform similarity overlap-add), which comes with PyAV.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipecat_glm_tts.extras import needs
from tts_service.engine import AudioChunk

BLOCK = 0.02
"""Seconds given to the filter at a time; it hands on a block only when the next one comes."""


def shared(speed: float, natural: tuple[float, float]) -> tuple[float, float]:
    """Share a tempo between the model and the stretching.

    Args:
        speed: What was asked for.
        natural: Slowest and fastest tempo at which the model itself is better than stretched speech.

    Returns:
        The model's tempo and the factor that remains; their product is `speed`.
    """
    slowest, fastest = natural
    own = min(max(speed, slowest), fastest)
    return own, speed / own


def stretched(chunks: Iterator[AudioChunk], factor: float) -> Iterator[AudioChunk]:
    """Speech `factor` times as fast; timings move with it.

    Chunks without samples (an engine's signs of life) pass through as they are. The whole is `factor` times shorter to
    the sample; what has gone in comes out at most 0.1 s of input later.
    """
    if factor == 1:
        yield from chunks
        return
    stretch: _Stretch | None = None
    for chunk in chunks:
        if not len(chunk.samples):
            yield chunk
            continue
        if stretch is None:
            stretch = _Stretch(factor, chunk.sample_rate)
        timings = tuple(replace(timing, seconds=timing.seconds / factor) for timing in chunk.timings)
        yield AudioChunk(stretch.push(chunk.samples), chunk.sample_rate, timings)
    if stretch is not None and len(rest := stretch.end()):
        yield AudioChunk(rest, stretch.sample_rate)


class _Stretch:
    """One stream through the filter."""

    def __init__(self, factor: float, sample_rate: int) -> None:
        with needs("files"):
            from av.filter import Graph

        self.sample_rate = sample_rate
        self._factor = factor
        self._taken = self._given = 0
        self._graph = Graph()
        source = self._graph.add_abuffer(
            format="flt", sample_rate=sample_rate, layout="mono", time_base=Fraction(1, sample_rate)
        )
        stages = 1 if factor >= 0.5 else 2  # one stage at most halves the tempo
        pace = factor ** (1 / stages)
        last = source
        for _ in range(stages):
            stage = self._graph.add("atempo", str(pace))
            last.link_to(stage)
            last = stage
        last.link_to(self._graph.add("abuffersink"))
        self._graph.configure()
        # Each stage brings its sound forward by half a window, the power of two from a 24th of a second on.
        window = 1 << (sample_rate // 24 - 1).bit_length()
        self._early = round(sum(window / 2 * pace**stage for stage in range(stages)))
        self._rest = np.zeros(self._early, np.float32)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give it samples [n] and take those that are ready."""
        from av import AudioFrame

        samples = np.concatenate([self._rest, samples])
        block = round(BLOCK * self.sample_rate)
        whole = len(samples) // block * block
        self._rest = samples[whole:]
        ready: list[NDArray[np.float32]] = []
        for start in range(0, whole, block):
            frame = AudioFrame.from_ndarray(samples[None, start : start + block], format="flt", layout="mono")
            frame.sample_rate, frame.pts = self.sample_rate, self._taken
            self._taken += block
            self._graph.push(frame)
            ready += self._pulled()
        return self._counted(ready)

    def end(self) -> NDArray[np.float32]:
        """The samples still inside. The filter may keep or add a few: the length is made right with silence."""
        length = round((self._taken + len(self._rest) - self._early) / self._factor)
        ready = [self.push(np.zeros(round(0.2 * max(1.0, self._factor) * self.sample_rate), np.float32))]
        self._graph.push(None)
        rest = np.concatenate([*ready, *self._pulled()])
        missing = length - (self._given - len(ready[0]))
        return np.pad(rest[:missing], (0, max(0, missing - len(rest))))

    def _counted(self, ready: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        out = np.concatenate(ready) if ready else np.zeros(0, np.float32)
        self._given += len(out)
        return out

    def _pulled(self) -> list[NDArray[np.float32]]:
        from av.error import BlockingIOError, EOFError

        ready: list[NDArray[np.float32]] = []
        while True:
            try:
                ready.append(self._graph.pull().to_ndarray().ravel().astype(np.float32, copy=False))
            except (BlockingIOError, EOFError):
                return ready
