"""Running the network: the front once per utterance, the generator for any stretch of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError, StopSignal
from tts_service.kokoro.forecast import Forecast, summary
from tts_service.kokoro.graphs.front import DURATIONS, ENERGY, FRAMES, PITCH
from tts_service.kokoro.mixing import ENGLISH_PAUSE, ENGLISH_TEMPO, ENGLISH_TIMBRE, Affines, English, Front
from tts_service.kokoro.symbols import VOCABULARY
from tts_service.kokoro.voice import FRAME, KokoroVoice, Styling

CONTEXT, INNER_CONTEXT = 4, 1
"""Frames on either side that the 800 Hz and the 4,800 Hz stage compute beside those that are asked for."""
REACH = CONTEXT + INNER_CONTEXT + 1
"""Frames that samples look ahead; one more, as the source is drawn from the middle of a frame to the next."""
SHORTEST = 6
"""Frames that a core of its own is worth."""


class Stopped(Exception):
    """The stop signal ended a computation."""


class Utterance(Protocol):
    """One utterance on its way through the network."""

    durations: NDArray[np.int64]
    """Length of each token, the leading and trailing pad included, in units of two frames; [T]."""
    audible: tuple[int, int]
    """The first frame that can be heard and one past the last."""
    onsets: NDArray[np.int64]
    """The frames at which sound sets in after silence."""

    def settle(self, end: int, should_stop: StopSignal) -> bool:
        """Decide what is said before the frame `end`, so that samples can be asked for as far as that.

        Returns:
            Whether durations, onsets and the last audible frame have changed, never before what was settled already.

        Raises:
            Stopped: The signal was set.
        """
        ...

    def samples(self, start: int, end: int, should_stop: StopSignal) -> NDArray[np.float32]:
        """The audio of the frames [start, end), float32 [300 x (end - start)].

        Raises:
            Stopped: The signal was set.
        """
        ...


class Network(Protocol):
    """The model behind the engine."""

    def begin(
        self,
        tokens: NDArray[np.int64],
        voice: KokoroVoice,
        speed: float,
        should_stop: StopSignal,
        english: NDArray[np.bool_] | None = None,
    ) -> Utterance:
        """Start an utterance of `tokens` [T], pads included; those that are English inside Mandarin are marked.

        Raises:
            Stopped: The signal was set.
        """
        ...


class StreamingNetwork:
    """The derived graphs: first audio after the front and one small chunk.

    Args:
        front: Session of the derived front.
        generator: Session of the derived generator.
        styling: The generator's style projections.
        forecast: How statistics follow from frames; None for the packaged one.
        threads: Stretches that the generator computes at once, each alone on its core. That is a quarter faster than
            to share every operator, after each of which the cores would have to wait for one another.
    """

    def __init__(
        self,
        front: ort.InferenceSession,
        generator: ort.InferenceSession,
        styling: Styling,
        forecast: Forecast | None = None,
        threads: int = 1,
    ) -> None:
        self._front = front
        self.generator = generator
        self.styling = styling
        self.forecast = forecast or Forecast.load()
        self.threads = threads
        self.others = ThreadPoolExecutor(max(1, threads - 1), "kokoro")

    def begin(
        self,
        tokens: NDArray[np.int64],
        voice: KokoroVoice,
        speed: float,
        should_stop: StopSignal,
        english: NDArray[np.bool_] | None = None,
    ) -> Utterance:
        """Run the front; once more, as late as can be, for English inside Mandarin if the voice leans on somebody."""
        style, tempo = voice.style(len(tokens) - 2), speed * voice.rate
        front = self._run_front(tokens, style, tempo, should_stop)
        statistics = self._statistics(voice, front)
        affines = self.styling.affines(style, statistics)
        model = voice.english
        if model is None or english is None or not english.any():
            return _StreamingUtterance(self, voice, affines, front)

        def lean(should_stop: StopSignal) -> English:
            theirs = model.style(len(tokens) - 2)
            other = self._run_front(tokens, theirs, tempo * ENGLISH_TEMPO, should_stop)
            towards = ENGLISH_TIMBRE * (self._statistics(model, other) - statistics)
            affines = self.styling.affines(style + ENGLISH_TIMBRE * (theirs - style), statistics + towards)
            mixed = front.with_stretches(other, english, ENGLISH_PAUSE * (tokens == VOCABULARY[" "]))
            return English(mixed, mixed.shares(english), affines)

        return _StreamingUtterance(self, voice, affines, front, lean, int(np.argmax(english)))

    def _statistics(self, voice: KokoroVoice, front: Front) -> NDArray[np.float32]:
        own = voice.normalisation
        return own.statistics + self.forecast(summary(front.frames) - own.summary)

    def _run_front(
        self, tokens: NDArray[np.int64], style: NDArray[np.float32], speed: float, should_stop: StopSignal
    ) -> Front:
        feeds = {"tokens": tokens[None], "style": style[None], "speed": np.array([speed], np.float32)}
        frames, pitch, energy, durations = run(self._front, [FRAMES, PITCH, ENERGY, DURATIONS], feeds, should_stop)
        return Front(frames[0], pitch[0], energy[0], durations)


class _StreamingUtterance:
    durations: NDArray[np.int64]
    audible: tuple[int, int]
    onsets: NDArray[np.int64]

    def __init__(
        self,
        network: StreamingNetwork,
        voice: KokoroVoice,
        affines: Affines,
        front: Front,
        lean: Callable[[StopSignal], English] | None = None,
        english: int = 0,
    ) -> None:
        self._network = network
        self._gain = np.float32(voice.normalisation.gain)
        self._affines = [affines]
        self._lean = lean
        """English as it is to be said, from the token `english` on; None when that is decided."""
        self._settled = 2 * int(front.durations[:english].sum()) - REACH
        self._share: NDArray[np.float32] | None = None
        """Of English in every sample; None: there is none."""
        self._take(front)

    def _take(self, front: Front) -> None:
        self._frames = np.ascontiguousarray(front.frames.T)
        self._source = np.pad(self._network.styling.source(front.pitch), 10, mode="reflect")
        self.durations = front.durations
        self.audible, self.onsets = audible(front.energy), _onsets(front.energy)

    def settle(self, end: int, should_stop: StopSignal) -> bool:
        if self._lean is None or end <= self._settled:
            return False
        english = self._lean(should_stop)
        self._take(english.front)
        count = len(english.share)
        at = np.arange(FRAME * count, dtype=np.float32) / FRAME
        self._share = np.interp(at, np.arange(count) + 0.5, english.share).astype(np.float32)
        self._affines.append(english.affines)
        self._lean = None
        return True

    def samples(self, start: int, end: int, should_stop: StopSignal) -> NDArray[np.float32]:
        if self._share is None:
            return self._sounding(0, start, end, should_stop)
        share = self._share[FRAME * start : FRAME * end]
        samples = np.zeros(len(share), np.float32)
        for which, weights in enumerate((1 - share, share)):
            needed = np.asarray(weights.reshape(-1, FRAME).any(axis=1))
            for begin, stop in _runs(needed):
                part = slice(FRAME * begin, FRAME * stop)
                samples[part] += weights[part] * self._sounding(which, start + begin, start + stop, should_stop)
        return samples

    def _sounding(self, which: int, start: int, end: int, should_stop: StopSignal) -> NDArray[np.float32]:
        """The frames [start, end) with the affines of that number, on as many cores as they are worth."""
        parts = max(1, min(self._network.threads, (end - start) // SHORTEST))
        bounds = [start + (end - start) * i // parts for i in range(parts + 1)]
        stretches = list(itertools.pairwise(bounds))
        affines = self._affines[which]
        others = [self._network.others.submit(self._stretch, affines, *each, should_stop) for each in stretches[1:]]
        try:
            first = self._stretch(affines, *stretches[0], should_stop)
        finally:
            wait(others)
        return np.concatenate([first, *(other.result() for other in others)])

    def _stretch(self, affines: Affines, start: int, end: int, should_stop: StopSignal) -> NDArray[np.float32]:
        count = len(self._frames)
        inner = max(0, start - INNER_CONTEXT), min(count, end + INNER_CONTEXT)
        outer = max(0, inner[0] - CONTEXT), min(count, inner[1] + CONTEXT)
        feeds = {
            "frames": self._frames[outer[0] : outer[1]],
            "source": self._source[FRAME * outer[0] : FRAME * outer[1] + 20],
            "inner": np.array(inner, np.int64) - outer[0],
            "affine0": affines[0],
            "affine1": affines[1],
        }
        audio = run(self._network.generator, ["audio"], feeds, should_stop)[0]
        return audio[FRAME * (start - inner[0]) : FRAME * (end - inner[0])] * self._gain


def _runs(needed: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where values are true: begin, and one past the end, of every run."""
    edges = np.flatnonzero(np.diff(needed, prepend=False, append=False))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


