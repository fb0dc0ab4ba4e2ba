"""How much later a road speaks than the Python API: `python -m tests.benchmarks.roads [--rounds 10] [--callers 100]`.

The same texts, in turns, by `Synthesizer.astream` in this process and over a websocket of a server in it: from the
moment that the text is given to the first samples. And whether the times in server-sent events are those of `stream`.
Then callers of the Realtime API who come, hear a word (every second one not even that) and hang up, with an engine of
tones: the memory of the process after every fifth of them.

Goals: 20 ms at most at the median, the same times, and memory that stays where it was after the first fifth.
"""

import argparse
import asyncio
import gc
import json
import statistics
import threading
import time
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from loguru import logger
from websockets.asyncio.client import connect

import tts_service
from agent.pipeline import Models
from tests.agent.endpoint import Endpoint
from tests.realtime import serving
from tests.tts_service.tone_engine import ToneEngine
from tts_service import Synthesizer
from tts_service.serving.speech_api import router

TEXTS = [
    "你好，世界。",
    "今天天气很好，我们去公园走走吧。",
    "重庆火锅三点五折，欢迎光临。",
    "Sure, let me have a look, 请稍等。",
]
GOAL = 0.02


def served(voice):
    """Serve the speech API on a thread of its own; the server and its address."""
    app = FastAPI()
    app.include_router(router(lambda: voice))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return server, f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


async def by_python(voice, text):
    """Seconds to the first samples."""
    began = time.perf_counter()
    chunks = voice.astream(text)
    await anext(chunks)
    took = time.perf_counter() - began
    await chunks.aclose()
    return took


async def by_websocket(socket, text):
    """The same."""
    began = time.perf_counter()
    for message in ({"type": "start"}, {"type": "text", "text": text}, {"type": "end"}):
        await socket.send(json.dumps(message))
    while not isinstance(await socket.recv(), bytes):
        pass
    took = time.perf_counter() - began
    await socket.send(json.dumps({"type": "cancel"}))
    async for message in socket:
        if not isinstance(message, bytes) and json.loads(message)["type"] in ("cancelled", "done"):
            break
    return took


async def compare(voice, address, rounds):
    """Both, in turns."""
    python, websocket = [], []
    async with connect(f"ws://{address}/v1/audio/speech/stream") as socket:
        for text in TEXTS:  # the first of its kind is slower everywhere
            await by_python(voice, text)
            await by_websocket(socket, text)
        for _ in range(rounds):
            for text in TEXTS:
                python.append(await by_python(voice, text))
                websocket.append(await by_websocket(socket, text))
    return python, websocket


def apart(voice, address):
    """The largest difference between a character's time in an event and in `stream`, in seconds."""
    worst = 0.0
    for text in TEXTS:
        request = {"input": text, "stream_format": "sse", "timestamps": True, "response_format": "pcm"}
        lines = httpx.post(f"http://{address}/v1/audio/speech", json=request, timeout=60).text.splitlines()
        events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
        told = [(word["offset"], word["start"]) for event in events for word in event.get("timestamps", [])]
        expected = [(timing.start, timing.seconds) for chunk in voice.stream(text) for timing in chunk.timings]
        assert [offset for offset, _ in told] == [offset for offset, _ in expected], text
        worst = max([worst, *(abs(a - b) for (_, a), (_, b) in zip(told, expected, strict=True))])
    return worst


def resident():
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


async def come_and_go(callers):
    """Resident memory in MiB after every fifth of the callers."""
    memory, brain = [], Endpoint()
    brain.text = "一二三四五六七八九十" * 5
    with Synthesizer(ToneEngine()) as voice:
        async with (
            brain.running() as url,
            serving(Models(voice, None), f"brain.base_url={url}", "brain.model=fake") as address,
        ):
            for caller in range(callers):
                async with connect(f"{address.replace('http', 'ws')}/v1/realtime") as socket:
                    await socket.send('{"type": "response.create"}')
                    last = "response.output_audio.delta" if caller % 2 else "response.created"
                    while json.loads(await socket.recv())["type"] != last:
                        pass
                if (caller + 1) % max(1, callers // 5) == 0:
                    while voice.active:
                        await asyncio.sleep(0.01)
                    await asyncio.sleep(0.5)
                    gc.collect()
                    memory.append(resident())
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--callers", type=int, default=100)
    asked = parser.parse_args()
    rounds = asked.rounds
    with tts_service.load("kokoro") as voice:
        server, address = served(voice)
        python, websocket = asyncio.run(compare(voice, address, rounds))
        differences = sorted(there - here for here, there in zip(python, websocket, strict=True))
        worst = apart(voice, address)
        server.should_exit = True
    for name, values in (("Python", python), ("websocket", websocket)):
        print(f"first audio by {name}: median {statistics.median(values):.3f} s, worst {max(values):.3f} s")
    later = statistics.median(differences)
    print(f"later by websocket: median {1000 * later:.1f} ms of {len(differences)} pairs (goal {1000 * GOAL:.0f} ms)")
    print(f"ratio {statistics.median(websocket) / statistics.median(python):.3f}")
    print(f"times in server-sent events: within {1000 * worst:.3f} ms of those of stream")
    logger.remove()
    memory = asyncio.run(come_and_go(asked.callers))
    print(f"memory along {asked.callers} Realtime callers: " + ", ".join(f"{mib:.0f}" for mib in memory) + " MiB")


if __name__ == "__main__":
    main()
