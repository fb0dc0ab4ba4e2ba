"""The ends of the agent's pipeline for a client of the Realtime API."""

from __future__ import annotations

import asyncio

from fastapi import WebSocket
from pipecat.frames.frames import Frame, InterruptionFrame, OutputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.websocket.fastapi import (
    FastAPIWebsocketClient,
    FastAPIWebsocketOutputTransport,
    FastAPIWebsocketParams,
    FastAPIWebsocketTransport,
)

from agent.realtime.session import OUT_RATE, Session

LEAD = 0.2
"""Seconds of sound sent ahead of the clock, against a network that hesitates. What the client has not played of it is
forgotten when it says so."""
CHUNKS = 4
"""Of 10 ms in one event."""


class RealtimeTransport(FastAPIWebsocketTransport):
    """One client's websocket, accepted."""

    def __init__(self, websocket: WebSocket, session: Session) -> None:
        params = FastAPIWebsocketParams(
            serializer=session,
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_10ms_chunks=CHUNKS,
            audio_out_end_silence_secs=0,
            allowed_origins=[],  # the gate has looked already
        )
        super().__init__(websocket, params)
        self._output = RealtimeOutput(self, self._client, params, session)

    async def say(self, text: str) -> None:
        """Send a message, if there is somebody."""
        await self._client.send(text)


class RealtimeOutput(FastAPIWebsocketOutputTransport):
    """Tells the session what comes out of the pipeline, when it comes out."""

    def __init__(
        self,
        transport: RealtimeTransport,
        client: FastAPIWebsocketClient,
        params: FastAPIWebsocketParams,
        session: Session,
    ) -> None:
        super().__init__(transport, client, params)
        self._session = session
        self._played_until = 0.0
        """When the client will have played all that it was sent, on the loop's clock."""

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Pass a frame on. Text comes by at its place in the sound."""
        if isinstance(frame, InterruptionFrame):
            self._played_until = 0.0
        await self._session.saw(frame)
        await super().push_frame(frame, direction)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Send a piece of sound and wait as long as it may be ahead."""
        if self._client.is_closing or not self._client.is_connected:
            return False
        loop = asyncio.get_running_loop()
        await self._session.sound(frame.audio)
        self._played_until = max(self._played_until, loop.time()) + len(frame.audio) / 2 / OUT_RATE
        await asyncio.sleep(max(0.0, self._played_until - LEAD - loop.time()))
        return True
