"""What the telephone costs without any AI: `python -m tests.benchmarks.phone`.

The agent's side runs in a process of its own (`--server`), the phones in this one. Goals: echo 60 / 90 ms (p50 / p95),
2 % of a core for an idle call, 5 ms jitter (p99) of the 20 ms clock.
"""

import asyncio
import contextlib
import os
import sys
import time

import numpy as np
from loguru import logger

from agent.settings import SipSettings
from agent.transports.sip.endpoint import SipEndpoint
from agent.transports.sip_line import SipTransport
from tests.phone import bots
from tests.phone.softphone import Softphone, tone

CALLS = 8
SECONDS = 10
ECHOES = 60


async def serve():
    async def on_call(call):
        bot = bots.Echo() if call.callee.startswith("sip:echo@") else bots.Listener()
        await bots.run(SipTransport(call, 0.0), bot, out_rate=16000)

    endpoint = SipEndpoint(SipSettings(listen="127.0.0.1:0"), on_call)
    await endpoint.start()
    print(endpoint.wire.port, flush=True)
    await asyncio.Event().wait()


def cpu_seconds(pid):
    """User and system time of a process, from /proc."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def echo_latency(port):
    """Milliseconds from a burst's first packet to its first audible packet back, with pauses as speech has them."""
    found = []
    async with Softphone(port) as phone:
        phone.user = "echo"
        await phone.invite()
        await phone.speak(np.zeros(8000))
        for _ in range(ECHOES):
            await asyncio.sleep(0.25)
            await phone.speak(np.zeros(1600))
            phone.heard.clear()
            sent = await phone.speak(tone(0.1, 1000, 0.5))
            heard = await phone.until_heard(lambda _, level: level > 0.1)
            found.append(1000 * (heard - sent[0][0]))
        await phone.bye()
    return np.array(found)


async def idle_calls(port, pid):
    """Share of a core per call, and the gaps between packets in ms, while the agent listens to silent phones."""
    async with contextlib.AsyncExitStack() as stack:
        phones = [await stack.enter_async_context(Softphone(port)) for _ in range(CALLS)]
        for phone in phones:
            await phone.invite()
        lines = [asyncio.create_task(phone.speak(np.zeros(8000 * (SECONDS + 5)))) for phone in phones]
        await asyncio.sleep(2)
        for phone in phones:
            phone.heard.clear()
        began, cpu = time.perf_counter(), cpu_seconds(pid)
        await asyncio.sleep(SECONDS)
        share = (cpu_seconds(pid) - cpu) / (time.perf_counter() - began) / CALLS
        gaps = np.concatenate([np.diff([heard[0] for heard in phone.heard]) for phone in phones]) * 1000
        for line in lines:
            line.cancel()
        for phone in phones:
            await phone.bye()
    return share, gaps


async def measure():
    command = (sys.executable, "-m", "tests.benchmarks.phone", "--server")
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        port = int(await server.stdout.readline())
        load = os.getloadavg()[0]
        echo = await echo_latency(port)
        share, gaps = await idle_calls(port, server.pid)
    finally:
        server.terminate()
        await server.wait()
    late = np.abs(gaps - 20)
    print(f"{os.cpu_count()} cores, load {load:.1f} before the start")
    p50, p95 = np.percentile(echo, (50, 95))
    print(f"RTP in -> RTP out, through a Pipecat echo: p50 {p50:.0f} ms, p95 {p95:.0f} ms")
    print(f"an idle call, pipeline included ({CALLS} at once): {100 * share:.2f} % of a core")
    p50, p95, p99 = np.percentile(late, (50, 95, 99))
    off = f"p50 {p50:.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms, worst {late.max():.1f} ms"
    print(f"our 20 ms clock, seen from the far end: off by {off}")


if __name__ == "__main__":
    logger.remove()
    asyncio.run(serve() if "--server" in sys.argv else measure())
