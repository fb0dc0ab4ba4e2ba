"""Who waits, who nods, who barges in: `python -m tests.benchmarks.turns [--half development] [--train reactions]`.

Conversations are spoken by the embedded voices (`turns_said`, `turns_heard`) and heard by this agent's decision and,
in the same run, by plain Smart Turn v3 and by plain voice activity. No clock is involved: all see the same sound frame
by frame, and what recognition and the audio detector cost is added as measured on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.settings import Settings
from agent.turns.ending import WEIGHTS, Patience, Pause, features
from agent.turns.interjections import means_it, sounds_like_nod
from agent.turns.lull import LULL
from agent.turns.nearness import Nearness
from agent.turns.reaction import Reactions
from agent.turns.start import CLEARLY_SPEECH, sounds_meant
from tests.benchmarks import turns_reactions
from tests.benchmarks.turns_ears import Ears
from tests.benchmarks.turns_heard import RATE, Sound, Studio, Turn, sounds

LONGEST = 2.5
"""Seconds of silence after which everybody gives up, as the agent's `turns.max_pause`."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One pause as a detector meets it."""

    turn: Turn
    at: float
    """When the silence began."""
    lasts: float | None
    """Seconds until the voice goes on; None: it was the end."""
    heard: Pause
    unheard: Pause
    sound: float
    """Smart Turn's probability of an end in the pause."""


def moments(turns: Iterable[Turn], ears: Ears) -> list[Moment]:
    """Every pause in which the VAD noticed a silence, those at the end too."""
    found = []
    for turn in turns:
        stretches = ears.stretches(turn.samples)
        texts: list[str] = []
        for number, stretch in enumerate(stretches):
            last = number == len(stretches) - 1
            lasts = None if last else stretches[number + 1].begin - stretch.end
            before = list(texts)
            texts += [stretch.text] if stretch.text else []
            question = turn.script.question
            unheard = Pause(stretch.sound_early, before, False, question)
            heard = Pause(stretch.sound_early, list(texts), True, question)
            found.append(Moment(turn, stretch.end, lasts, heard, unheard, stretch.sound))
    return found


Decision = Callable[[Moment], float]
"""Seconds of silence after which a detector takes the turn for over, all its thinking included."""


def report(name: str, moments: list[Moment], at_once: Callable[[Moment], bool], live: Decision) -> dict[str, float]:
    """One line of the table.

    Args:
        name: The detector.
        moments: The pauses.
        at_once: Whether it takes the pause for an end when 300 ms of silence have passed.
        live: When it would end the turn, with its thinking.
    """
    inside = [m for m in moments if m.lasts is not None]
    ends = [live(m) for m in moments if m.lasts is None]
    early = [m.lasts is not None and m.lasts > 0.3 and at_once(m) for m in inside]
    cut = [m.lasts is not None and live(m) < m.lasts for m in inside]
    p50, p90 = np.percentile(ends, [50, 90])
    print(
        f"  {name:14} false cut-offs at 300 ms {np.mean(early):6.1%} of {len(inside)}, in the end {np.mean(cut):6.1%}; "
        f"response p50 {p50:.2f} s, p90 {p90:.2f} s of {len(ends)}",
        flush=True,
    )
    return {"early": float(np.mean(early)), "cut": float(np.mean(cut)), "p50": float(p50), "p90": float(p90)}


def compare(found: list[Moment], patience: Patience, recognition: float, smart_turn: float, early_start: float) -> None:
    """The table of one set of pauses."""

    def agent(moment: Moment) -> float:
        known = early_start + recognition
        first = patience.wait(moment.unheard, LONGEST)
        if first <= known:
            return first
        return max(patience.wait(moment.heard, LONGEST), known)

    def smart(moment: Moment) -> float:  # Pipecat's strategy: asked once, and it waits for the transcript
        over = moment.sound > 0.5
        return 0.2 + max(smart_turn, recognition) if over else LONGEST

    for title, pick in KINDS.items():
        some = [m for m in found if pick(m)]
        if not any(m.lasts is None for m in some) or not any(m.lasts is not None for m in some):
            continue
        print(title)
        report("this agent", some, lambda m: patience.wait(m.heard, LONGEST) <= 0.3, agent)
        report("Smart Turn v3", some, lambda m: m.sound > 0.5, smart)
        report("voice activity", some, lambda m: True, lambda m: 0.3)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sound during the agent's speech did."""

    sound: Sound
    agent: float | None
    """Seconds from its beginning to the interruption by this agent; None: none."""
    gave_way: float | None
    """Seconds until this agent speaks more quietly, as somebody may be interrupting it; None: it does not."""
    is_turn: bool
    """Whether it stopped this agent for good: its words are told to the brain, and the agent does not go on."""
    by_voice: float | None
    """The same for Pipecat's own start strategies: voice activity of 0.2 s."""


