"""A streaming Chinese and English voice for Pipecat: the public names.

from pipecat_glm_tts import GLMTTSService, load

tts = GLMTTSService(synthesizer=load("kokoro"))  # or GLMTTSService() alone: the embedded voice, loaded once

An installed distribution holds this one package, with `agent`, `tts_service` and `g2p` inside it; a checkout has them
beside it. What is imported from here is the same in both, and is loaded on first use.

It is also imported first by each of the three, and keeps the libraries that they stand on from reporting home: each
reads its variable when it is imported, and ONNX Runtime makes a device id at that moment and looks up its vendor ever
after. Whoever has set a variable himself has his way.
"""

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

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

REPORTS = {
    "ORT_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What keeps ONNX Runtime, Gradio, Hugging Face and Ray silent."""

if "onnxruntime" in sys.modules and "ORT_DISABLE_TELEMETRY" not in os.environ:
    warnings.warn(
        "onnxruntime was imported before pipecat_glm_tts and may report to its vendor; "
        "import pipecat_glm_tts first, or set ORT_DISABLE_TELEMETRY=1",
        stacklevel=2,
    )
for _variable, _silent in REPORTS.items():
    os.environ.setdefault(_variable, _silent)


def __getattr__(name: str) -> Any:
    if name == "GLMTTSService":
        from tts_service.service import GLMTTSService

        return GLMTTSService
    if name == "LiveKitTTS":
        from pipecat_glm_tts.extras import needs

        with needs("livekit"):
            from tts_service.livekit import TTS
        return TTS
    if name == "build":
        from tts_service.remote import build

        return build
    if name in ("Lexicon", "analyze", "readings"):
        import g2p

        return getattr(g2p, name)
    if name in __all__:
        import tts_service

        return getattr(tts_service, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
