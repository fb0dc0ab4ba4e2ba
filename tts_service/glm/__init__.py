"""The GLM-TTS engine. `GLMEngine` is imported on first use: it needs torch, and not everything here does."""

from __future__ import annotations

from typing import Any

__all__ = ["GLMEngine"]


def __getattr__(name: str) -> Any:
    if name == "GLMEngine":
        from tts_service.glm.engine import GLMEngine

        return GLMEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
