"""What many callers of GLM-TTS would hear on a GPU that is not here: a simulation around the engine's own planner.

python -m tests.benchmarks.glm_simulated                 H100 and RTX 4090, 1 to 64 callers
python -m tests.benchmarks.glm_simulated --measured T    with times measured on a GPU, {"card": {"step": 0.0019, ...}}
python -m tests.benchmarks.glm_simulated --day           a day's traffic on replicas that come and go

Nobody measured the times below: they are reckoned from counted bytes, operations and kernels and from data sheets
(docs/glm-roofline.md). What is real is the planner, the chunking and the callers, who come at random, listen in real
time and speak again. Work on the device is done one after the other, as if nothing of it overlapped.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tts_service.glm.flow_matching.flow import Solver
from tts_service.glm.flow_matching.stream import FRAMES, PROMPT_TAIL, Chunking
from tts_service.glm.language_model.decode import GROUP
from tts_service.glm.planner import Costs, Picture, Place, Work, plan

HELD_BACK = 0.405
SECONDS_A_TOKEN = 0.04
REFERENCE, PROMPT, SLOTS = 125, 192, 16
"""Tokens of the reference, 5 s; ids of a prompt with it; segments that are drawn at once."""
KERNEL, LAUNCH = 1.25e-6, 5e-6
"""Seconds that a small kernel takes in a graph, and that the host takes for one without (assumed)."""
REACHED = 0.4
"""Share of a data sheet's operations that products of this size reach (assumed)."""


@dataclass(frozen=True)
class Device:
    """Seconds that the pieces of the work take."""

    step: float
    """A decoding step without a cache to look at."""
    row: float
    """For each row that is in use."""
    read: float
    """A prompt."""
    chunk: float
    """A batch of chunks, before anything is in it."""
    each: float
    """For each chunk in it."""
    frame: float
    """For each frame that it looks back on."""
    push: float
    """Of the vocoder."""
    further_push: float
    """For each further utterance in it."""

    def group(self, rows: int, steps: int = GROUP) -> float:
        """Some decoding steps with so many rows in use, read by ones, fours and all."""
        return steps * (self.step + self.row * next(size for size in (1, 4, SLOTS) if size >= min(rows, SLOTS)))

    def chunks(self, pasts: Sequence[int]) -> float:
        """A batch of chunks that look back so far, until all can be heard."""
        work = self.chunk + sum(self.each + self.frame * past for past in pasts)
        return work + self.push + self.further_push * (len(pasts) - 1)

    @property
    def costs(self) -> Costs:
        """What the planner reckons with: every slot in use, everybody's window full."""
        far = self.each + self.frame * (FRAMES * (REFERENCE + Chunking().window))
        return Costs(self.group(SLOTS), self.chunk + far, far + self.further_push - self.push, self.push)


@dataclass(frozen=True)
class Card:
    """A GPU's data sheet, dense figures, but for the last."""

    bandwidth: float
    """Bytes a second."""
    tf32: float
    """Operations a second."""
    half: float
    """The same in 16 bits, summed in 32."""
    single: float
    """The same in 32 bits, of the vocoder."""
    step: float
    """Seconds of a decoding step without a cache, while it was 659 kernels: 2.97 GB to read (assumed)."""

    def device(self, solver: Solver | None = None, *, recorded: bool = True) -> Device:
        """Times for the published sizes: bytes and operations as counted in docs/glm-roofline.md."""
        share = (solver or Solver()).evaluations / Solver().evaluations
        steps = (solver or Solver()).steps
        kernels = 350 * steps * KERNEL if recorded else 344 * steps * LAUNCH
        return Device(
            step=self.step - (659 - 552) * KERNEL,
            row=512 * 57344 / self.bandwidth,
            read=max(2.7e9 * PROMPT / (REACHED * self.half), 2.7e9 / self.bandwidth)
            + 540 * (KERNEL if recorded else LAUNCH),
            chunk=kernels,
            each=share * (281e9 / (REACHED * self.tf32) + 1.8e9 / self.bandwidth),
            frame=share * (88e6 / (REACHED * self.half) + 10 * 552960 / self.bandwidth),
            push=600 * (KERNEL if recorded else 1.6 * LAUNCH) + 0.6e9 * 64 / (REACHED * self.single),
            further_push=0.6e9 * 64 / (REACHED * self.single) if recorded else 600 * 1.6 * LAUNCH,
        )  # fmt: skip


H100 = Card(3.35e12, 495e12, 989e12, 67e12, 0.0019)
RTX_4090 = Card(1.008e12, 82.6e12, 165.2e12, 82.6e12, 0.00335)
FEWER = Solver(6, 6)
RECKONED = {
    "H100": H100.device(),
    "H100, eager": H100.device(recorded=False),
    "RTX 4090": RTX_4090.device(),
    "RTX 4090, eager": RTX_4090.device(recorded=False),
    "RTX 4090, 6 steps of the flow": RTX_4090.device(FEWER),
}


