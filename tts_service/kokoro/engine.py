"""The Kokoro engine: symbols in, 24 kHz speech out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from g2p.encode.kokoro import encode
from g2p.pronunciation import Pronunciation
from tts_service.engine import AudioChunk, CharTiming, SpeechError, StopSignal, SynthesisOptions, UnknownVoice, Voice
from tts_service.kokoro.model import MODEL_VARIABLE, cache_directory, model_file, style_tables

SAMPLE_RATE = 24000
MAX_SYMBOLS = 510

_CAST = {
    "lan": ("jf_alpha", "兰 · 女声 / Lan · female"),
    "mei": ("jf_gongitsune", "梅 · 女声 / Mei · female"),
    "zhu": ("jf_nezumi", "竹 · 女声 / Zhu · female"),
    "ju": ("jf_tebukuro", "菊 · 女声 / Ju · female"),
    "song": ("jm_kumo", "松 · 男声 / Song · male"),
}


class KokoroEngine:
    """Kokoro-82M on the CPU."""

    name = "kokoro"
    sample_rate = SAMPLE_RATE

    def __init__(self, session: ort.InferenceSession, styles: dict[str, NDArray[np.float32]]) -> None:
        self._session = session
        self._styles = styles
        self._ids: dict[str, int] = json.loads(files(__package__).joinpath("vocab.json").read_text(encoding="utf-8"))

    @classmethod
    def load(
        cls,
        *,
        cache_dir: Path | None = None,
        model: Path | None = None,
        threads: int | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> KokoroEngine:
        """Open the model; the first time, prepare it in the cache.

        Args:
            cache_dir: Where prepared files live; default `GLM_TTS_CACHE`, else the user's cache folder.
            model: A local copy of the model (an `.onnx` file or a folder with it and the voices), not the packages;
                default `GLM_TTS_KOKORO_MODEL`.
            threads: Cores that one computation may use; default two, or one on a single-core machine.
            progress: Told what is being done and how far it is, 0 to 1.

        Raises:
            SpeechError: The model is missing, damaged, or the cache cannot be written.
        """
        report = progress or (lambda stage, fraction: None)
        copy = model or (Path(os.environ[MODEL_VARIABLE]) if os.environ.get(MODEL_VARIABLE) else None)
        report("checking the Kokoro model", 0.0)
        path = model_file(cache_directory(cache_dir), copy)
        tables = style_tables(copy)
        report("opening the Kokoro model", 0.5)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or min(2, os.cpu_count() or 1)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        report("Kokoro is ready", 1.0)
        return cls(session, {name: tables[source] for name, (source, _) in _CAST.items()})

    def voices(self) -> list[Voice]:
        """The five voices; the first is the default."""
        return [Voice(name, description=description) for name, (_, description) in _CAST.items()]

    def synthesize(
        self,
        pronunciation: Pronunciation,
        voice: Voice,
        options: SynthesisOptions,
        should_stop: StopSignal,
        history: list[Any] | None = None,
    ) -> Iterator[AudioChunk]:
        """Speak one segment; see `tts_service.engine.Engine.synthesize`."""
        if voice.name not in self._styles:
            raise UnknownVoice(f"no voice {voice.name!r}; there are {', '.join(self._styles)}")
        encoded = encode(pronunciation)
        symbols, sources = encoded.text, encoded.tokens
        if not symbols or should_stop():
            return
        if len(symbols) > MAX_SYMBOLS:
            raise SpeechError(f"the segment has {len(symbols)} symbols; at most {MAX_SYMBOLS} fit")
        tokens = np.array([[0, *(self._ids[symbol] for symbol in symbols), 0]], dtype=np.int64)
        style = self._styles[voice.name][len(symbols) - 1][None]
        run = ort.RunOptions()
        feeds = {"tokens": tokens, "style": style, "speed": np.array([options.speed], np.float32)}
        try:
            with should_stop.listening(lambda: setattr(run, "terminate", True)):
                samples = self._session.run(None, feeds, run)[0].ravel()
        except Exception as error:
            if should_stop():
                return
            raise SpeechError(f"the model failed on {pronunciation.text!r}: {error}") from error
        yield AudioChunk(samples, SAMPLE_RATE, _evenly(pronunciation, sources, len(samples) / SAMPLE_RATE))

    def close(self) -> None:
        """Free the session."""
        del self._session


def _evenly(pronunciation: Pronunciation, sources: tuple[int, ...], seconds: float) -> tuple[CharTiming, ...]:
    """Timings that give every symbol the same length."""
    timings: dict[tuple[int, int], float] = {}
    for position, source in enumerate(sources):
        token = pronunciation.tokens[source]
        if token.kind != "pause":
            timings.setdefault((token.start, token.end), seconds * position / len(sources))
    return tuple(CharTiming(start, end, second) for (start, end), second in timings.items())
