"""What the agent's detectors make of a recording in the bench of turn-taking, run as fast as they go.

Results are kept in the cache folder, so that only the first run listens.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams, VADState

from agent.ears.stt import BEFORE_VOICE, LATER_GLIMPSE, NEXT_GLIMPSE, SOON
from agent.settings import Settings
from agent.turns.lull import LONG_LULL, LULL, Lull
from agent.turns.stop import ASKED_AFTER
from tests.benchmarks.turns_heard import RATE, Audio
from tts_service.cache import cache_directory
from tts_service.voices.recogniser import Recogniser

GRACE = 0.25
"""A recogniser's stretch begins so much before the voice was noticed."""
LAST_GLIMPSE = 2.0
"""Seconds of voice after which nobody looks any more, as a voice has interrupted by then."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Voice between two pauses, as the agent's detectors see it."""

    begin: float
    """When the voice began, in seconds."""
    end: float
    """When the silence began."""
    sound: float
    """Smart Turn's probability of an end, after `stop_seconds` of silence."""
    sound_early: float
    """The same for the agent, which asks at the first lull."""
    text: str


@dataclass(frozen=True, slots=True)
class Looks:
    """What the recogniser's encoder makes of a voice, look by look, the last time as a whole."""

    times: list[float]
    """When, in seconds."""
    states: list[NDArray[np.float32]]
    """[frames, 512] each."""


