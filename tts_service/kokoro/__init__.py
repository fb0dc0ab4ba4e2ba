"""The embedded voice: Kokoro-82M int8 on the CPU, from ordinary packages, speaking while it computes."""

from tts_service.kokoro.engine import KokoroEngine

__all__ = ["KokoroEngine"]
