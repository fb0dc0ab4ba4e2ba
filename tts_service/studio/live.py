"""Speech that a page plays while it is being made: a generator on one side, a streaming download on the other."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Generator, Iterator
from io import RawIOBase
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO, cast

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from tts_service.engine import AudioChunk, SynthesisOptions, Voice
from tts_service.speech.synthesizer import Synthesizer
from tts_service.speech.utterance import Report
from tts_service.workshop.audio_file import SpeechWriter
from tts_service.workshop.label import Label

KEPT_SECONDS = 60.0
"""For how long speech can be fetched after its end: a page may ask more than once before it plays."""
PATIENCE = 30.0
"""Seconds that a listener waits for the next piece."""
TICK = 0.25
"""Seconds after which a long callback yields at the latest: only then can it be stopped, or its page be found gone."""


class Broadcast(RawIOBase):
    """One piece of speech, written by whoever makes it and heard from its beginning by whoever knows the key."""

    def __init__(self, sample_rate: int, label: Label) -> None:
        self.key = secrets.token_urlsafe(24)
        self.ended_at: float | None = None
        self._pieces: list[bytes] = []
        self._more = threading.Condition()
        self._writer = SpeechWriter(cast(BinaryIO, self), "wav", sample_rate, label)

    def send(self, chunk: AudioChunk) -> None:
        """Pass a chunk on."""
        self._writer.write(chunk)

    def end(self) -> None:
        """No more will come, whether all was said or not."""
        self._writer.close()
        with self._more:
            self.ended_at = time.monotonic()
            self._more.notify_all()

    def write(self, data: Any) -> int:
        """The writer's side."""
        with self._more:
            self._pieces.append(bytes(data))
            self._more.notify_all()
        return len(data)

    def seekable(self) -> bool:
        """A listener cannot be sent back."""
        return False

    def pieces(self) -> Iterator[bytes]:
        """The listener's side; ends with the speech, or when nothing comes for long."""
        heard = 0
        while True:
            with self._more:
                while len(self._pieces) == heard and self.ended_at is None:
                    if not self._more.wait(PATIENCE):
                        return
                fresh = self._pieces[heard:]
            if not fresh:
                return
            heard += len(fresh)
            yield b"".join(fresh)


class Station:
    """The broadcasts that can be fetched; their keys are the only way in."""

    def __init__(self) -> None:
        self._broadcasts: dict[str, Broadcast] = {}
        self._lock = threading.Lock()

    def open(self, sample_rate: int, label: Label) -> Broadcast:
        """Begin one, and forget those that ended a while ago."""
        broadcast = Broadcast(sample_rate, label)
        oldest = time.monotonic() - KEPT_SECONDS
        with self._lock:
            kept = {key: b for key, b in self._broadcasts.items() if b.ended_at is None or b.ended_at > oldest}
            self._broadcasts = {**kept, broadcast.key: broadcast}
        return broadcast

    def routes(self, path: str) -> APIRouter:
        """`GET {path}/live/{key}`."""
        router = APIRouter()

        @router.get(path + "/live/{key}")
        def live(key: str) -> Response:
            broadcast = self._broadcasts.get(key)
            if broadcast is None:
                return Response(status_code=404)
            return StreamingResponse(broadcast.pieces(), media_type="audio/wav", headers={"Cache-Control": "no-store"})

        return router


def speech(
    synthesizer: Synthesizer, text: str, voice: Voice, reports: list[Report], **options: Any
) -> Generator[AudioChunk | None, None, None]:
    """What is said, as `Synthesizer.stream` has it; None whenever nothing has come for a tick.

    Args:
        synthesizer: Speaks.
        text: All of it.
        voice: Who.
        reports: Gets what it cost, when all has been said or the iterator is closed.
        **options: Fields of `SynthesisOptions`.
    """
    items: SimpleQueue[AudioChunk | Exception | None] = SimpleQueue()
    asked = SynthesisOptions(**options)
    utterance = synthesizer.open(
        on_chunk=items.put, on_end=items.put, voice=voice, options=asked, max_lead=30.0, real_time=False
    )
    try:
        utterance.feed(text)
        utterance.end()
        while True:
            try:
                item = items.get(timeout=TICK)
            except Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
            utterance.played(item.seconds)
    finally:
        utterance.cancel()
        reports.append(utterance.report)
