"""What the agent hears in the bench of turn-taking: the scripts in many voices, pauses, lines and noises.

Renderings are kept in the cache folder, so that only the first run speaks.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

import tts_service
from agent.settings import AudioSettings
from agent.transports.clean import CleanLine
from tests.benchmarks.turns_blends import Blends
from tests.benchmarks.turns_said import (
    COMMANDS,
    NODS,
    QUESTIONS,
    SCRIPTS,
    UNSEEN_COMMANDS,
    UNSEEN_NODS,
    UNSEEN_QUESTIONS,
    Script,
)
from tts_service.cache import cache_directory
from tts_service.engine import Voice
from tts_service.kokoro.cast import native, table_names

RATE = 16000
FRAME = RATE // 100
Audio = NDArray[np.float32]
PAUSES = {"numbers": 0.55, "list": 0.6, "clause": 0.5, "search": 0.85}
"""Median seconds of a pause inside a turn; log-normal with a deviation of 0.45, and every speaker has a pace."""
SHORTEST, LONGEST = 0.3, 2.2
TELEVISION, ECHO = 10 ** (-30 / 20), 10 ** (-12 / 20)
"""How much of a voice is left of a set in another corner, and of a speakerphone's own."""
TELEVISIONS = (TELEVISION, 2 * TELEVISION)
GAINS = (0.5, 1.2)
"""How loud somebody speaks into the agent's speech, to how loud they spoke before."""
ECHO_SECONDS = 0.08
"""How late it comes back."""
QUIET = 0.02
"""Of the loudest frame: below it is a gap."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One rendered turn."""

    script: Script
    voice: str
    line: str
    """`wide` (16 kHz), `g711` or `lossy` (G.711 with 3 % of the packets lost)."""
    samples: Audio
    """At 16 kHz; a second of silence before, four after."""
    pauses: tuple[tuple[float, float], ...]
    """Beginning and end of each pause inside the turn, in seconds."""
    end: float
    """Where the last word ends."""


def voices_for(language: str, kept: bool) -> list[str]:
    """Speakers of the embedded voice; nobody speaks in both halves."""
    mother = "zj" if language == "zh" else "ab"
    names = sorted(
        (name for name in table_names() if name[0] in mother), key=lambda name: (mother.index(name[0]), name)
    )
    return names[int(kept) :: 2]


