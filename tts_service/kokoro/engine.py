"""The Kokoro engine: a pronunciation in, 24 kHz speech out, chunk by chunk."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from g2p.encode.kokoro import encode
from g2p.pronunciation import Pronunciation
from pipecat_glm_tts.wording import tr
from tts_service.cache import cache_directory
from tts_service.engine import (
    AudioChunk,
    CharTiming,
    Phrasing,
    SpeechError,
    StopSignal,
    SynthesisOptions,
    UnknownVoice,
    Voice,
)
from tts_service.kokoro.cast import Packaged, packaged_voices
from tts_service.kokoro.derived import derive
from tts_service.kokoro.graphs.front import DURATIONS, ENERGY
from tts_service.kokoro.matching.voices import matched, matched_voices
from tts_service.kokoro.model import MODEL_VARIABLE, model_file
from tts_service.kokoro.network import Network, Stopped, StreamingNetwork, Utterance, WholeNetwork, open_session
from tts_service.kokoro.symbols import MARKS, Piece, pieces
from tts_service.kokoro.voice import FRAME, SAMPLE_RATE, KokoroVoice, Styling
from tts_service.voices.library import Library

CHUNKS = (16, 24, 32, 48, 64, 80)
"""Frames a chunk, the last repeated: a small first one, and each ready before those ahead of it have been played."""
PREROLL, TAIL = 3, 4
"""Frames kept around what can be heard of a piece; the model itself adds about 0.4 s of silence at either end."""
FIRST_PREROLL = 1
"""Likewise before the first piece, which somebody waits for."""
PAUSES = {",": 0.1, ":": 0.14, ";": 0.2, "—": 0.14, "…": 0.3, ".": 0.32, "!": 0.32, "?": 0.32, "": 0.0}
"""Seconds of silence between two pieces by the mark that ends the first, beside tail and pre-roll."""
PARAGRAPH_PAUSE = 0.65
LEAD = 0.03
"""Seconds by which the sound of a symbol begins before the boundary that the durations give."""
REACH = 0.1
"""Seconds around the boundary in which the sound after a pause sets in, by the model's own energy curve."""
RISE = 0.01
"""Seconds from there until it is loud enough to be heard."""
FADE_IN, FADE_OUT = 120, 480
"""Samples."""
KNEE, CEILING = 0.85, 0.95
"""Where the limiter begins, and what nothing exceeds: the model goes beyond full scale now and then, in some voices
more than in others, and MP3 and Opus need room above the samples."""


