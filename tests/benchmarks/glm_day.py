"""A day's traffic on replicas of GLM-TTS that come and go: by which signal to grow, and what it costs to move a call.

python -m tests.benchmarks.glm_simulated --day

The day is made up: calls in each of which the voice speaks two fifths of the time, as many as the hour has (few at
night, most at eleven and at four), and a campaign that triples them within two minutes at two o'clock. A replica takes
`STARTS` seconds to come, and serves so many segments at once as the simulation of its card finds bearable (`streams`).
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.benchmarks.glm_simulated import FRAMES, REFERENCE, SECONDS_A_TOKEN, Device, simulate
from tts_service.glm.flow_matching.stream import Chunking

STARTS, STAYS, LOOKS = 90.0, 600.0, 30.0
"""Seconds until a replica speaks (reading 8 GB, and the warm-up; assumed), that it stays although it is not needed, and
that more must be wanted for before there are more (both Ray Serve's usual ones)."""
MOST = 16
SEGMENT, PAUSE = 5.0, 7.5
"""Seconds of a segment, and between two of one call (means)."""
CALLS = 200
"""At the busiest hour."""
LISTENING = 0.3
"""Seconds to hear a voice that a replica does not know: its tokens, its speaker, its prompt in the flow (assumed)."""
HOURS = (8, 5, 4, 4, 5, 8, 18, 35, 62, 85, 97, 100, 80, 72, 86, 96, 100, 90, 70, 58, 50, 40, 25, 14)
"""Calls in progress at each hour, in hundredths of the most."""


def calls(second: int) -> float:
    """Calls in progress."""
    hour = second / 3600
    before, after = HOURS[int(hour) % 24], HOURS[(int(hour) + 1) % 24]
    usual = before + (after - before) * (hour % 1)
    campaign = min(1.0, max(0.0, (second - 14 * 3600) / 120)) * (1 if second < 14.5 * 3600 else 0)
    return CALLS / 100 * usual * (1 + 2 * campaign)


@dataclass(frozen=True)
class Load:
    """What can be seen at a moment."""

    speaking: int
    """Segments that are being spoken or wait."""
    waiting: int
    replicas: int
    capacity: int
    """Segments of a replica."""


Signal = Callable[[Load], int]
SIGNALS: dict[str, Signal] = {
    "always the most": lambda load: MOST,
    "three quarters full, with who waits": lambda load: math.ceil(load.speaking / (0.75 * load.capacity)),
    "full, with who waits": lambda load: math.ceil(load.speaking / load.capacity),
    "one more while somebody waits": lambda load: (
        load.replicas + 1 if load.waiting else math.ceil(load.speaking / load.capacity)
    ),
}


@dataclass
class Day:
    """What came of it."""

    hours: float
    """Of all replicas together."""
    segments: int
    late: int
    """Segments that had to wait for a place."""
    worst: float
    """Seconds that one waited."""
    most: int
    """Replicas at one time."""


def day(signal: Signal, capacity: int, *, seed: int = 0) -> Day:
    """Let a day pass, second by second."""
    dice = np.random.default_rng(seed)
    running, starting, wanted_since, idle_since = 1, [], 0.0, 0.0
    ends: list[float] = []
    line: deque[int] = deque()
    used = segments = late = most = 0
    worst = 0.0
    for second in range(24 * 3600):
        while ends and ends[0] <= second:
            heapq.heappop(ends)
        running += sum(ready <= second for ready in starting)
        starting = [ready for ready in starting if ready > second]
        rate = calls(second) / (SEGMENT + PAUSE)
        count = int(dice.poisson(rate))
        segments += count
        line.extend([second] * count)
        while line and len(ends) < running * capacity:
            waited = second - line.popleft()
            late, worst = late + (waited > 0), max(worst, waited)
            heapq.heappush(ends, second + dice.exponential(SEGMENT))
        wanted = min(MOST, max(1, signal(Load(len(ends) + len(line), len(line), running, capacity))))
        have = running + len(starting)
        wanted_since = second if wanted <= have else wanted_since
        idle_since = second if wanted >= have else idle_since
        if second - wanted_since >= LOOKS:
            starting += [second + STARTS] * (wanted - have)
            wanted_since = second
        elif second - idle_since >= STAYS and running > 1:
            running, idle_since = running - 1, second
        used, most = used + running + len(starting), max(most, running)
    return Day(used / 3600, segments, late, worst, most)


def streams(device: Device) -> int:
    """Listeners of a replica: no gap, p95 of the first audio within 300 ms, a twentieth of the time to spare."""
    found = 1
    for callers in (4, 8, 12, 16, 20, 24, 32, 40, 48, 64):
        heard = simulate(callers, device, seconds=60)
        if heard.silences or heard.busy > 0.95 or np.percentile(heard.first, 95) > 0.3:
            break
        found = callers
    return found


def moving(device: Device, heard: float) -> float:
    """Seconds until a lost segment goes on elsewhere at the sample where it stopped: all before it is made again."""
    chunking, past, spent, seconds, number, drawn = Chunking(), 0, device.read, 0.0, 0, 0
    while seconds <= heard:
        reach = chunking.reach_of(number)
        spent += device.group(1, past + reach - drawn) + device.chunks([FRAMES * (REFERENCE + past)])
        drawn = past + reach
        past += chunking.blocks[min(number, len(chunking.blocks) - 1)]
        seconds, number = past * SECONDS_A_TOKEN, number + 1
    return spent


def main(cards: dict[str, Device]) -> None:
    """Print both tables."""
    for card, device in cards.items():
        costs = [1e3 * moving(device, heard) for heard in (0.0, 2.0, 5.0, 10.0)]
        print(f"{card}: a segment that another replica takes over, ms until it goes on after 0, 2, 5, 10 s:", end=" ")
        print(*(f"{cost:.0f}" for cost in costs), f"(+{1e3 * LISTENING:.0f} for a voice that is not known there)")
        capacity = streams(device)
        for name, signal in SIGNALS.items():
            one = day(signal, capacity)
            print(
                f"  {capacity} a replica, {name}: {one.hours:.0f} GPU hours, {one.late} of {one.segments} segments"
                f" waited ({one.late / one.segments:.2%}), {one.worst:.0f} s at worst; {one.most} replicas at most",
                flush=True,
            )
