"""How long to wait at a pause: what the sound, the words and the agent's question say together.

A pause is weighed when it begins and again when its words are known. The weights are a logistic regression, fitted by
`python -m tests.benchmarks.turns --train ends` on conversations that the embedded voices speak; but for
`number_broken`, which no speaker's silence outweighs: nobody stops at 138 of a telephone number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from agent.turns.words import Cues, cues

WEIGHTS = Path(__file__).with_name("weights.json")
SHORTEST_WAIT = 0.25
"""Seconds of silence after which the surest end is taken for one."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What is known when somebody has stopped talking."""

    sound: float | None
    """The audio detector's probability that the turn is over; None: it has not said."""
    stretches: Sequence[str]
    """The transcripts of this turn, one for each stretch of voice; the last one may still be missing."""
    heard: bool = True
    """Whether the words before this pause are among them."""
    question: str = ""
    """What the agent said last."""


def features(pause: Pause) -> dict[str, float]:
    """The numbers that are weighed, by name."""
    sound = min(max(pause.sound if pause.sound is not None else 0.5, 0.003), 0.997)
    evidence = {
        "one": 1.0,
        "sound": math.log(sound / (1 - sound)) / 3,
        "unheard": float(not pause.heard),
    }
    found = cues(pause.stretches, pause.question)
    # Words that are not known yet would only be judged by those of the stretch before.
    return evidence | {f.name: getattr(found, f.name) * pause.heard for f in fields(Cues)}


@dataclass(frozen=True)
class Patience:
    """Turns evidence into seconds of silence."""

    weights: Mapping[str, float]
    sure: float
    """From this probability on nothing more is waited for."""
    middle: float
    """Seconds that are waited at half of it."""

    @classmethod
    def packaged(cls) -> Patience:
        """As fitted."""
        return cls(**json.loads(WEIGHTS.read_text(encoding="utf-8")))

    def probability(self, pause: Pause) -> float:
        """That the turn is over."""
        score = sum(self.weights[name] * value for name, value in features(pause).items())
        return 1 / (1 + math.exp(-score))

    def wait(self, pause: Pause, longest: float) -> float:
        """Seconds of silence after which the turn is over, if nothing else is heard.

        Args:
            pause: What is known.
            longest: The most that is ever waited, in seconds.
        """
        return self.seconds(self.probability(pause), longest)

    def seconds(self, probability: float, longest: float) -> float:
        """The wait that a probability deserves."""
        if probability >= self.sure:
            return SHORTEST_WAIT
        doubt = 1 - probability / self.sure  # 0 sure, 1 surely not over
        middle = min(self.middle, longest)
        if doubt <= 0.5:
            return 0.5 + (middle - 0.5) * doubt / 0.5
        return middle + (longest - middle) * (doubt - 0.5) / 0.5