class Ears:
    """The agent's detectors."""

    def __init__(self, settings: Settings) -> None:
        turns = settings.turns
        self._params = VADParams(
            confidence=turns.confidence,
            start_secs=turns.start_seconds,
            stop_secs=turns.stop_seconds,
            min_volume=turns.min_volume,
        )
        self.start_seconds, self.stop_seconds = turns.start_seconds, turns.stop_seconds
        self._vad = SileroVADAnalyzer(params=self._params)
        self._vad.set_sample_rate(RATE)
        self._smart_turn = LocalSmartTurnAnalyzerV3()
        self._smart_turn.set_sample_rate(RATE)
        self.recogniser = Recogniser(
            **settings.ears.model_dump(include={"languages", "beam_size", "threads", "window"})
        )
        self._folder = cache_directory() / "turns"
        self.costs: dict[str, list[float]] = {"recognition": [], "smart turn": [], "look": []}

    def stretches(self, samples: Audio) -> list[Stretch]:
        """Where the voice was, what each stretch says, and whether it sounds like an end."""
        key = hashlib.sha256(
            samples.tobytes() + repr((self._params, LULL, LONG_LULL, ASKED_AFTER)).encode()
        ).hexdigest()[:24]
        file = self._folder / f"heard-{key}.json"
        if not file.exists():
            found = [self._look(samples, begin, end) for begin, end in self.voice(samples)]
            file.write_text(json.dumps(found), encoding="utf-8")
        return [Stretch(*values) for values in json.loads(file.read_text(encoding="utf-8"))]

    def looks(self, samples: Audio, begin: float, end: float) -> Looks:
        """What is made of a stretch during the agent's speech, from the moment in which it is known to be one."""
        parameters = (self._params, begin, end, NEXT_GLIMPSE, LATER_GLIMPSE, SOON, BEFORE_VOICE, LONG_LULL)
        key = hashlib.sha256(samples.tobytes() + repr(parameters).encode()).hexdigest()[:24]
        file = self._folder / f"looks-{key}.npz"
        if not file.exists():
            start, over = max(0, begin - BEFORE_VOICE), end + LONG_LULL
            first = begin + self._params.start_secs
            quick = np.arange(first, begin + SOON, NEXT_GLIMPSE)
            times = np.concatenate([quick, np.arange(quick[-1] + LATER_GLIMPSE, begin + LAST_GLIMPSE, LATER_GLIMPSE)])
            times = np.append(times[times < over], over)
            states = [self._timed_look(samples[int(start * RATE) : int(at * RATE)]) for at in times]
            np.savez(
                file, times=times, lengths=[len(s) for s in states], states=np.concatenate(states, dtype=np.float16)
            )
        with np.load(file) as kept:
            parts = np.split(kept["states"].astype(np.float32), np.cumsum(kept["lengths"])[:-1])
            return Looks(kept["times"].tolist(), parts)

    def words(self, samples: Audio, begin: float, end: float, likely: str) -> str:
        """The transcript of a stretch during the agent's speech."""
        key = hashlib.sha256(samples.tobytes() + repr((begin, end, LONG_LULL, likely)).encode()).hexdigest()[:24]
        file = self._folder / f"words-{key}.txt"
        if not file.exists():
            part = samples[int(max(0, begin - 1) * RATE) : int((end + LONG_LULL) * RATE)]
            file.write_text(self.recogniser.transcribe(part, likely=likely).text, encoding="utf-8")
        return file.read_text(encoding="utf-8")

    def _timed_look(self, samples: Audio) -> Audio:
        began = time.perf_counter()
        states = self.recogniser.encode(samples)
        assert states is not None
        self.costs["look"].append(time.perf_counter() - began)
        return states

    def voice(self, samples: Audio) -> list[tuple[float, float]]:
        """Beginning and end of every stretch of voice."""
        key = hashlib.sha256(samples.tobytes() + repr(self._params).encode()).hexdigest()[:24]
        file = self._folder / f"voice-{key}.json"
        if not file.exists():
            file.write_text(json.dumps(list(self._voice(samples))), encoding="utf-8")
        return [(begin, end) for begin, end in json.loads(file.read_text(encoding="utf-8"))]

    def _voice(self, samples: Audio) -> Iterable[tuple[float, float]]:
        begin: float | None = None
        for at, state in self.states(samples):
            if state == VADState.SPEAKING and begin is None:
                begin = at - self._params.start_secs
            elif state == VADState.QUIET and begin is not None:
                yield begin, at - self._params.stop_secs
                begin = None

    def states(self, samples: Audio) -> Iterable[tuple[float, VADState]]:
        """The state of the VAD after every 20 ms."""
        vad = copy.copy(self._vad)  # one that has heard nothing
        vad._model, vad._volume_tracker = copy.copy(vad._model), copy.deepcopy(vad._volume_tracker)
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        step = RATE // 50 * 2
        for start in range(0, len(pcm) - step + 1, step):
            yield (start + step) / 2 / RATE, vad._run_analyzer(pcm[start : start + step])

    def _look(self, samples: Audio, begin: float, end: float) -> tuple[float, float, float, float, str]:
        asked = int((end + self._params.stop_secs) * RATE)
        first = int((begin + self._params.start_secs) * RATE)
        sound = early = self._sound(samples[:asked])
        if at := self._lull(samples, first, asked, LONG_LULL):
            early = self._sound(np.pad(samples[:at], (0, int((ASKED_AFTER - LONG_LULL) * RATE))))
        at = self._lull(samples, first, asked, LULL) or asked
        began = time.perf_counter()
        text = self.recogniser.transcribe(samples[int(max(0, begin - GRACE) * RATE) : at]).text
        self.costs["recognition"].append(time.perf_counter() - began)
        return begin, end, sound, early, text

    def _sound(self, samples: Audio) -> float:
        began = time.perf_counter()
        probability = self._smart_turn._predict_endpoint(samples[-8 * RATE :])["probability"]
        self.costs["smart turn"].append(time.perf_counter() - began)
        return float(probability)

    def _lull(self, samples: Audio, first: int, last: int, after: float) -> int | None:
        """The sample at which the agent notices the lull that becomes a pause."""
        lull, noticed, step = Lull(after), None, RATE // 50
        for start in range(first, last - step + 1, step):
            pcm = (np.clip(samples[start : start + step], -1, 1) * 32767).astype("<i2").tobytes()
            if not lull.is_lull(pcm, RATE):
                noticed = None
            elif noticed is None:
                noticed = start + step
        return noticed
