"""Speech on its way to a client: encoded while it is made, with times, in the forms that answers have."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from io import RawIOBase
from typing import Any, BinaryIO, cast

from tts_service.engine import AudioChunk
from tts_service.speech.captions import Caption, Captions
from tts_service.workshop.audio_file import SpeechWriter
from tts_service.workshop.label import Label


@dataclass(frozen=True, slots=True)
class Piece:
    """What has come into being since the last one."""

    data: bytes
    """Of the file; may be empty."""
    captions: list[Caption]


class _Buffer(RawIOBase):
    """Holds what a writer has produced until it is taken."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: Any) -> int:
        self._bytes += data
        return len(data)

    def seekable(self) -> bool:
        return False

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


async def encoded(
    chunks: AsyncGenerator[AudioChunk, None], captions: Captions, format: str, sample_rate: int, label: Label
) -> AsyncGenerator[Piece, None]:
    """The file and the captions as they come into being. Closing it cancels the speech.

    Args:
        chunks: The speech.
        captions: With the text that it speaks.
        format: One of `audio_file.FORMATS`.
        sample_rate: Hz.
        label: Written into the file.
    """
    buffer = _Buffer()
    async with aclosing(chunks):
        writer = SpeechWriter(cast(BinaryIO, buffer), format, sample_rate, label)
        async for chunk in chunks:
            writer.write(chunk)
            ended = captions.push(chunk)
            if (data := buffer.take()) or ended:
                yield Piece(data, ended)
        writer.close()
        yield Piece(buffer.take(), captions.end())


async def sound(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[bytes, None]:
    """The bytes alone."""
    async with aclosing(pieces):
        async for piece in pieces:
            if piece.data:
                yield piece.data


async def events(pieces: AsyncGenerator[Piece, None], text: str, timestamps: bool) -> AsyncIterator[str]:
    """OpenAI's server-sent events, and if asked for the times, `speech.timestamps`, each before its sound has ended.

    Tokens are counted as characters, for want of better.
    """
    async with aclosing(pieces):
        async for piece in pieces:
            if piece.captions and timestamps:
                yield _event(
                    {"type": "speech.timestamps", "timestamps": [asdict(caption) for caption in piece.captions]}
                )
            if piece.data:
                yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece.data).decode()})
    usage = {"input_tokens": len(text), "output_tokens": 0, "total_tokens": len(text)}
    yield _event({"type": "speech.audio.done", "usage": usage})


async def captioned(pieces: AsyncGenerator[Piece, None], format: str) -> AsyncIterator[str]:
    """Kokoro-FastAPI's captioned speech: JSON objects, one a line, each with its audio and the words that ended."""
    async with aclosing(pieces):
        async for piece in pieces:
            yield json.dumps(caption_object(piece.data, piece.captions, format), ensure_ascii=False) + "\n"


def caption_object(data: bytes, captions: list[Caption], format: str) -> dict[str, Any]:
    """One such object."""
    words = [{"word": caption.text, "start_time": caption.start, "end_time": caption.end} for caption in captions]
    return {"audio": base64.b64encode(data).decode(), "audio_format": format, "timestamps": words}


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
