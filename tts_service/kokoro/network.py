"""Running the network: the front once per utterance, the generator for any stretch of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError, StopSignal
from tts_service.kokoro.forecast import Forecast, summary
from tts_service.kokoro.graphs.front import DURATIONS, ENERGY, FRAMES, PITCH
from tts_service.kokoro.voice import FRAME, VOICED, KokoroVoice, Styling

CONTEXT, INNER_CONTEXT = 4, 1
"""Frames on either side that the 800 Hz and the 4,800 Hz stage compute beside those that are asked for."""
ENGLISH_TEMPO = 0.6
"""Of English words inside Mandarin: that fast as whom it leans on would say them."""
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

    def with_stretches(self, other: Front, tokens: NDArray[np.bool_]) -> Front:
        """This one, but for the tokens [T] that are marked: those as the other one says them, at this one's height."""
        ends, others = (2 * np.append(0, np.cumsum(one.durations)) for one in (self, other))
        heights = [one.pitch[one.pitch > VOICED] for one in (self, other)]
        height = np.median(heights[0]) / np.median(heights[1]) if all(map(len, heights)) else 1.0
        parts = []
        for marked, run_of in itertools.groupby(range(len(tokens)), key=lambda i: bool(tokens[i])):
            group = list(run_of)
            source, at = (other, others) if marked else (self, ends)
            stretch = slice(at[group[0]], at[group[-1] + 1])
            pitch = source.pitch[stretch]
            lifted = np.where(pitch > VOICED, pitch * height, pitch) if marked else pitch
            parts.append((source.frames[:, stretch], lifted.astype(np.float32), source.energy[stretch]))
        frames, pitches, energies = zip(*parts, strict=True)
        durations = np.where(tokens, other.durations, self.durations)
        return Front(np.concatenate(frames, axis=1), np.concatenate(pitches), np.concatenate(energies), durations)


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
        style, tempo, own = voice.style(len(tokens) - 2), speed * voice.rate, voice.normalisation
        front = self._run_front(tokens, style, tempo, should_stop)
        affines = self.styling.affines(style, own.statistics + self.forecast(summary(front.frames) - own.summary))
        leaning = voice.english_style(len(tokens) - 2) if english is not None and english.any() else None
        if english is None or leaning is None:
            return _StreamingUtterance(self, voice, affines, front)

        def lean(should_stop: StopSignal) -> Front:
            other = self._run_front(tokens, leaning, tempo * ENGLISH_TEMPO, should_stop)
            return front.with_stretches(other, english)

        return _StreamingUtterance(self, voice, affines, front, lean, int(np.argmax(english)))

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
        affines: tuple[NDArray[np.float32], NDArray[np.float32]],
        front: Front,
        lean: Callable[[StopSignal], Front] | None = None,
        english: int = 0,
    ) -> None:
        self._network = network
        self._gain = np.float32(voice.normalisation.gain)
        self._affines = affines
        self._lean = lean
        """The front with English as it is to be said, from the token `english` on; None when that is decided."""
        self._settled = 2 * int(front.durations[:english].sum()) - REACH
        self._take(front)

    def _take(self, front: Front) -> None:
        self._frames = np.ascontiguousarray(front.frames.T)
        self._source = np.pad(self._network.styling.source(front.pitch), 10, mode="reflect")
        self.durations = front.durations
        self.audible, self.onsets = audible(front.energy), _onsets(front.energy)

    def settle(self, end: int, should_stop: StopSignal) -> bool:
        if self._lean is None or end <= self._settled:
            return False
        self._take(self._lean(should_stop))
        self._lean = None
        return True

    def samples(self, start: int, end: int, should_stop: StopSignal) -> NDArray[np.float32]:
        parts = max(1, min(self._network.threads, (end - start) // SHORTEST))
        bounds = [start + (end - start) * i // parts for i in range(parts + 1)]
        stretches = list(itertools.pairwise(bounds))
        others = [self._network.others.submit(self._stretch, *each, should_stop) for each in stretches[1:]]
        try:
            first = self._stretch(*stretches[0], should_stop)
        finally:
            wait(others)
        return np.concatenate([first, *(other.result() for other in others)])

    def _stretch(self, start: int, end: int, should_stop: StopSignal) -> NDArray[np.float32]:
        count = len(self._frames)
        inner = max(0, start - INNER_CONTEXT), min(count, end + INNER_CONTEXT)
        outer = max(0, inner[0] - CONTEXT), min(count, inner[1] + CONTEXT)
        feeds = {
            "frames": self._frames[outer[0] : outer[1]],
            "source": self._source[FRAME * outer[0] : FRAME * outer[1] + 20],
            "inner": np.array(inner, np.int64) - outer[0],
            "affine0": self._affines[0],
            "affine1": self._affines[1],
        }
        audio = run(self._network.generator, ["audio"], feeds, should_stop)[0]
        return audio[FRAME * (start - inner[0]) : FRAME * (end - inner[0])] * self._gain


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
