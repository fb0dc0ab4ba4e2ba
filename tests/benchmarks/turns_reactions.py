"""Fits how nods and interruptions sound (`agent.turns.reaction`) on the development half of the bench."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.ears.stt import LULL
from agent.turns.reaction import WEIGHTS, Network, Reactions, pooled
from tests.benchmarks.turns_heard import GAINS, RATE, Audio, Studio, hiss, noise, through, voices_for
from tests.benchmarks.turns_said import COMMANDS, MORE_COMMANDS, MORE_NODS, NODS, QUESTIONS
from tts_service.voices.recogniser import Recogniser

SPEEDS = (1.0, 0.9, 1.1, 1.0, 1.2, 1.0, 1.0)
LINES = ("wide", "wide", "g711", "lossy")
PREFIXES = (0.28, 0.43, 0.58, 0.73, 0.9, 1.2)
"""Seconds of voice that have been heard when it is looked at."""
UNITS = 32
NOISES = ("cough", "keyboard", "music", "door")


def said(studio: Studio, readings: int) -> Iterator[tuple[bool, Audio, str, int, str]]:
    """What is heard while the agent speaks: whether it interrupts, its sound, its line, a seed, and who speaks."""
    for reading in range(readings):
        for language in ("zh", "en"):
            voices = voices_for(language, kept=False)
            tables = (
                (False, (*NODS[language], *MORE_NODS[language])),
                (True, (*COMMANDS[language], *MORE_COMMANDS[language])),
                (True, QUESTIONS[language]),
            )
            for meant, texts in tables:
                for number, text in enumerate(texts):
                    speed = SPEEDS[(number + reading) % len(SPEEDS)] if reading > 2 else 1.0
                    voice = voices[(number + reading * 3) % len(voices)]
                    spoken, _ = studio.say(text, voice, speed)
                    yield meant, spoken, LINES[(number + reading) % 4], number + 100 * reading, voice
    for seed in range(40):
        for kind in NOISES:
            yield False, noise(kind, seed), LINES[seed % 4], seed, ""
    for number, turn in enumerate(studio.turns(False, 1)):
        spoken = turn.samples[RATE : int(2.6 * RATE)]
        yield True, spoken, "wide", number, turn.voice


@dataclass(frozen=True)
class Examples:
    """What is learnt from.

    Attributes:
        states: Pooled [n, 1536].
        meant: Whether each interrupts [n].
        whole: Whether it was over [n].
        seconds: How much of the voice had been heard [n].
        voices: Who spoke [n]; empty for a noise.
    """

    states: NDArray[np.float32]
    meant: NDArray[np.float32]
    whole: NDArray[np.bool_]
    seconds: NDArray[np.float32]
    voices: NDArray[np.str_]


def examples(studio: Studio, recogniser: Recogniser, readings: int) -> Examples:
    """The beginnings of all that is said, and all of it."""
    rows: list[tuple[NDArray[np.float32], bool, bool, float, str]] = []
    for meant, spoken, line, seed, voice in said(studio, readings):
        dice = random.Random(seed)
        sound = np.concatenate([hiss(0.4, seed), spoken * dice.uniform(*GAINS), hiss(0.6, seed + 1)])
        before, late = dice.uniform(0.1, 0.3), dice.uniform(-0.06, 0.06)
        sound = through(sound.astype(np.float32), line, seed)[int((0.4 - before) * RATE) :]
        over = len(spoken) / RATE + LULL
        for seconds, whole in [*((at + late, False) for at in PREFIXES if at + late <= over), (over, True)]:
            states = recogniser.encode(sound[: int((before + seconds) * RATE)])
            assert states is not None
            rows.append((pooled(states), meant, whole, seconds, voice))
    columns = list(zip(*rows, strict=True))
    return Examples(
        np.array(columns[0], np.float32),
        np.array(columns[1], np.float32),
        np.array(columns[2]),
        np.array(columns[3], np.float32),
        np.array(columns[4]),
    )


def fit(x: NDArray[np.float32], y: NDArray[np.float32]) -> Network:
    """A network for states x [n, 1536] that interrupt (y [n] is 1) or do not (0)."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    torch.manual_seed(0)
    torch.set_num_threads(1)  # so small a network only waits for a second one
    middle, scale = x.mean(axis=0), x.std(axis=0) + 1e-2
    inputs, wanted = torch.tensor((x - middle) / scale), torch.tensor(0.03 + 0.94 * y)
    net = torch.nn.Sequential(
        torch.nn.Dropout(0.2),
        torch.nn.Linear(x.shape[1], UNITS),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(UNITS, 1),
    )
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1.0)
    balance = torch.tensor((1 - y.mean()) / y.mean())
    for _ in range(40):
        for batch in torch.randperm(len(inputs)).split(128):
            optimizer.zero_grad()
            loss = binary_cross_entropy_with_logits(net(inputs[batch])[:, 0], wanted[batch], pos_weight=balance)
            loss.backward()
            optimizer.step()
    inner, offsets, outer, bias = (p.detach().numpy() for p in net.parameters())
    inner = inner.T / scale[:, None]
    return Network(inner, offsets - middle @ inner, outer[0], float(bias[0]))


def reactions(known: Examples, picked: NDArray[np.bool_]) -> Reactions:
    """Both networks, learnt from some of the examples; whoever is over is taken for a whole from half a second on."""
    late = known.whole | (known.seconds > 0.5)
    return Reactions(*(fit(known.states[picked & some], known.meant[picked & some]) for some in (~known.whole, late)))


def cross_check(known: Examples) -> None:
    """Print what the networks do with voices that they have not learnt from."""
    voices = sorted(set(known.voices.tolist()) - {""})
    told: list[tuple[str, bool, float]] = []
    for fold in range(4):
        unseen = np.isin(known.voices, voices[fold::4])
        learnt = reactions(known, ~unseen)
        for at in np.flatnonzero(unseen):
            whole = bool(known.whole[at])
            moment = "whole" if whole else "0.35 s" if known.seconds[at] < 0.35 else "later"
            told.append((moment, known.meant[at] > 0.5, learnt.meant_pooled(known.states[at], whole=whole)))
    for moment in ("0.35 s", "later", "whole"):
        for least in (0.5, 0.7, 0.8, 0.9, 0.95):
            shares = [np.mean([how >= least for m, y, how in told if m == moment and y == meant]) for meant in (1, 0)]
            print(f"  {moment:7} at {least:.2f}: interruptions {shares[0]:6.1%}, nods {shares[1]:6.1%}")


def train(studio: Studio, recogniser: Recogniser, readings: int, file: Path = WEIGHTS) -> None:
    """Fit and keep the weights."""
    known = examples(studio, recogniser, readings)
    print(f"reactions: {len(known.meant)} looks; a quarter of the voices left out in turn:")
    cross_check(known)
    reactions(known, np.ones(len(known.meant), bool)).keep(file)
