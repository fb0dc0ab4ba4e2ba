"""The embedded voice: Kokoro-82M int8 on the CPU, from ordinary packages, speaking while it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tts_service.kokoro.engine import KokoroEngine

__all__ = ["KokoroEngine"]


def __getattr__(name: str) -> Any:
    """The engine on first use: its list of voices, its symbols and its files can be had without ONNX Runtime."""
    if name == "KokoroEngine":
        from tts_service.kokoro.engine import KokoroEngine

        return KokoroEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