class KokoroEngine:
    """Kokoro-82M on the CPU. One engine serves many utterances, one step at a time.

    Front and generator are two sessions that never compute at once. In the front `threads` cores share every operator;
    the generator computes as many stretches of a chunk, each on its own core. Their threads sleep between steps. Two
    bring the first sound a third sooner than one; one suffices to speak in a fifth of real time on a CPU with VNNI
    instructions, two fifths without. ONNX Runtime's default, all cores and spinning, would take the rest of the cores
    from recognition and transport.
    """

    name = "kokoro"
    sample_rate = SAMPLE_RATE
    phrasing = Phrasing()
    tempi = (0.9, 1.2)

    def __init__(self, network: Network, voices: Mapping[str, KokoroVoice], library: Library | None = None) -> None:
        self._network = network
        self._voices = voices
        self._packaged = packaged_voices()
        self._library = library

    @classmethod
    def load(
        cls,
        *,
        cache_dir: Path | None = None,
        model: Path | None = None,
        voices: Path | None = None,
        threads: int | None = None,
        whole: bool = False,
        progress: Callable[[str, float], None] | None = None,
    ) -> KokoroEngine:
        """Open the model; the first time, prepare it in the cache.

        Args:
            cache_dir: Where prepared files live; default `GLM_TTS_CACHE`, else the user's cache folder.
            model: A local copy of the model (an `.onnx` file or a folder with it), not the packages; default
                `GLM_TTS_KOKORO_MODEL`.
            voices: The voice library, for the voices in it that have been matched for this engine; None for the
                user's own.
            threads: Cores that one computation may use. The default is two, or one on a single core: the second
                shortens the wait for the first sound, a third would bring little and take from recognition.
            whole: Speak with the stock model, every piece computed whole: the reference, slow to answer.
            progress: Told what is being done and how far it is, 0 to 1.

        Raises:
            SpeechError: The model is missing, damaged, or the cache cannot be written.
        """
        report = progress or (lambda stage, fraction: None)
        copy = model or (Path(os.environ[MODEL_VARIABLE]) if os.environ.get(MODEL_VARIABLE) else None)
        threads = threads or min(2, _cores())
        report(tr("looking for the Kokoro model"), 0.0)
        cache = cache_directory(cache_dir)
        own = Packaged()
        network: Network
        if whole:
            report(tr("opening the Kokoro model"), 0.7)
            stock = onnx.load(model_file(cache, copy))
            stock.graph.output.extend(onnx.ValueInfoProto(name=name) for name in (ENERGY, DURATIONS))
            network = WholeNetwork(open_session(stock.SerializeToString(), threads))
        else:
            derived = derive(lambda: model_file(cache, copy), cache, report)
            report(tr("opening the Kokoro model"), 0.7)
            network = StreamingNetwork(
                open_session(derived.front, threads),
                open_session(derived.generator, 1),
                Styling.load(derived.styling),
                threads=threads,
            )
        report(tr("warming up Kokoro"), 0.9)  # the first run of a session allocates, and is slower by half
        silent = StopSignal()
        network.begin(Piece("a.", (0, 0)).tokens(), next(iter(own.values())), 1.0, silent).samples(0, CHUNKS[0], silent)
        report(tr("Kokoro is ready"), 1.0)
        return cls(network, own, Library(voices))

    def voices(self) -> list[Voice]:
        """The packaged voices, the first being the default, and those of the library that have been matched.

        Who has given a recorded voice the name of a packaged one means the recorded one.
        """
        recorded = matched_voices(self._library) if self._library else []
        taken = {voice.name for voice in recorded}
        return [voice for voice in self._packaged if voice.name not in taken] + recorded

    def synthesize(
        self,
        pronunciation: Pronunciation,
        voice: Voice,
        options: SynthesisOptions,
        should_stop: StopSignal,
        history: list[Any] | None = None,
    ) -> Iterator[AudioChunk]:
        """Speak one segment; see `tts_service.engine.Engine.synthesize`."""
        if voice.folder is None and voice.name not in self._voices:
            known = ", ".join(voice.name for voice in self.voices() if voice.listed)
            raise UnknownVoice(tr("no voice {name!r}; there are {known}", name=voice.name, known=known))
        if options.sample_rate not in (None, SAMPLE_RATE):
            raise SpeechError(
                tr(
                    "Kokoro speaks at {sample_rate} Hz; a sample rate of {asked} needs a resampler",
                    sample_rate=SAMPLE_RATE,
                    asked=options.sample_rate,
                )
            )
        history = [] if history is None else history
        spoken = matched(voice) if voice.folder else self._voices[voice.name]
        samples = 0
        try:
            for piece in pieces(encode(pronunciation), opening=not history):
                begun = samples / SAMPLE_RATE
                for chunk in self._speak(piece, pronunciation, spoken, options.speed, should_stop, history, begun):
                    samples += len(chunk.samples)
                    yield chunk
        except Stopped:
            return

    def close(self) -> None:
        """Free the sessions."""
        del self._network

    def _speak(
        self,
        piece: Piece,
        pronunciation: Pronunciation,
        voice: KokoroVoice,
        speed: float,
        should_stop: StopSignal,
        history: list[Any],
        begun: float,
    ) -> Iterator[AudioChunk]:
        if should_stop():
            raise Stopped
        silence = history[-1] / (speed * voice.rate) if history else 0.0  # what the piece before is to be followed by
        utterance = self._network.begin(piece.tokens(), voice, speed, should_stop, piece.english(pronunciation))
        utterance.settle(utterance.audible[0] + _most(CHUNKS[0]), should_stop)
        preroll = PREROLL if history else FIRST_PREROLL
        start, end, timings = _layout(utterance, piece, pronunciation, begun + silence, silence, preroll)
        history.append(_pause(piece, pronunciation) * voice.pause)

        until, position, told = begun, start, 0
        for size in _chunk_sizes():
            if utterance.settle(position + _most(size), should_stop):
                _, end, timings = _layout(utterance, piece, pronunciation, begun + silence, silence, preroll)
            stop = end if end - position < _most(size) else position + size
            samples = _limited(utterance.samples(position, stop, should_stop))
            if position == start:
                samples[:FADE_IN] *= np.linspace(0, 1, FADE_IN, dtype=np.float32)
                samples = np.concatenate([np.zeros(round(silence * SAMPLE_RATE), np.float32), samples])
            if stop == end:
                samples[-FADE_OUT:] *= np.linspace(1, 0, FADE_OUT, dtype=np.float32)
            until += len(samples) / SAMPLE_RATE
            inside = tuple(timing for timing in timings[told:] if timing.seconds < until or stop == end)
            told += len(inside)
            yield AudioChunk(samples, SAMPLE_RATE, inside)
            if stop == end:
                return
            position = stop


