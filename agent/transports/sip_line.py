"""Telephone calls by SIP: a Pipecat transport over one call, and the line that takes and places them."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException
from loguru import logger
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputDTMFUrgentFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.utils.utils import obj_id
from pydantic import BaseModel, Field

from agent.brain.greeting import opening
from agent.settings import SettingsError
from agent.switchboard import Refused, Seat, Switchboard
from agent.transports.clean import CleanLine, clean_line
from agent.transports.ducking import Ducking
from agent.transports.loudness import Loudness, is_speech
from agent.transports.sip.call import SipCall
from agent.transports.sip.endpoint import CallFailed, SipEndpoint
from agent.transports.sip.rtp import INPUT_RATE
from pipecat_glm_tts.wording import tr


class SipTransport(BaseTransport):
    """Sound and keys of one call as Pipecat frames.

    The call is answered when the first audio is ready to be sent, so that the caller hears it at once, or after
    `answer_within` seconds.

    Events: `on_client_connected(transport, call)` when the pipeline runs, `on_client_disconnected(transport, call)`
    when the call is over, `on_hold(transport, held)`.
    """

    def __init__(self, call: SipCall, answer_within: float = 5.0, cleaner: CleanLine | None = None) -> None:
        super().__init__()
        self.call = call
        self.answer_within = answer_within
        self.ducking = Ducking(Loudness())
        params = TransportParams(
            audio_in_enabled=True,
            audio_in_sample_rate=INPUT_RATE,
            audio_out_enabled=True,
            audio_out_10ms_chunks=2,
            audio_out_end_silence_secs=0,
            audio_out_filter=self.ducking,
            audio_in_filter=cleaner,
        )
        if cleaner is not None:
            call.media.on_sent = cleaner.sent
        self._input = SipInput(self, params)
        self._output = SipOutput(self, params)
        self._register_event_handler("on_client_connected")
        self._register_event_handler("on_client_disconnected")
        self._register_event_handler("on_hold")

    def input(self) -> SipInput:
        """What the caller says and presses."""
        return self._input

    def output(self) -> SipOutput:
        """What the caller hears."""
        return self._output

    async def announce(self, event: str, *args: Any) -> None:
        """Tell those who registered for an event."""
        await self._call_event_handler(event, *args)


class SipInput(BaseInputTransport):
    """The caller's side of a call."""

    def __init__(self, transport: SipTransport, params: TransportParams) -> None:
        super().__init__(params)
        self._transport = transport
        self._call = transport.call
        self._arrivals: asyncio.Queue[Frame | bool] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, frame: StartFrame) -> None:
        """Begin to listen."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._call.on_audio = self._heard
        self._call.on_dtmf = self._pressed
        self._call.on_hold = self._arrivals.put_nowait
        self._tasks = [self.create_task(work) for work in (self._pass_on(), self._pick_up(), self._wait_for_end())]

    async def stop(self, frame: EndFrame) -> None:
        """Stop listening."""
        await super().stop(frame)
        await self._stop_listening()

    async def cancel(self, frame: CancelFrame) -> None:
        """Stop listening."""
        await super().cancel(frame)
        await self._stop_listening()

    async def cleanup(self) -> None:
        """Stop listening, should nobody have said so."""
        await super().cleanup()
        await self._stop_listening()

    async def _stop_listening(self) -> None:
        self._call.on_audio = lambda _: None
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await self.cancel_task(task)

    def _heard(self, pcm: bytes) -> None:
        self._arrivals.put_nowait(InputAudioRawFrame(pcm, INPUT_RATE, 1))

    def _pressed(self, digit: str) -> None:
        if digit in "0123456789*#":  # Pipecat's keypad has no A to D
            self._arrivals.put_nowait(InputDTMFFrame(KeypadEntry(digit)))

    async def _pass_on(self) -> None:
        while True:
            arrival = await self._arrivals.get()
            if isinstance(arrival, InputAudioRawFrame):
                await self.push_audio_frame(arrival)
            elif isinstance(arrival, Frame):
                await self.push_frame(arrival)
            else:
                await self._transport.announce("on_hold", arrival)

    async def _pick_up(self) -> None:
        await self._transport.announce("on_client_connected", self._call)
        await asyncio.sleep(self._transport.answer_within)
        self._call.answer()

    async def _wait_for_end(self) -> None:
        await self._call.ended.wait()
        await self._transport.announce("on_client_disconnected", self._call)


class SipOutput(BaseOutputTransport):
    """The agent's side of a call."""

    def __init__(self, transport: SipTransport, params: TransportParams) -> None:
        super().__init__(params)
        self._call = transport.call
        self._silenced = 0

    async def start(self, frame: StartFrame) -> None:
        """Be ready to speak."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def stop(self, frame: EndFrame) -> None:
        """Say what is left to say, then hang up."""
        await super().stop(frame)
        await self._call.media.drain()
        self._call.hang_up()

    async def cancel(self, frame: CancelFrame) -> None:
        """Hang up in the middle of the word."""
        await super().cancel(frame)
        self._call.hang_up()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Fall silent at an interruption: nothing that was said before may still be heard."""
        if isinstance(frame, InterruptionFrame):
            self._silenced = obj_id()  # frames are numbered in the order they are made
            self._call.media.flush()
        await super().process_frame(frame, direction)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Queue 20 ms, at the pace of the call's clock."""
        interrupted = frame.interruptible and frame.id < self._silenced
        if self._call.ended.is_set() or interrupted:
            return False
        if self._call.answered_at is None:
            if not is_speech(frame.audio):
                return True  # the breath before the greeting is not worth hearing
            self._call.answer()
        await self._call.media.play(frame.audio, frame.sample_rate)
        return True

    def _supports_native_dtmf(self) -> bool:
        return self._call.media.takes_keys

    async def _write_dtmf_native(self, frame: OutputDTMFFrame | OutputDTMFUrgentFrame) -> None:
        self._call.media.press("".join(button.value for button in frame.buttons or []))


