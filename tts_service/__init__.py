"""A streaming Chinese and English voice.

import tts_service

with tts_service.load("kokoro") as voice:
    for chunk in voice.stream("你好，世界。"):
        play(chunk.samples, chunk.sample_rate)
"""

from __future__ import annotations

import functools
import threading
from contextlib import nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipecat_glm_tts.extras import needs  # first of all, so that nothing reports home
from pipecat_glm_tts.wording import tr

if TYPE_CHECKING:
    from tts_service.engine import (
        AudioChunk,
        Busy,
        CharTiming,
        Engine,
        SpeechError,
        StopSignal,
        SynthesisOptions,
        UnknownVoice,
        Voice,
    )
    from tts_service.speech.synthesizer import Synthesizer
    from tts_service.speech.utterance import Report, Utterance

__all__ = [
    "ENGINES",
    "AudioChunk",
    "Busy",
    "CharTiming",
    "Engine",
    "Report",
    "SpeechError",
    "StopSignal",
    "SynthesisOptions",
    "Synthesizer",
    "UnknownVoice",
    "Utterance",
    "Voice",
    "embedded",
    "load",
    "load_engine",
]

ENGINES = {"kokoro": "KokoroEngine", "glm": "GLMEngine", "remote": "RemoteEngine"}
"""Engines by name: each is a class of the module so called, which is imported when it is asked for."""
_HOME = {"Synthesizer": "speech.synthesizer", "Report": "speech.utterance", "Utterance": "speech.utterance"}
"""Where those names live that are not in `engine`. All are imported on first use: a command's `--help` needs none."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_HOME.get(name, 'engine')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(
    engine: str = "kokoro", *, lexicon: Any = None, capacity: int = 64, watermark: bool = True, **settings: Any
) -> Synthesizer:
    """Load an engine and return the synthesizer that speaks with it.

    Args:
        engine: `kokoro` (the embedded voice, CPU), `glm` (GLM-TTS; needs the extra `glm` and a checkpoint) or `remote`
            (engines on a Ray cluster; needs the extra `ray`).
        lexicon: A `g2p.Lexicon` with custom readings; None for the default dictionary.
        capacity: Utterances that may be spoken at one time.
        watermark: Mark all speech inaudibly as machine-made; see `tts_service.speech.watermark`.
        **settings: Passed to the engine's `load`: `cache_dir`, `model`, `threads`, `progress` for kokoro; `checkpoint`,
            `device`, `voices`, ... for glm; `address`, `application` for remote.

    Raises:
        SpeechError: There is no such engine, or it cannot be loaded; the message says what to do.
    """
    from tts_service.speech.synthesizer import Synthesizer

    return Synthesizer(load_engine(engine, **settings), lexicon=lexicon, capacity=capacity, watermark=watermark)


_loading = threading.Lock()


def embedded() -> Synthesizer:
    """The embedded voice, loaded by whoever asks first and shared by all in this process; it is never closed.

    Raises:
        SpeechError: It cannot be loaded.
    """
    with _loading:
        return _embedded()


@functools.cache
def _embedded() -> Synthesizer:
    return load("kokoro")


def load_engine(engine: str, **settings: Any) -> Engine:
    """Load an engine alone, for whoever runs it himself; see `load`."""
    from tts_service.engine import SpeechError

    if engine not in ENGINES:
        raise SpeechError(
            tr("there is no engine {engine!r}; available: {engines}", engine=engine, engines=", ".join(ENGINES))
        )
    with needs("glm") if engine == "glm" else nullcontext():
        found = getattr(import_module(f"{__name__}.{engine}"), ENGINES[engine])
    return found.load(**settings)