def _chunk_sizes() -> Iterator[int]:
    yield from CHUNKS
    while True:
        yield CHUNKS[-1]


def _most(size: int) -> int:
    """Frames up to which a chunk takes what is left with it."""
    return size + size // 4


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pause(piece: Piece, pronunciation: Pronunciation) -> float:
    """Seconds of silence before what follows. The end of a paragraph has no symbol of its own."""
    following = pronunciation.tokens[piece.owners[-1] :]
    closing = itertools.takewhile(lambda token: token.kind == "pause", following[following[0].kind != "pause" :])
    return PARAGRAPH_PAUSE if any(token.text == "\n" for token in closing) else PAUSES[piece.mark]


def _layout(
    utterance: Utterance, piece: Piece, pronunciation: Pronunciation, begun: float, silence: float, preroll: int
) -> tuple[int, int, tuple[CharTiming, ...]]:
    """The first frame that is said, one past the last, and when each span begins.

    The first frame is said at `begun` seconds, after `silence` seconds in which nothing is, and `preroll` frames before
    the first that can be heard.
    """
    ends = 2 * np.cumsum(utterance.durations)
    first, last = utterance.audible
    start, end = max(0, first - preroll), min(int(ends[-1]), last + TAIL)
    begins = _begins(piece, ends, utterance.onsets) - start * FRAME / SAMPLE_RATE
    begins = begun + np.clip(begins, -silence, (end - start - 1) * FRAME / SAMPLE_RATE)
    return start, end, _timings(piece, pronunciation, begins)


def _begins(piece: Piece, ends: NDArray[np.int64], onsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """When each symbol begins to sound, in seconds from the first frame, never falling.

    Within speech the model's durations tell; after a pause its energy curve does, which is exact where the durations
    differ by the sound: a plosive is silent first, a fricative early.
    """
    seconds = ends[: len(piece.symbols)] * FRAME / SAMPLE_RATE - LEAD
    heard = onsets * FRAME / SAMPLE_RATE + RISE
    for position in range(len(piece.symbols)):
        before = piece.symbols[:position].rstrip(" ˈˌ")
        if (not before or before[-1] in MARKS) and len(heard):
            nearest = heard[np.abs(heard - seconds[position]).argmin()]
            if abs(nearest - seconds[position]) <= REACH:
                seconds[position] = nearest
    return np.maximum.accumulate(seconds)


def _timings(piece: Piece, pronunciation: Pronunciation, begins: NDArray[np.float64]) -> tuple[CharTiming, ...]:
    """When each span begins, given when each symbol does."""
    spans: dict[tuple[int, int], float] = {}
    for second, owner in zip(begins, piece.owners, strict=True):
        token = pronunciation.tokens[owner]
        if token.kind != "pause":
            spans.setdefault((token.start, token.end), float(second))
    return tuple(CharTiming(start, end, second) for (start, end), second in spans.items())


def _limited(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bend what exceeds the knee so that it stays below the ceiling."""
    excess = np.abs(samples) - KNEE
    if excess.max() <= 0:
        return samples.copy()
    room = CEILING - KNEE
    bent = KNEE + room * np.tanh(np.maximum(excess, 0) / room)
    return np.where(excess > 0, np.copysign(bent, samples), samples).astype(np.float32)