class Studio:
    """Renders, and remembers what it has rendered."""

    def __init__(self) -> None:
        self._voice: tts_service.Synthesizer | None = None
        self._folder = cache_directory() / "turns"
        self._folder.mkdir(exist_ok=True)

    def say(self, text: str, voice: str, speed: float = 1.0) -> tuple[Audio, list[tuple[int, float]]]:
        """Speech at 16 kHz from its first to its last sound, and when each character begins."""
        key = hashlib.sha256(f"{text}|{voice}|{speed}".encode()).hexdigest()[:24]
        file = self._folder / f"{key}.npz"
        if not file.exists():
            if self._voice is None:
                self._voice = tts_service.load("kokoro")
                self._voice.engine._voices = Blends()  # type: ignore[attr-defined]
            chunks = list(self._voice.stream(text, Voice(voice, native=native(voice)), speed=speed))
            samples = soxr.resample(np.concatenate([c.samples for c in chunks]), self._voice.sample_rate, RATE)
            times = [(timing.start, timing.seconds) for c in chunks for timing in c.timings]
            np.savez(file, samples=(np.clip(samples, -1, 1) * 32767).astype(np.int16), times=np.array(times))
        with np.load(file) as kept:
            samples = kept["samples"].astype(np.float32) / 32768
            times = [(int(start), float(at)) for start, at in kept["times"]]
        first, last = edges(samples)
        return samples[first:last], [(start, at - first / RATE) for start, at in times]

    def turn(self, script: Script, voice: str, seed: int) -> Turn:
        """One turn with its pauses, on one of the lines."""
        dice = random.Random(seed)
        pieces, mark = script.text.split("|"), "，" if script.language == "zh" else ", "
        text = mark.join(pieces)
        samples, times = self.say(text, voice, dice.choice((0.9, 1.0, 1.0, 1.1)))
        pace, at, pauses = dice.lognormvariate(0, 0.25), 0, []
        shift = 1.0
        out = [hiss(shift, seed)]
        done = 0
        for piece in pieces[:-1]:
            at += len(piece) + len(mark)
            onset = next(seconds for start, seconds in times if start >= at)
            begin, end = gap(samples, onset)
            wanted = PAUSES[script.kind] * pace * dice.lognormvariate(0, 0.45)
            wanted = max(min(max(wanted, SHORTEST), LONGEST), (end - begin) / RATE)
            out += [samples[done:begin], hiss(wanted, seed + at)]
            pauses.append((shift + begin / RATE, shift + begin / RATE + wanted))
            shift += wanted - (end - begin) / RATE
            done = end
        out += [samples[done:], hiss(4.0, seed)]
        line = dice.choice(("wide", "wide", "g711", "lossy"))
        return Turn(
            script, voice, line, through(np.concatenate(out), line, seed), tuple(pauses), shift + len(samples) / RATE
        )

    def turns(self, kept: bool, readings: int = 2) -> list[Turn]:
        """All scripts of one half, each read by some of its speakers."""
        turns = []
        for number, script in enumerate(SCRIPTS):
            if script.kept == kept:
                voices = voices_for(script.language, kept)
                for reading in range(readings):
                    voice = voices[(number // 2 + reading * 3) % len(voices)]
                    turns.append(self.turn(script, voice, seed=1000 * number + reading))
        return turns


def edges(samples: Audio) -> tuple[int, int]:
    """Where the sound begins and ends, in samples."""
    loud = np.flatnonzero(envelope(samples) > QUIET * envelope(samples).max())
    return int(loud[0]) * FRAME, int(loud[-1] + 1) * FRAME


def envelope(samples: Audio) -> Audio:
    """RMS of frames of 10 ms."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return np.asarray(np.sqrt((frames**2).mean(axis=1)))


def gap(samples: Audio, onset: float) -> tuple[int, int]:
    """The quietest stretch before an onset: first and last sample of the gap between two words."""
    levels = envelope(samples)
    middle = int(onset * 100)
    low = max(1, middle - 35)
    quietest = low + int(np.argmin(levels[low : middle + 6]))
    limit = max(QUIET * levels.max(), levels[quietest])
    begin = end = quietest
    while begin > low - 20 and begin > 1 and levels[begin - 1] <= limit:
        begin -= 1
    while end < len(levels) - 1 and levels[end + 1] <= limit:
        end += 1
    return begin * FRAME, (end + 1) * FRAME


def hiss(seconds: float, seed: int) -> Audio:
    """A quiet room."""
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE)).astype(np.float32) * 3e-4


def through(samples: Audio, line: str, seed: int) -> Audio:
    """What is left of a sound behind a line."""
    if line == "wide":
        return samples
    narrow = soxr.resample(samples, RATE, 8000)
    compressed = np.sign(narrow) * np.log1p(255 * np.abs(np.clip(narrow, -1, 1))) / np.log(256)
    compressed = np.round(compressed * 127) / 127
    narrow = np.sign(compressed) * (np.power(256, np.abs(compressed)) - 1) / 255
    if line == "lossy":
        lost = np.random.default_rng(seed).random(len(narrow) // 160 + 1) < 0.03
        narrow = narrow * ~np.repeat(lost, 160)[: len(narrow)]
    return np.asarray(soxr.resample(narrow.astype(np.float32), 8000, RATE))


@dataclass(frozen=True, slots=True)
class Sound:
    """Something that is heard while the agent speaks."""

    kind: str
    """`nod`, `command`, `question`, or of words that were never learnt `new nod` and so on; or a noise: `cough`,
    `keyboard`, `music`, `door`, `television`; `echo` of the agent's own voice, and what `audio.echo_cancellation`
    leaves of it."""
    language: str
    text: str
    line: str
    samples: Audio
    """At 16 kHz; a second of silence before, one and a half after."""
    onset: float
    """Seconds until it begins."""
    caller: Audio
    """What the caller said before, on the same line."""


def sounds(studio: Studio, kept: bool, readings: int = 1) -> list[Sound]:
    """Nods, interruptions and noises of one half."""
    found = []
    for language in ("zh", "en"):
        voices = voices_for(language, kept)
        for kind, known, unseen in (
            ("nod", NODS, UNSEEN_NODS),
            ("command", COMMANDS, UNSEEN_COMMANDS),
            ("question", QUESTIONS, UNSEEN_QUESTIONS),
        ):
            kinds = [(kind, text) for text in known[language]] + [(f"new {kind}", text) for text in unseen[language]]
            for number, (kind_, text) in enumerate(kinds[: None if kept else len(known[language])]):
                for reading in range(2 * readings):
                    seed = 100 * number + reading + 7 * kept
                    dice = random.Random(seed)
                    voice = voices[(number + reading * 3) % len(voices)]
                    spoken = studio.say(text, voice)[0] * dice.uniform(*GAINS)
                    line = dice.choice(("wide", "wide", "g711", "lossy"))
                    before = through(studio.say(QUESTIONS[language][0], voice)[0], line, seed)
                    found.append(_sound(kind_, language, text, line, spoken, seed, before))
    somebody = studio.say(QUESTIONS["zh"][0], voices_for("zh", kept)[0])[0]
    for seed in range(25):
        for kind in ("cough", "keyboard", "music", "door"):
            line = ("wide", "g711")[seed % 2]
            found.append(_sound(kind, "", "", line, noise(kind, seed + 50 * kept), seed, through(somebody, line, seed)))
    clauses = [script for script in SCRIPTS if script.kept == kept and script.kind == "clause"][:12]
    for number, script in enumerate(clauses):
        text = script.text.replace("|", "，" if script.language == "zh" else ", ")
        spoken, _ = studio.say(text, voices_for(script.language, kept)[0])
        for level in TELEVISIONS:
            distant = in_room(spoken, number) * level
            found.append(_sound("television", "", "", "wide", distant, number, somebody))
        sent = np.concatenate([np.zeros(RATE, np.float32), spoken, np.zeros(2 * RATE, np.float32)])
        echo = np.concatenate(
            [hiss(ECHO_SECONDS, number), in_room(sent, number + 40) * ECHO + hiss(len(sent) / RATE, 1)]
        )
        heard = echo[: len(sent)]
        found.append(Sound("echo", "", "", "wide", heard, 1.0, somebody))
        found.append(Sound("cancelled", "", "", "wide", asyncio.run(_cancelled(heard, sent)), 1.0, somebody))
    return found


async def _cancelled(heard: Audio, sent: Audio) -> Audio:
    """What the line hears after echo cancellation, in packets of 20 ms as they come."""
    line, step, cleaned = CleanLine(AudioSettings(echo_cancellation=True)), RATE // 50, []
    await line.start(RATE)
    for start in range(0, len(heard) - step + 1, step):
        packets = [(np.clip(x[start : start + step], -1, 1) * 32767).astype("<i2").tobytes() for x in (sent, heard)]
        line.sent(packets[0], RATE)
        cleaned.append(np.frombuffer(await line.filter(packets[1]), "<i2").astype(np.float32) / 32768)
    return np.concatenate(cleaned)


def _sound(kind: str, language: str, text: str, line: str, spoken: Audio, seed: int, caller: Audio) -> Sound:
    samples = np.concatenate([hiss(1.0, seed), spoken.astype(np.float32), hiss(1.5, seed + 1)])
    return Sound(kind, language, text, line, through(samples, line, seed), 1.0, caller)


def in_room(samples: Audio, seed: int, reverberation: float = 0.4) -> Audio:
    """A voice from a loudspeaker across a room: a direct sound and a decaying tail of echoes."""
    dice = np.random.default_rng(seed)
    n = int(reverberation * RATE)
    response = dice.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n) * 0.1
    response[int(0.003 * RATE * (1 + dice.random()))] = 1.0
    heard = np.fft.irfft(np.fft.rfft(samples, 2 ** int(np.ceil(np.log2(len(samples) + n)))) * np.fft.rfft(
        response, 2 ** int(np.ceil(np.log2(len(samples) + n)))
    ))  # fmt: skip
    return np.asarray(heard[: len(samples)], np.float32)


def noise(kind: str, seed: int) -> Audio:
    """A sound that is no speech, made up: nobody's recording."""
    dice = np.random.default_rng(seed)
    if kind == "cough":  # one to three bursts of breath through a throat
        bursts = []
        for _ in range(dice.integers(1, 4)):
            n = int(dice.uniform(0.15, 0.3) * RATE)
            time = np.arange(n) / RATE
            breath = dice.standard_normal(n) * np.exp(-time * dice.uniform(10, 20)) * np.minimum(1, time / 0.01)
            for formant in dice.uniform((500, 1300, 2500), (800, 1800, 3200)):
                breath += 0.5 * _resonance(breath, float(formant), 200)
            bursts += [
                breath / np.abs(breath).max() * dice.uniform(0.15, 0.5),
                np.zeros(int(dice.uniform(0.1, 0.3) * RATE)),
            ]
        return np.concatenate(bursts).astype(np.float32)
    n = int(3 * RATE)
    time = np.arange(n) / RATE
    samples = np.zeros(n)
    if kind == "keyboard":
        for at in np.cumsum(dice.uniform(0.06, 0.25, 16)):
            k, m = int(at * RATE), int(0.02 * RATE)
            if k + m < n:
                samples[k : k + m] += (
                    dice.standard_normal(m) * np.exp(-np.arange(m) / (0.004 * RATE)) * dice.uniform(0.05, 0.2)
                )
    elif kind == "music":  # chords with harmonics, and a drum
        for beat in range(6):
            root = 110 * 2 ** (dice.integers(0, 12) / 12)
            part = slice(int(beat * 0.5 * RATE), int((beat + 1) * 0.5 * RATE))
            t = time[part] - time[part][0]
            for step in (1, 2 ** (4 / 12), 2 ** (7 / 12)):
                for harmonic in range(1, 6):
                    samples[part] += np.sin(2 * np.pi * root * step * harmonic * t) / harmonic * np.exp(-2 * t)
            samples[part] += 2 * dice.standard_normal(len(t)) * np.exp(-60 * t)
        samples *= 0.15 / np.abs(samples).max()
    else:  # a door
        samples[:8000] = dice.standard_normal(8000) * np.exp(-np.arange(8000) / 1200)
        samples = 0.4 * _resonance(samples, 120, 80)
    return samples.astype(np.float32)


def _resonance(samples: NDArray[np.float64], hertz: float, width: float) -> NDArray[np.float64]:
    spectrum, at = np.fft.rfft(samples), np.fft.rfftfreq(len(samples), 1 / RATE)
    found = np.fft.irfft(spectrum * np.exp(-(((at - hertz) / width) ** 2)), len(samples))
    return np.asarray(found / (np.abs(found).max() + 1e-9))