class WholeNetwork:
    """The stock graph, whole: the reference of tests and benchmarks. It leans on nobody for English words."""

    def __init__(self, stock: ort.InferenceSession) -> None:
        self._stock = stock

    def begin(
        self,
        tokens: NDArray[np.int64],
        voice: KokoroVoice,
        speed: float,
        should_stop: StopSignal,
        english: NDArray[np.bool_] | None = None,
    ) -> Utterance:
        """Compute everything."""
        feeds = {
            "tokens": tokens[None],
            "style": voice.style(len(tokens) - 2)[None],
            "speed": np.array([speed * voice.rate], np.float32),
        }
        audio, energy, durations = run(self._stock, ["audio", ENERGY, DURATIONS], feeds, should_stop)
        audio = audio.ravel() * np.float32(voice.normalisation.gain)
        return _WholeUtterance(audio, durations, audible(energy[0]), _onsets(energy[0]))


class _WholeUtterance:
    def __init__(
        self,
        audio: NDArray[np.float32],
        durations: NDArray[np.int64],
        audible: tuple[int, int],
        onsets: NDArray[np.int64],
    ) -> None:
        self.durations = durations
        self.audible = audible
        self.onsets = onsets
        self._audio = audio

    def settle(self, end: int, should_stop: StopSignal) -> bool:
        return False

    def samples(self, start: int, end: int, should_stop: StopSignal) -> NDArray[np.float32]:
        if should_stop():
            raise Stopped
        return self._audio[FRAME * start : FRAME * end]