@dataclass(eq=False)
class Speech:
    """One utterance, from its text to the end of its sound."""

    born: float
    length: int
    """Tokens."""
    drawn: int = 0
    settled: int = 0
    chunks: int = 0
    has_slot: bool = False
    sound: float = 0.0
    """Seconds made."""
    first: float | None = None
    """When the first of it was heard."""
    begun: float = 0.0
    """When its playback would have begun, had it never run dry."""
    silences: int = 0
    chunking: Chunking = field(default_factory=Chunking)

    @property
    def reach(self) -> int:
        """Tokens that the next chunk wants beyond the settled ones."""
        return self.chunking.reach_of(self.chunks)

    @property
    def past(self) -> int:
        """Frames that the next chunk looks back on."""
        return FRAMES * (REFERENCE + min(self.settled, self.chunking.window))

    @property
    def missing(self) -> int:
        """As `FlowStream.missing`."""
        return 0 if self.drawn == self.length else max(0, self.reach - (self.drawn - self.settled))

    def place(self, number: int, now: float) -> Place | None:
        """As `Segment.place`."""
        pending = self.drawn - self.settled
        if self.drawn == self.length and not pending:
            return None
        tail = PROMPT_TAIL if not self.chunks else 0
        frames = FRAMES * (tail + min(pending, self.reach))
        length = None if self.missing else 48 if frames <= 48 else 80
        lead = None if self.first is None else self.sound - (now - self.begun)
        return Place(number, lead, length, self.missing, now - self.born)

    def settle(self, now: float) -> None:
        """A chunk of it has become sound."""
        pending = self.drawn - self.settled
        block = self.chunking.blocks[min(self.chunks, len(self.chunking.blocks) - 1)]
        self.settled += pending if pending < self.reach else block
        self.chunks += 1
        if self.first is None:
            self.first = self.begun = now
        elif (late := now - self.begun - self.sound) > 0:
            self.silences += 1
            self.begun += late
        held = 0.0 if self.settled == self.length else HELD_BACK
        self.sound = max(self.sound, self.settled * SECONDS_A_TOKEN - held)


@dataclass
class Heard:
    """What all callers heard."""

    first: list[float]
    silences: int
    busy: float
    """Share of the time that the device worked."""
    rtf: float
    """Seconds that the device worked for a second of speech."""


def simulate(callers: int, device: Device, *, seconds: float = 120.0, slots: int = SLOTS, seed: int = 0) -> Heard:
    """Let so many callers speak, listen and speak again; all but the last 15 s of them count."""
    dice, costs = random.Random(seed), device.costs
    coming = sorted(dice.uniform(0, 8.0 if callers > 1 else 0.0) for _ in range(callers))
    present: list[Speech] = []
    done: list[Speech] = []
    now = busy = 0.0
    while now < seconds:
        while coming and coming[0] <= now:
            present.append(Speech(coming.pop(0), dice.randrange(75, 275)))
        for speech in [speech for speech in present if speech.settled == speech.length]:
            present.remove(speech)
            done.append(speech)
            over = speech.begun + speech.sound + dice.uniform(0, 0.5)  # heard to its end, then the next
            coming = sorted([*coming, max(now, over)])
        drawing = sum(speech.has_slot and speech.drawn < speech.length for speech in present)
        slotless = [speech for speech in present if not speech.has_slot][max(0, slots - drawing) :]
        places = [
            place
            for number, speech in enumerate(present)
            if speech not in slotless and (place := speech.place(number, now))
        ]
        if not places:
            if not coming:
                break
            now = max(now, coming[0])
            continue
        decision = plan(Picture(tuple(places), costs))
        if decision.work is Work.CHUNK:
            spent = device.chunks([present[number].past for number in decision.members])
            for number in decision.members:
                present[number].settle(now + spent)
        else:
            spent = 0.0
            for speech in present:
                if not speech.has_slot and speech not in slotless:
                    speech.has_slot, spent = True, spent + device.read
            going = [speech for speech in present if speech.has_slot and speech.drawn < speech.length]
            lacking = [speech.missing for speech in going if speech.first is None and speech.missing]
            steps = min([GROUP, *lacking])  # as `Scheduler._wanted`
            spent += device.group(len(going), steps)
            for speech in going:
                speech.drawn = min(speech.length, speech.drawn + steps)
        now, busy = now + spent, busy + spent
    everyone = [*done, *present]
    heard = [speech for speech in everyone if speech.first is not None and speech.born < seconds - 15]
    return Heard(
        [speech.first - speech.born for speech in heard if speech.first is not None],
        sum(speech.silences for speech in heard),
        busy / now,
        busy / sum(speech.settled * SECONDS_A_TOKEN for speech in everyone),
    )


def main() -> None:
    """Print a table for each card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--measured", type=Path, help="times by card, a JSON file; what it lacks is reckoned for an H100"
    )
    parser.add_argument("--day", action="store_true", help="a day's traffic on replicas; see glm_day")
    arguments = parser.parse_args()
    cards = RECKONED
    if arguments.measured:
        measured = json.loads(arguments.measured.read_text())
        cards = {name: replace(RECKONED["H100"], **times) for name, times in measured.items()}
    if arguments.day:
        from tests.benchmarks import glm_day

        return glm_day.main({name: device for name, device in cards.items() if "eager" not in name})
    for card, device in cards.items():
        print(f"{card}: {device}, {'measured' if arguments.measured else 'reckoned'}")
        print("callers  utterances  first audio p50   p95   underruns   RTF  device busy")
        for callers in (1, 4, 8, 16, 24, 32, 48, 64):
            heard = simulate(callers, device)
            p50, p95 = np.percentile(heard.first, [50, 95])
            print(
                f"{callers:7} {len(heard.first):11} {1e3 * p50:13.0f} ms {1e3 * p95:5.0f} {heard.silences:11}"
                f" {heard.rtf:6.3f} {heard.busy:11.0%}",
                flush=True,
            )
            if heard.busy > 0.995:
                print("        overloaded")
                break


if __name__ == "__main__":
    main()
