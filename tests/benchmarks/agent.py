"""What talking to the agent feels like, in numbers: `python -m tests.benchmarks.agent [--quick]`.

The agent runs in a process of its own, with its embedded models and demo brain. The caller is an aiortc peer in this
process: real WebRTC with Opus over loopback, a microphone that speaks recorded sentences and a loudspeaker that notes
when it hears what, 80 ms after it has come: aiortc keeps four packets back, where a browser has a buffer of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import fractions
import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import httpx
import numpy as np
import soxr
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame

RATE = 48000
FRAME = RATE // 50
AUDIBLE = 0.003
"""Amplitude, full scale 1, above which a frame counts as heard: below it is the codec's comfort noise."""
PATIENCE = 90.0
"""Seconds to wait for anything."""
QUESTIONS = ("请问，十二加三十等于多少？", "你好。", "谢谢你。", "请问现在几点了？", "Hello, what time is it now?")
PARTS = (
    "endpointing_wait",
    "transcription",
    "turn_detection",
    "llm_inference",
    "speech_synthesis",
    "output_transport",
    "pipeline",
)


class Microphone(MediaStreamTrack):
    """Silence, except for what is put into it, in real time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pending = np.empty(0, np.int16)
        self._sent = 0
        self._began = 0.0
        self._spoken = asyncio.Event()
        self.onset = self.end = 0.0

    async def say(self, samples: np.ndarray) -> None:
        """Speak ([n] int16 at 48 kHz) and return with the last sample; `onset` and `end` tell when it was."""
        self._spoken.clear()
        self.onset = 0.0
        self._pending = samples
        await self._spoken.wait()

    async def recv(self) -> AudioFrame:
        """The next 20 ms, when their time has come."""
        self._began = self._began or time.perf_counter()
        await asyncio.sleep(self._began + self._sent / RATE - time.perf_counter())
        now, samples = self._pending[:FRAME], np.zeros(FRAME, np.int16)
        samples[: len(now)] = now
        if len(now):
            self.onset = self.onset or time.perf_counter()
            self._pending = self._pending[FRAME:]
            if not len(self._pending):
                self.end = time.perf_counter()
                self._spoken.set()
        frame = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._sent, fractions.Fraction(1, RATE)
        self._sent += FRAME
        return frame


class Caller:
    """One call: microphone, loudspeaker and the messages of the data channel, all with the time of their arrival."""

    def __init__(self) -> None:
        self.microphone = Microphone()
        self.messages: list[tuple[float, dict]] = []
        self.heard = [0.0]
        """When audible frames arrived."""
        self._arrived = asyncio.Condition()
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._tasks: list[asyncio.Task] = []

    @asynccontextmanager
    async def calling(self, url: str) -> AsyncIterator[Caller]:
        """Connect, be greeted, and hang up at the end."""
        peer, opened = self._peer, asyncio.Event()
        peer.addTransceiver(self.microphone, direction="sendrecv")
        self._channel = peer.createDataChannel("chat")
        self._channel.on("open", opened.set)
        self._channel.on("message", lambda text: self._tasks.append(asyncio.create_task(self._note(text))))
        peer.on("track", lambda track: self._tasks.append(asyncio.create_task(self._listen(track))))
        await peer.setLocalDescription(await peer.createOffer())
        async with httpx.AsyncClient() as http:
            offer = {"sdp": peer.localDescription.sdp, "type": "offer"}
            answer = (await http.post(f"{url}/api/offer", json=offer, timeout=30)).raise_for_status().json()
        await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        await asyncio.wait_for(opened.wait(), 30)
        self.send("client-ready", {"version": "2.0.0"})
        try:
            yield self
        finally:
            await peer.close()
            for task in self._tasks:
                task.cancel()

    def send(self, kind: str, data: dict) -> None:
        """Send an RTVI message."""
        self._channel.send(json.dumps({"label": "rtvi-ai", "type": kind, "id": str(len(self.messages)), "data": data}))

    def type(self, text: str) -> None:
        """Ask in writing."""
        self.send("send-text", {"content": text, "options": {"run_immediately": True, "audio_response": True}})

    async def message(self, kind: str, since: float) -> tuple[float, dict]:
        """The first message of a kind (or server message of a type) after a moment, with the time of its arrival."""

        def found() -> tuple[float, dict] | None:
            for at, message in self.messages:
                data = message.get("data") or {}
                if at >= since and kind in (message["type"], data.get("type") if isinstance(data, dict) else None):
                    return at, data
            return None

        async with asyncio.timeout(PATIENCE), self._arrived:
            await self._arrived.wait_for(found)
        result = found()
        assert result is not None
        return result

    async def audible(self, since: float) -> float:
        """When the agent is heard first after a moment."""
        async with asyncio.timeout(PATIENCE), self._arrived:
            await self._arrived.wait_for(lambda: self.heard[-1] > since)
        return next(at for at in self.heard if at > since)

    async def quiet(self, seconds: float) -> float:
        """Wait until nothing has been heard for so long; when it was heard last."""
        async with self._arrived:
            while True:
                last = self.heard[-1]
                try:
                    async with asyncio.timeout(max(0.0, last + seconds - time.perf_counter())):
                        await self._arrived.wait_for(lambda: self.heard[-1] > last)  # noqa: B023 (used in this round)
                except TimeoutError:
                    return last

    async def _note(self, text: str) -> None:
        async with self._arrived:
            self.messages.append((time.perf_counter(), json.loads(text)))
            self._arrived.notify_all()

    async def _listen(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if np.abs(frame.to_ndarray()).max() > AUDIBLE * 32768:
                    async with self._arrived:
                        self.heard.append(time.perf_counter())
                        self._arrived.notify_all()


def recordings() -> dict[str, np.ndarray]:
    """The sentences that are said, [n] int16 at 48 kHz, made with the embedded voice."""
    import tts_service

    with tts_service.load("kokoro") as voice:
        said = {}
        for text in (*QUESTIONS, "等一下，不用讲了。"):
            samples = np.concatenate([chunk.samples for chunk in voice.stream(text, "song")])
            loud = np.flatnonzero(np.abs(samples) > 0.01)
            samples = soxr.resample(samples[loud[0] : loud[-1]], voice.sample_rate, RATE)
            said[text] = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
        return said


async def voice_to_voice(caller: Caller, said: dict[str, np.ndarray], turns: int) -> None:
    """From the last sample of a question to the first audible one of its answer."""
    latencies, parts = [], []
    for turn in range(turns):
        question = QUESTIONS[turn % len(QUESTIONS)]
        await caller.microphone.say(said[question])
        end = caller.microphone.end
        latencies.append(await caller.audible(end) - end)
        parts.append((await caller.message("latency", end))[1]["parts"])
        await caller.message("bot-stopped-speaking", end)
        await caller.quiet(0.4)
    show(f"voice to voice, {turns} turns", latencies)
    for name in PARTS:
        show(f"  {name}", [part.get(name, 0.0) for part in parts])


async def beside_a_listener(caller: Caller, url: str, said: dict[str, np.ndarray], turns: int) -> None:
    """The same while the agent tells somebody else a story: recognition and voice want the cores at one time."""
    listener = Caller()
    async with listener.calling(url):
        await listener.message("bot-stopped-speaking", 0)

        async def stories() -> None:
            while True:
                began = time.perf_counter()
                listener.type("讲个故事")
                await listener.message("bot-stopped-speaking", began)

        telling = asyncio.create_task(stories())
        try:
            print("while somebody else listens to a story:")
            await voice_to_voice(caller, said, turns)
        finally:
            telling.cancel()


async def underruns(url: str) -> None:
    """How often a voice broke off since the agent started, because the next chunk was not there in time."""
    found = await asyncio.to_thread(fetch, f"{url}/probe")
    print(f"underruns of all that was said: {found['underruns']:.0f}")


async def interruptions(caller: Caller, said: dict[str, np.ndarray], times: int) -> None:
    """A voice in the middle of a story: how long the story goes on."""
    after_onset, after_notice = [], []
    for _ in range(times):
        began = time.perf_counter()
        caller.type("讲个故事")
        await caller.message("bot-started-speaking", began)
        await caller.audible(began)
        await asyncio.sleep(3)
        saying = asyncio.create_task(caller.microphone.say(said["等一下，不用讲了。"]))
        interrupted, _ = await caller.message("bot-interrupted", time.perf_counter())
        last = await caller.quiet(0.25)
        await saying
        after_onset.append(last - caller.microphone.onset)
        after_notice.append(max(0.0, last - interrupted))
        await caller.message("bot-stopped-speaking", caller.microphone.end)
        await caller.quiet(0.4)
    show(f"interruption -> last audible frame, {times} times", after_notice)
    show("  counted from the first sample of the voice", after_onset)


async def lag_while_speaking(caller: Caller, url: str, seconds: float) -> None:
    """How late the agent's event loop is while it speaks."""
    began = time.perf_counter()
    caller.type("讲个故事")
    await caller.audible(began)
    await asyncio.to_thread(fetch, f"{url}/probe")  # from now on
    await asyncio.sleep(seconds)
    lags = np.array((await asyncio.to_thread(fetch, f"{url}/probe"))["lags"])
    caller.type("停")
    await caller.message("bot-stopped-speaking", time.perf_counter())
    p50, p99, worst = np.percentile(lags, [50, 99, 100]) * 1000
    print(
        f"event loop lag while speaking: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {worst:.1f} ms ({len(lags)} samples)"
    )