def audible(energy: NDArray[np.float32]) -> tuple[int, int]:
    """The first frame of an energy curve [n] that can be heard, and one past the last."""
    frames = np.flatnonzero(energy > 0)
    return (int(frames[0]), int(frames[-1]) + 1) if len(frames) else (0, len(energy))


def _onsets(energy: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.flatnonzero(np.diff(energy > 0, prepend=False) & (energy > 0))


def open_session(model: Path | bytes, threads: int) -> ort.InferenceSession:
    """An ONNX Runtime session on the CPU for a path or serialized model.

    `threads` cores share every operator. Waiting threads spin while a run lasts, so that they are there for the next
    operator, and sleep as soon as it ends: spinning on, as they do by default, they would burn the cores that the
    generator, recognition and the transport need.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # With ARM's own kernels (KleidiAI, 1.32) symbols last 0.6 s or not at all, in an emulator at least.
    options.add_session_config_entry("mlas.disable_kleidiai", "1")
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(
    session: ort.InferenceSession, outputs: list[str], feeds: Mapping[str, object], should_stop: StopSignal
) -> list[NDArray]:
    """Run a session; the stop signal ends it between two operators.

    Raises:
        Stopped: The signal was set.
        SpeechError: The runtime failed.
    """
    options = ort.RunOptions()
    try:
        with should_stop.listening(lambda: setattr(options, "terminate", True)):
            return session.run(outputs, feeds, options)
    except Exception as error:
        if should_stop():
            raise Stopped from error
        raise SpeechError(tr("ONNX Runtime failed: {error}", error=error)) from error
