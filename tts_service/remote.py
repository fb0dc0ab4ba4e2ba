"""Engines on other machines: the same contract, served by replicas of a Ray Serve application.

A replica holds one engine and, where the cluster has any, a GPU of its own; Ray starts more of them while requests
queue. On the cluster:

    serve run pipecat_glm_tts:build engine=glm checkpoint=/models/GLM-TTS most=8

and wherever the agent runs: `tts_service.load("remote", address="10.0.0.5:6379")`. Package, checkpoint and voice
library must be on every node.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from loguru import logger

from g2p.pronunciation import Pronunciation
from pipecat_glm_tts.extras import needs
from pipecat_glm_tts.wording import tr
from tts_service.engine import (
    BREATH,
    QUEUED,
    AudioChunk,
    Busy,
    Phrasing,
    SpeechError,
    StopSignal,
    SynthesisOptions,
    Voice,
)

if TYPE_CHECKING:
    from ray.serve import Application

APPLICATION = "default"
"""The name under which the replicas are found; `serve run` gives this one."""
_ATTEMPTS = 4
"""Replicas that may be lost under one segment."""


class Replica:
    """Lives on the cluster: an engine that many callers share."""

    def __init__(self, engine: str, settings: dict[str, Any]) -> None:
        import tts_service

        self._engine = tts_service.load_engine(engine, **settings)
        # one thread, so that segments take turns: each does one piece of work and queues up again behind the others
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"{engine}-engine")
        self._speaking = 0

    def describe(self) -> tuple[int, tuple[float, float], Phrasing, list[Voice]]:
        """Sample rate in Hz, the tempi, how texts are cut, and the voices."""
        engine = self._engine
        return engine.sample_rate, engine.tempi, engine.phrasing, engine.voices()

    def speaking(self) -> int:
        """Segments being spoken now."""
        return self._speaking

    async def synthesize(
        self, pronunciation: Pronunciation, voice: Voice, options: SynthesisOptions, history: list[Any]
    ) -> AsyncIterator[str | AudioChunk | SpeechError | list[Any]]:
        """See `Engine.synthesize`.

        Yields:
            The replica's name, the chunks, and at the end the new history or the reason why there is none.
        """
        from ray import serve

        yield serve.get_replica_context().replica_id.to_full_id_str()
        stop, loop = StopSignal(), asyncio.get_running_loop()
        chunks = self._engine.synthesize(pronunciation, voice, options, stop, history)
        self._speaking += 1
        try:
            while (chunk := await loop.run_in_executor(self._thread, next, chunks, None)) is not None:
                if chunk is not BREATH and chunk is not QUEUED:
                    yield chunk
            yield history
        except SpeechError as error:
            yield error
        finally:
            # reached by Ray's cancellation too; the generator is closed on the thread that runs it
            stop.set()
            self._speaking -= 1
            self._thread.submit(chunks.close)  # type: ignore[attr-defined]


def build(arguments: dict[str, Any]) -> Application:
    """The Serve application, for `serve run`, a Serve configuration file or `serve.run`.

    Args:
        arguments: `engine` (glm); `least` (1) and `most` (4) replicas; `ongoing` (32), segments that a replica speaks
            at once; `waiting` (64), segments that may queue at each caller beyond that; `gpus` (1 for glm where the
            cluster has any), per replica. The rest goes to the engine's `load`.

    Returns:
        An application that grows while there are more than three quarters of `ongoing` segments per replica.
    """
    import ray
    from ray import serve

    # the command line hands everything over as text
    settings = {name: int(value) if str(value).isdigit() else value for name, value in arguments.items()}
    engine = settings.pop("engine", "glm")
    least, most, ongoing, waiting = (
        settings.pop(name, usual) for name, usual in (("least", 1), ("most", 4), ("ongoing", 32), ("waiting", 64))
    )
    ray.init(ignore_reinit_error=True)
    usual_gpus = 1 if engine == "glm" and ray.cluster_resources().get("GPU") else 0
    deployment = serve.deployment(
        name="voice",
        max_ongoing_requests=ongoing,
        max_queued_requests=waiting,
        ray_actor_options={"num_cpus": 1, "num_gpus": float(settings.pop("gpus", usual_gpus))},
        autoscaling_config={
            "min_replicas": least,
            "max_replicas": most,
            "initial_replicas": least,
            "target_ongoing_requests": max(1.0, 0.75 * ongoing),
        },
    )(Replica)
    return deployment.bind(engine, settings)


class _Lost(Exception):
    """A replica went away in the middle of a request."""


class RemoteEngine:
    """Speaks through the replicas of an application.

    A replica that is lost in the middle of a segment is replaced by another one, which speaks the segment again: since
    the same seed makes the same samples, the listener is given only what he has not heard yet.
    """

    name = "remote"

    def __init__(self, handle: Any, *, owns_connection: bool = False) -> None:
        self._handle = handle
        self._owns_connection = owns_connection
        self.sample_rate, self.tempi, self.phrasing, self._voices = handle.describe.remote().result()
        self.segments: Counter[str] = Counter()
        """How many segments each replica has begun."""

    @classmethod
    def load(cls, address: Path | str | None = None, *, application: str = APPLICATION) -> RemoteEngine:
        """Connect.

        Args:
            address: Of the Ray cluster, `host:6379`; None: the one that `RAY_ADDRESS` names or this machine belongs to.
            application: Name that the replicas were started under.

        Raises:
            SpeechError: Ray is not installed, there is no such cluster, or nothing of that name runs on it.
        """
        with needs("ray"):
            import ray
            from ray import serve
            from ray.serve.exceptions import RayServeException
        owns_connection = not ray.is_initialized()
        try:
            ray.init(address=str(address or "auto"), log_to_driver=False, ignore_reinit_error=True)
            return cls(serve.get_app_handle(application), owns_connection=owns_connection)
        except (ConnectionError, RayServeException, ray.exceptions.RayError) as error:
            if owns_connection:
                ray.shutdown()
            reason = str(error).strip().splitlines()[-1]
            raise SpeechError(
                tr(
                    "no voice is served as {application!r} on the Ray cluster ({reason}); start it there with: serve "
                    "run pipecat_glm_tts:build engine=glm",
                    application=application,
                    reason=reason,
                )
            ) from error

    def voices(self) -> list[Voice]:
        """Those of the replicas when the connection was made."""
        return list(self._voices)

    def synthesize(
        self,
        pronunciation: Pronunciation,
        voice: Voice,
        options: SynthesisOptions,
        should_stop: StopSignal,
        history: list[Any] | None = None,
    ) -> Iterator[AudioChunk]:
        """Speak one segment; see `Engine.synthesize`."""
        heard = told = 0
        for attempt in range(_ATTEMPTS):
            samples = timings = 0
            try:
                for item in self._listen((pronunciation, voice, options, list(history or ())), should_stop):
                    if isinstance(item, list):
                        if history is not None:
                            history[:] = item
                    elif item is QUEUED:
                        yield item
                    else:
                        fresh = _after(item, heard - samples, told - timings)
                        samples, timings = samples + len(item.samples), timings + len(item.timings)
                        heard, told = max(heard, samples), max(told, timings)
                        if fresh:
                            yield fresh
                return
            except _Lost as error:
                if attempt == _ATTEMPTS - 1:
                    raise SpeechError(tr("the replicas of the voice are lost one after the other")) from error
                logger.warning(f"a replica was lost after {heard} samples of a segment; another one takes over")

    def close(self) -> None:
        """End the connection if it was made here; the replicas stay."""
        if self._owns_connection:
            import ray

            ray.shutdown()

    def _listen(self, request: tuple[Any, ...], should_stop: StopSignal) -> Iterator[AudioChunk | list[Any]]:
        """What one replica makes of a request, `QUEUED` while it makes nothing."""
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import BackPressureError, RayServeException

        items: SimpleQueue[Any] = SimpleQueue()
        response = self._handle.options(stream=True).synthesize.remote(*request)

        def receive() -> None:
            try:
                for item in response:
                    items.put(item)
                items.put(None)
            except BackPressureError:
                items.put(Busy(tr("all replicas are busy; try again in a moment")))
            except (RayTaskError, RayServeException) as error:
                items.put(SpeechError(tr("the replicas fail: {error}", error=str(error).strip().splitlines()[-1])))
            except (RayError, asyncio.CancelledError) as error:
                items.put(_Lost(str(error)))

        threading.Thread(target=receive, name="replica", daemon=True).start()
        try:
            while not should_stop():
                try:
                    item = items.get_nowait()
                except Empty:
                    yield QUEUED
                    continue
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, str):
                    self.segments[item] += 1
                else:
                    yield item
        finally:
            # a request that no replica took has failed already, and cancelling it raises that failure once more
            with suppress(RayError, RayServeException):
                response.cancel()


def _after(chunk: AudioChunk, heard: int, told: int) -> AudioChunk | None:
    """What is left of a chunk behind known samples and timings, which may lie in other chunks than they did before."""
    samples, timings = chunk.samples[max(0, heard) :], chunk.timings[max(0, told) :]
    return AudioChunk(samples, chunk.sample_rate, timings) if len(samples) or timings else None
