"""A streaming Chinese and English voice for Pipecat: the public names.

from pipecat_glm_tts import GLMTTSService, load

tts = GLMTTSService(synthesizer=load("kokoro"))  # or GLMTTSService() alone: the embedded voice, loaded once

An installed distribution holds this one package, with `agent`, `tts_service` and `g2p` inside it; a checkout has them
beside it. What is imported from here is the same in both, and is loaded on first use.
"""

from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipecat_glm_tts import silence as silence  # first of all: nothing reports home
from pipecat_glm_tts.moved import install

if TYPE_CHECKING:
    from g2p import Lexicon, analyze, readings
    from tts_service import AudioChunk, CharTiming, SpeechError, SynthesisOptions, Synthesizer, Voice, load
    from tts_service.livekit import TTS as LiveKitTTS
    from tts_service.remote import build
    from tts_service.service import GLMTTSService

__all__ = [
    "AudioChunk",
    "CharTiming",
    "GLMTTSService",
    "Lexicon",
    "LiveKitTTS",
    "SpeechError",
    "SynthesisOptions",
    "Synthesizer",
    "Voice",
    "analyze",
    "build",
    "load",
    "readings",
]

_HOME = {
    "GLMTTSService": ("tts_service", "service"),
    "LiveKitTTS": ("tts_service", "livekit"),
    "build": ("tts_service", "remote"),
    "Lexicon": ("g2p",),
    "analyze": ("g2p",),
    "readings": ("g2p",),
}
"""Where a name lives that `tts_service` does not have itself."""
_INSTALLED = (Path(__file__).parent / "tts_service").is_dir()

install()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipecat_glm_tts.extras import needs

    home = ".".join(_HOME.get(name, ("tts_service",)))
    with needs("livekit") if name == "LiveKitTTS" else nullcontext():
        module = import_module(f"{__name__}.{home}" if _INSTALLED else home)
    return getattr(module, "TTS" if name == "LiveKitTTS" else name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