async def memory(caller: Caller, url: str, turns: int) -> None:
    """Resident memory of the agent along many turns."""
    sizes = []
    for turn in range(turns + 1):
        if turn % max(1, turns // 10) == 0:
            sizes.append((await asyncio.to_thread(fetch, f"{url}/probe"))["rss"] / 2**20)
        began = time.perf_counter()
        caller.type("谢谢")
        await caller.message("bot-stopped-speaking", began)
    print(f"memory over {turns} turns, MiB: {' '.join(f'{size:.0f}' for size in sizes)}")
    print(f"  growth in the second half: {sizes[-1] - sizes[len(sizes) // 2]:+.1f} MiB")


def show(name: str, seconds: list[float]) -> None:
    """One line of a distribution."""
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    print(f"{name + ':':58} p50 {p50:6.0f} ms   p95 {p95:6.0f} ms   max {max(seconds) * 1000:6.0f} ms", flush=True)


def fetch(url: str) -> dict:
    """GET some JSON."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


@asynccontextmanager
async def agent(settings: Sequence[str]) -> AsyncIterator[str]:
    """The agent in a process of its own, with these settings; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.benchmarks.agent", "--serve", str(port)]
    command += [f"--set={setting}" for setting in settings]
    process = subprocess.Popen(command, env={**os.environ, "OPENAI_BASE_URL": "", "OPENAI_MODEL": ""})  # noqa: ASYNC220
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(120), httpx.AsyncClient() as http:
            while process.poll() is None:
                with suppress(httpx.TransportError):
                    if (await http.get(f"{url}/health")).status_code == 200:
                        break
                await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(10)


async def serve(port: int, settings: Sequence[str]) -> None:
    """The agent as it always runs, with a probe for its memory, its event loop and what was late."""
    from agent import transports
    from agent.metrics import Metrics
    from agent.server import create_app, web_server
    from agent.settings import Settings
    from agent.switchboard import Switchboard
    from tts_service.serving.address import bind

    lags: list[float] = []

    async def watch(step: float = 0.005) -> None:
        while True:
            due = time.perf_counter() + step
            await asyncio.sleep(step)
            lags.append(time.perf_counter() - due)

    switchboard = Switchboard(Settings.load(overrides=["brain.greeting=你好。", *settings]), Metrics())
    app = create_app(switchboard, [transports.line("webrtc", switchboard)])

    @app.get("/probe")
    async def probe() -> dict:
        taken = lags[:]
        lags.clear()
        pages = int(open("/proc/self/statm").read().split()[1])  # noqa: ASYNC230, SIM115 (not a file on a disk)
        underruns = switchboard.metrics.registry.get_sample_value("tts_underruns_total")
        return {"lags": taken, "rss": pages * os.sysconf("SC_PAGE_SIZE"), "underruns": underruns}

    watching = asyncio.create_task(watch())
    loading = asyncio.create_task(switchboard.load(lambda step: None))
    with bind("127.0.0.1", port, has_token=False) as sock:
        await web_server(app).serve(sockets=[sock])
    watching.cancel()
    loading.cancel()


async def measure(quick: bool, settings: Sequence[str]) -> None:
    """All of it, in the order of interest."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}; load before: {os.getloadavg()[0]:.1f}")
    said = await asyncio.to_thread(recordings)
    async with agent(settings) as url, Caller().calling(url) as caller:
        await caller.message("bot-stopped-speaking", 0)
        await caller.quiet(0.4)
        await voice_to_voice(caller, said, 5 if quick else 20)
        await beside_a_listener(caller, url, said, 5 if quick else 20)
        await underruns(url)
        await interruptions(caller, said, 3 if quick else 10)
        await lag_while_speaking(caller, url, 5 if quick else 20)
        await memory(caller, url, 20 if quick else 200)


def main() -> None:
    """Measure, or be the agent that is measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the turns, to see that it works")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the agent")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    asyncio.run(serve(options.serve, options.set) if options.serve else measure(options.quick, options.set))


if __name__ == "__main__":
    main()
