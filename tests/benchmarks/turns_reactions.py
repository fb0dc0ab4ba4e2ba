"""Fits how nods and interruptions sound (`agent.turns.reaction`) on the development half of the bench."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.turns.reaction import WEIGHTS, pooled
from tests.benchmarks.turns_heard import RATE, TELEVISION, Audio, Studio, hiss, in_room, noise, through, voices_for
from tests.benchmarks.turns_said import COMMANDS, MORE_COMMANDS, MORE_NODS, NODS, QUESTIONS
from tts_service.recogniser import Recogniser

SPEEDS = (1.0, 0.9, 1.1, 1.0, 1.2, 1.0, 1.0)
LINES = ("wide", "wide", "g711", "lossy")
PREFIXES = (0.3, 0.45, 0.65, 0.9, 1.2)
"""Seconds of voice that have been heard when it is looked at."""
NOISES = ("cough", "keyboard", "music", "door")


def said(studio: Studio, readings: int) -> Iterator[tuple[bool, Audio, str, int]]:
    """What is heard while the agent speaks: whether it interrupts, its sound, its line and a seed."""
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
                    spoken, _ = studio.say(text, voices[(number + reading * 3) % len(voices)], speed)
                    yield meant, spoken, LINES[(number + reading) % 4], number + 100 * reading
    for seed in range(32):
        for kind in NOISES:
            yield False, noise(kind, seed), LINES[seed % 4], seed
    for number, turn in enumerate(studio.turns(False, 1)):
        spoken = turn.samples[RATE : int(2.6 * RATE)]
        yield True, spoken, turn.line, number
        if turn.script.kind == "clause":
            yield False, in_room(spoken, number) * TELEVISION, "wide", number


def examples(studio: Studio, recogniser: Recogniser, readings: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Pooled states [n, 1536] of the beginnings of all that is said, and whether it interrupts [n]."""
    x: list[NDArray[np.float32]] = []
    y: list[bool] = []
    for meant, spoken, line, seed in said(studio, readings):
        dice = random.Random(seed)
        sound = np.concatenate([hiss(0.3, seed), spoken * dice.uniform(0.5, 1.2), hiss(0.6, seed + 1)])
        before = dice.uniform(0.0, 0.25)
        sound = through(sound.astype(np.float32), line, seed)[int((0.3 - before) * RATE) :]
        ends = len(spoken) / RATE
        for seconds in [*(s for s in PREFIXES if s <= ends + 0.1), min(ends + 0.15, 1.7)]:
            states = recogniser.encode(sound[: int((before + seconds) * RATE)])
            assert states is not None
            x.append(pooled(states))
            y.append(meant)
    return np.array(x, np.float32), np.array(y, float)


def fit(x: NDArray[np.float32], y: NDArray[np.float64], ridge: float = 0.1) -> tuple[NDArray[np.float32], float]:
    """Weights [1536] and bias of a logistic regression, by accelerated gradient descent on standardised states."""
    middle, scale = x.mean(axis=0), x.std(axis=0) + 1e-3
    z = np.concatenate([(x - middle) / scale, np.ones((len(x), 1), np.float32)], axis=1)
    balance = np.where(y > 0, len(y) / (2 * y.sum()), len(y) / (2 * (len(y) - y.sum()))).astype(np.float32)
    direction = np.ones(z.shape[1], np.float32)
    for _ in range(10):  # the steepest curvature tells how far a step may go
        direction = z.T @ (balance / 4 * (z @ (direction / np.linalg.norm(direction)))) / len(y)
    step = 1 / (1.2 * np.linalg.norm(direction) + ridge)
    weights = ahead = np.zeros(z.shape[1], np.float32)
    for turn in range(150):
        error = balance * (1 / (1 + np.exp(-z @ ahead)) - y.astype(np.float32))
        gradient = z.T @ error / len(y) + ridge * ahead
        moved = ahead - step * gradient
        ahead = moved + turn / (turn + 3) * (moved - weights)
        weights = moved
    own = weights[:-1] / scale
    return own, float(weights[-1] - own @ middle)


def train(studio: Studio, recogniser: Recogniser, readings: int, file: Path = WEIGHTS) -> None:
    """Fit and keep the weights."""
    x, y = examples(studio, recogniser, readings)
    weights, bias = fit(x, y)
    np.savez(file, weights=weights.astype(np.float16), bias=np.float32(bias))
    print(f"reactions: fitted on {len(y)} looks")
