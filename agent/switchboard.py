"""One place where calls come together, whatever line they came in by.

The switchboard loads the models once and seats every call under one cap. A transport asks for a `seat`, builds its
Pipecat transport and hands both to `converse`; cancelling that ends the call.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any, Literal, Self

from loguru import logger
from pipecat.transports.base_transport import BaseTransport

from agent.metrics import Metrics
from agent.pipeline import Event, Models, Progress, converse
from agent.record import CallRecord
from agent.settings import Settings
from pipecat_glm_tts.wording import chinese
from tts_service.memory import trim

GARBAGE_SECONDS = 1.0
"""From the end of a call until its memory is given back."""
TRIM_SECONDS = 60.0
"""At least so long what is free is left to the C library, which uses most of it again."""
State = Literal["loading", "ready", "failed"]


class Refused(Exception):
    """A call that cannot be taken now. The message is for people far away, so in Chinese and English."""

    def __init__(self, reason: str, message: str, **values: object) -> None:
        self.reason = reason
        self.zh = chinese(message).format(**values)
        self.en = message.format(**values)
        super().__init__(f"{self.zh} / {self.en}")


class Seat:
    """The right to hold one call. Leave the block and the next caller may have it."""

    def __init__(self, switchboard: Switchboard, transport: str) -> None:
        self.transport = transport
        self._switchboard = switchboard

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the seat back. Idempotent."""
        self._switchboard._release(self)


class Switchboard:
    """The models, and the seats of the calls in progress."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.state: State = "loading"
        self.step = ""
        """What is being loaded now, or why loading failed."""
        self.models: Models | None = None
        self._seats: set[Seat] = set()
        self._kept = False
        self._trim_at = 0.0
        metrics.session_limit.set(settings.server.max_sessions)

    @property
    def calls(self) -> int:
        """Seats taken."""
        return len(self._seats)

    async def load(self, progress: Progress) -> None:
        """Load the models while pages are already being served.

        Raises:
            Exception: Whatever `Models.load` raised; `state` is then `failed` and `step` says why.
        """

        def report(step: str) -> None:
            self.step = step
            progress(step)

        try:
            self.models = await Models.load(self.settings, report)
        except Exception as error:
            self.state, self.step = "failed", str(error)
            raise
        self.models.synthesizer.on_report.append(self.metrics.report)
        self.keep()
        self.state, self.step = "ready", ""

    def keep(self) -> None:
        """Let the search for garbage pass over what has been loaded for good, as soon as no call is in the way.

        Going through all of it would hold up the event loop at the end of every call.
        """
        self._kept = False
        self._collect()

    def _tidy(self) -> None:
        if self._seats and not self._kept:
            return  # it would go through all that was loaded; the last call to end has it done
        self._collect()
        loop = asyncio.get_running_loop()
        if loop.time() > self._trim_at:
            self._trim_at = loop.time() + TRIM_SECONDS
            loop.run_in_executor(None, trim)

    def _collect(self) -> None:
        gc.collect()
        if not self._kept and not self._seats:
            gc.freeze()
            self._kept = True

    def close(self) -> None:
        """Free the models. Every line has hung up by now."""
        if self.models is not None:
            self.models.close()

    def describe(self) -> dict[str, Any]:
        """What a client may know before it calls: who answers, and with which voices."""
        voice, brain = self.settings.voice, self.settings.brain
        if self.models is None:
            return {}
        synthesizer = self.models.synthesizer
        return {
            "brain": "demo" if brain.is_demo else brain.model or brain.service,
            "voices": [{"name": v.name, "description": v.description} for v in synthesizer.voices()],
            "voice": synthesizer.voice(voice.name).name,
            "speed": voice.speed,
        }

    def seat(self, transport: str) -> Seat:
        """Take a seat for a call that comes in by `transport`.

        Raises:
            Refused: The models are not loaded yet, or every seat is taken.
        """
        if self.state != "ready":
            self.metrics.refused.labels("loading").inc()
            raise Refused("loading", "The models are still loading; try again in a moment.")
        limit = self.settings.server.max_sessions
        if len(self._seats) >= limit:
            self.metrics.refused.labels("full").inc()
            raise Refused("full", "All {limit} calls are taken; please try again later.", limit=limit)
        seat = Seat(self, transport)
        self._seats.add(seat)
        self.metrics.sessions.labels(transport).inc()
        self.metrics.started.labels(transport).inc()
        return seat

    def _release(self, seat: Seat) -> None:
        if seat in self._seats:
            self._seats.remove(seat)
            self.metrics.sessions.labels(seat.transport).dec()

    async def converse(self, seat: Seat, transport: BaseTransport, **options: Any) -> None:
        """Hold one conversation to its end, then give the seat back.

        Args:
            seat: From `seat`.
            transport: Connected or about to be.
            **options: Passed to `agent.pipeline.converse`: whether the client speaks RTVI, sample rates.
        """
        with seat:
            assert self.models is not None, "a seat is only given out once the models are loaded"
            listeners: list[Event] = [self.metrics.count]
            try:
                if (folder := self.settings.phone.record_to) and (record := CallRecord.begun(folder, seat.transport)):
                    listeners.append(record.note)
                    options["observers"] = [record]

                def tell(event: str, data: dict[str, Any]) -> None:
                    for listener in listeners:
                        listener(event, data)

                await converse(transport, self.models, self.settings, on_event=tell, **options)
            except Exception:
                self.metrics.errors.inc()
                logger.exception(f"a {seat.transport} call ended with an error")
            finally:
                # A pipeline is full of circles and holds a model of its own for voice activity: more than 10 MB, which
                # Python would look for only after many calls. A moment later whoever else held it has let go.
                asyncio.get_running_loop().call_later(GARBAGE_SECONDS, self._tidy)