def interruptions(sounds: Iterable[Sound], ears: Ears, look: float, recognition: float) -> list[Outcome]:
    """Let every sound be heard while the agent speaks."""
    found = []
    reactions = Reactions.packaged()
    for sound in sounds:
        agent = gave_way = by_voice = None
        said: list[str] = []
        for begin, end in ears.voice(sound.samples):
            by_voice = by_voice if by_voice is not None else begin + 0.2 - sound.onset
            noticed = begin + ears.start_seconds
            if gave_way is None and not is_far(sound, begin, noticed):
                gave_way = noticed - sound.onset
            said.append(ears.words(sound.samples, begin, end, sound.language or "zh"))
            stops = list(stops_in(sound, begin, end, ears, reactions, look, recognition))
            if agent is None and stops:
                agent = min(stops) - sound.onset
        is_turn = agent is not None and any(text and not sounds_like_nod(text) for text in said)
        found.append(Outcome(sound, agent, gave_way, is_turn, by_voice))
    return found


def stops_in(
    sound: Sound, begin: float, end: float, ears: Ears, reactions: Reactions, look: float, recognition: float
) -> Iterator[float]:
    """When each reason is there to stop at a stretch of voice, in seconds of the recording."""
    looks = ears.looks(sound.samples, begin, end)
    known: list[tuple[float, float]] = []
    stops = []
    for at, states in zip(looks.times, looks.states, strict=True):
        whole = at == looks.times[-1]
        meant = reactions.meant(states)
        if sounds_meant(meant, known[-1][1] if known else None, whole):
            stops.append(at + look)
        known.append((at + look, meant))
    over, meant = known[-1]
    if means_it(ears.words(sound.samples, begin, end, sound.language or "zh"), meant):
        stops.append(over + recognition)
    if end + ears.stop_seconds > begin + CLEARLY_SPEECH:
        before = [meant for at, meant in known if at <= begin + CLEARLY_SPEECH]
        if not before or before[-1] >= 0.5:
            stops.append(begin + CLEARLY_SPEECH)
    yield from (at for at in stops if not is_far(sound, begin, min(at, end)))


