"""What many callers of GLM-TTS would hear on a GPU that is not here: a simulation around the engine's own planner.

python -m tests.benchmarks.glm_simulated                 H100 and RTX 4090, recorded and eager, 1 to 64 callers
python -m tests.benchmarks.glm_simulated --measured T    with costs measured on a GPU: {"card": {"group": 0.014, ...}}

Nobody measured the costs below: they are reckoned from bytes, operations and counted launches (docs/glm-roofline.md).
What is real is the planner, the chunking and the callers, who come at random, listen in real time and speak again. Work
on the device is done one after the other, as if nothing of it overlapped.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tts_service.glm.decode import GROUP
from tts_service.glm.flow_stream import FRAMES, PROMPT_TAIL, Chunking
from tts_service.glm.planner import Costs, Picture, Place, Work, plan

PREFILL = 0.005
HELD_BACK = 0.405
SECONDS_A_TOKEN = 0.04
ASSUMED = {
    "H100, recorded": Costs(group=0.0152, chunk=0.008, further=0.005, push=0.003),
    "H100, eager": Costs(group=0.0152, chunk=0.026, further=0.006, push=0.0065),
    "RTX 4090, recorded": Costs(group=0.0268, chunk=0.022, further=0.018, push=0.004),
    "RTX 4090, eager": Costs(group=0.0268, chunk=0.024, further=0.019, push=0.005),
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
        blocks = self.chunking.blocks
        return blocks[min(self.chunks, len(blocks) - 1)] + self.chunking.lookahead

    def place(self, number: int, now: float) -> Place | None:
        """As `Segment.place`."""
        pending = self.drawn - self.settled
        if self.drawn == self.length and not pending:
            return None
        ready = pending >= self.reach or self.drawn == self.length
        tail = PROMPT_TAIL if not self.chunks else 0
        length = -(-FRAMES * (tail + min(pending, self.reach)) // 16) * 16 if ready else None
        lead = None if self.first is None else self.sound - (now - self.begun)
        return Place(number, lead, length, 0 if ready else self.reach - pending, now - self.born)

    def settle(self, now: float) -> None:
        """A chunk of it has become sound."""
        pending = self.drawn - self.settled
        self.settled += pending if pending < self.reach else self.reach - self.chunking.lookahead
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


def simulate(callers: int, costs: Costs, *, seconds: float = 120.0, slots: int = 16, seed: int = 0) -> Heard:
    """Let so many callers speak, listen and speak again; all but the last 15 s of them count."""
    dice = random.Random(seed)
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
            spent = costs.chunks(len(decision.members))
            for number in decision.members:
                present[number].settle(now + spent)
        else:
            spent = costs.group
            for speech in present:
                if not speech.has_slot and speech not in slotless:
                    speech.has_slot, spent = True, spent + PREFILL
            for speech in [speech for speech in present if speech.has_slot]:
                speech.drawn = min(speech.length, speech.drawn + GROUP)
        now, busy = now + spent, busy + spent
    heard = [speech for speech in [*done, *present] if speech.first is not None and speech.born < seconds - 15]
    return Heard(
        [speech.first - speech.born for speech in heard if speech.first is not None],
        sum(speech.silences for speech in heard),
        busy / now,
    )


def main() -> None:
    """Print a table for each card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, help="costs by card, a JSON file")
    measured = parser.parse_args().measured
    cards = {name: Costs(**costs) for name, costs in json.loads(measured.read_text()).items()} if measured else ASSUMED
    for card, costs in cards.items():
        print(f"{card}: {costs}, {'measured' if measured else 'assumed'}")
        print("callers  utterances  first audio p50   p95   underruns  device busy")
        for callers in (1, 4, 8, 16, 24, 32, 48, 64):
            heard = simulate(callers, costs)
            p50, p95 = np.percentile(heard.first, [50, 95])
            print(
                f"{callers:7} {len(heard.first):11} {1e3 * p50:13.0f} ms {1e3 * p95:5.0f} {heard.silences:11}"
                f" {heard.busy:11.0%}"
            )


if __name__ == "__main__":
    main()