class Dial(BaseModel):
    """A call to place."""

    to: str = Field(min_length=5, max_length=300, pattern=r"^sip:\S+$")


class Sip:
    """The telephone line.

    Raises:
        SettingsError: Its address cannot be taken.
    """

    open_paths: tuple[str, ...] = ()

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._settings = switchboard.settings.sip
        self.endpoint = SipEndpoint(self._settings, self._ringing)
        try:
            self.endpoint.wire.bind()
        except OSError as error:
            raise SettingsError(
                tr(
                    "sip.listen: cannot take {listen} ({reason}); another telephone may be running: choose another "
                    "address, such as --sip-listen 127.0.0.1:5070",
                    listen=self._settings.listen,
                    reason=error.strerror,
                )
            ) from None
        self.router = APIRouter()
        self.router.add_api_route("/api/calls", self.place, methods=["POST"], status_code=201)

    async def open(self) -> None:
        """Listen for calls."""
        await self.endpoint.start()

    async def close(self) -> None:
        """Hang up on everybody."""
        await self.endpoint.close()

    async def _ringing(self, call: SipCall) -> None:
        try:
            seat = self._switchboard.seat("sip")
        except Refused as refusal:
            if refusal.reason == "full":
                call.reject(486, "Busy Here", refusal.en)
            else:
                call.reject(503, "Service Unavailable", refusal.en)
            return
        greets = opening(self._switchboard.settings.brain) != ""
        await self._converse(seat, self._transport(call, self._settings.answer_within if greets else 0.0))

    def _transport(self, call: SipCall, answer_within: float) -> SipTransport:
        return SipTransport(call, answer_within, clean_line(self._switchboard.settings.audio))

    async def place(self, dial: Dial) -> dict[str, str]:
        """Call somebody. Returns when they pick up; the conversation goes on by itself."""
        seat = self._switchboard.seat("sip")
        try:
            call = await self.endpoint.dial(dial.to)
        except CallFailed as error:
            seat.leave()
            raise HTTPException(502, {"outcome": error.outcome, "message": str(error)}) from None
        except BaseException:
            seat.leave()
            raise
        self.endpoint.spawn(self._talk(seat, call))
        return {"outcome": "answered", "id": call.id, "to": call.callee}

    async def _talk(self, seat: Seat, call: SipCall) -> None:
        try:
            await self._converse(seat, self._transport(call, 0.0))
        finally:
            await self.endpoint.release(call)

    async def _converse(self, seat: Seat, transport: SipTransport) -> None:
        call = transport.call
        await self._switchboard.converse(
            seat, transport, rtvi=False, audio_in_sample_rate=INPUT_RATE, duck=transport.ducking.to
        )
        statistics = call.media.statistics
        logger.info(
            f"SIP call {call.id}: {statistics.received} packets in, {statistics.lost} lost, {statistics.sent} out"
        )