def is_far(sound: Sound, begin: float, at: float) -> bool:
    """Whether a voice is too quiet to be the caller's, as far as it has been heard."""
    nearness = Nearness()
    for samples in (sound.caller, sound.samples[int(begin * RATE) : int(at * RATE)]):
        nearness.begin(0)
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        for start in range(0, len(pcm), RATE // 25):
            nearness.hear(pcm[start : start + RATE // 25], RATE)
        if samples is sound.caller:
            nearness.learn()
    return nearness.is_far


def show_interruptions(outcomes: list[Outcome]) -> None:
    """The second table."""
    print("while the agent speaks (this agent | Pipecat's default: any voice of 0.2 s)")
    people = [new + kind for new in ("", "new ") for kind in ("nod", "command", "question")]
    kinds = (*people, "cough", "keyboard", "music", "door", "television", "echo", "cancelled")
    for kind in kinds:
        for languages in (("zh",), ("en",), ("zh", "en"), ("",)):
            some = [o for o in outcomes if o.sound.kind == kind and o.sound.language in languages]
            if not some:
                continue
            language = "+".join(languages)
            line = []
            for times in ([o.agent for o in some], [o.by_voice for o in some]):
                stopped = [t for t in times if t is not None]
                text = f"stopped by {len(stopped) / len(some):6.1%}"
                if kind.endswith(("command", "question")) and stopped:
                    soon = np.mean([t is not None and t <= 0.4 for t in times])
                    p50, p95 = np.percentile(stopped, [50, 95])
                    text += f", noticed p50 {p50:.2f} s, p95 {p95:.2f} s, within 0.4 s {soon:.0%}"
                line.append(text)
            quieter = [o.gave_way for o in some if o.gave_way is not None]
            if quieter:
                line[0] += f", gave way to {len(quieter) / len(some):.0%} after {np.median(quieter):.2f} s"
            if kind.endswith("nod"):
                line[0] += f" ({sum(o.is_turn for o in some)} for good)"
            print(f"  {kind:12} {language:5} of {len(some):3}: {' | '.join(line)}")


KINDS: dict[str, Callable[[Moment], bool]] = {
    "Mandarin": lambda m: m.turn.script.language == "zh",
    "English": lambda m: m.turn.script.language == "en",
    "all, 16 kHz": lambda m: m.turn.line == "wide",
    "all, G.711": lambda m: m.turn.line == "g711",
    "all, G.711 with 3 % loss": lambda m: m.turn.line == "lossy",
}


def show_cost(found: Iterable[Moment]) -> None:
    """What the decision itself costs on the event loop, the audio detector aside, in time of the core."""
    patience, seconds = Patience.packaged(), []
    for moment in found:
        began = time.thread_time()
        patience.wait(moment.heard, LONGEST)
        seconds.append(time.thread_time() - began)
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    print(f"the decision: p50 {p50:.2f} ms, p99 {p99:.2f} ms of {len(seconds)}")


GIVEN = {"number_broken": -6.0}
"""Weights of what is known beforehand and not to be learnt from a few scripts."""


def train(found: list[Moment], file: Path = WEIGHTS) -> None:
    """Fit the weights on pauses of the development half."""
    rows = [(features(p), m.lasts is None) for m in found for p in (m.heard, m.unheard)]
    names = [name for name in rows[0][0] if name not in GIVEN]
    given = np.array([sum(weight * values[name] for name, weight in GIVEN.items()) for values, _ in rows])
    x = np.array([[values[name] for name in names] for values, _ in rows])
    y = np.array([over for _, over in rows], float)
    balance = np.where(y > 0, len(y) / (2 * y.sum()), len(y) / (2 * (len(y) - y.sum())))
    weights = np.zeros(len(names))
    for _ in range(60):  # Newton's method; a ridge keeps rare cues modest
        p = 1 / (1 + np.exp(-(x @ weights + given)))
        gradient = x.T @ (balance * (p - y)) + weights
        curvature = (x * (balance * p * (1 - p))[:, None]).T @ x + np.eye(len(names))
        weights -= np.linalg.solve(curvature, gradient)
    fitted = {
        "weights": {name: round(float(w), 3) for name, w in zip(names, weights, strict=True)} | GIVEN,
        "sure": 0.75,
        "middle": 1.0,
    }
    file.write_text(json.dumps(fitted, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(fitted))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", choices=("development", "kept"), default="kept")
    parser.add_argument("--readings", type=int, default=1, help="speakers for every script")
    parser.add_argument("--train", choices=("ends", "reactions"), help="fit weights on the development half, and stop")
    options = parser.parse_args()
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f}")
    studio, ears = Studio(), Ears(Settings())
    if options.train == "ends":
        train(moments(studio.turns(False, options.readings), ears))
    elif options.train == "reactions":
        turns_reactions.train(studio, ears)
    if options.train:
        return
    found = moments(studio.turns(options.half == "kept", options.readings), ears)
    show_cost(found)
    compare(found, Patience.packaged(), recognition=0.35, smart_turn=0.04, early_start=LULL)
    heard = sounds(studio, options.half == "kept", options.readings)
    outcomes = interruptions(heard, ears, look=0.03, recognition=0.35)
    show_interruptions(outcomes)
    for name, seconds in ears.costs.items():
        if seconds:
            print(f"{name}: median {np.median(seconds) * 1000:.0f} ms of {len(seconds)}, this run")


if __name__ == "__main__":
    main()
