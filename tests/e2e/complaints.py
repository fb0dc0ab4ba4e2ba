"""What people complain of in voice agents, held as talks with this one: `python -m tests.e2e.complaints [NAME ...]`.

Each takes 10 to 30 s in real time; nothing else should run.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from loguru import logger

from agent.pipeline import Models
from agent.settings import AudioSettings, Settings
from agent.transports.clean import CleanLine
from tests.e2e.talk import Agent, Session, load_scenarios

ECHO = 0.25
"""How much of the agent's own voice a speakerphone sends back (-12 dB)."""
ECHO_SECONDS = 0.08


class Speakerphone(CleanLine):
    """A line that brings the agent its own voice, and takes it out again."""

    async def start(self, sample_rate: int) -> None:
        """Nothing has come back yet."""
        await super().start(sample_rate)
        self._back = np.zeros(int(ECHO_SECONDS * sample_rate), np.int16)

    def sent(self, pcm: bytes, rate: int) -> None:
        """What left will come back."""
        before = len(self._sent)
        super().sent(pcm, rate)
        self._back = np.concatenate([self._back, self._sent[before:]])

    async def filter(self, audio: bytes) -> bytes:
        """The echo is in what comes in."""
        near = np.frombuffer(audio, np.int16).astype(np.float32)
        echo, self._back = self._back[: len(near)], self._back[len(near) :]
        near[: len(echo)] += ECHO * echo
        return await super().filter(np.clip(near, -32768, 32767).astype("<i2").tobytes())


def is_one_turn(session: Session) -> str:
    """Empty, or what went wrong: the user was cut off, or answered twice."""
    heard, answers = session.told("heard"), session.told("answer")[1:]
    if len(heard) == 1 and len(answers) == 1 and not answers[0]["interrupted"]:
        return ""
    return f"heard {[turn['text'] for turn in heard]}, answered {[answer['text'][:20] for answer in answers]}"


def is_undisturbed(session: Session) -> str:
    """Empty, or what was taken for a turn."""
    heard = [turn["text"] for turn in session.told("heard")]
    return "" if len(heard) == 1 else f"heard {heard}"


CHECKS: dict[str, Callable[[Session], str]] = {
    "number_in_groups": is_one_turn,
    "searching_for_a_word": is_one_turn,
    "nod": is_undisturbed,
    "stop_behind_a_nod": lambda session: "",
    "television": is_undisturbed,
    "echo": is_undisturbed,
}
"""What the harness does not see."""
GREETINGS = {"number_in_groups": "请问您的手机号是多少？"}


async def complain(names: list[str]) -> int:
    """Hold the talks; how many went wrong."""
    models = await Models.load(Settings(), lambda step: None)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        scenarios = load_scenarios("complaints", Path(folder), models.synthesizer)
        for name in names or list(scenarios):
            greeting = GREETINGS.get(name, "你好。")
            settings = Settings.load(overrides=[f"brain.greeting={greeting}"])
            line = Speakerphone(AudioSettings(echo_cancellation=True)) if name == "echo" else None
            async with Agent(models, settings, line).served() as agent:
                result = await agent.hold(scenarios[name])
                session = agent.sessions[-1]
                await asyncio.wait_for(session.over.wait(), 30)
            fault = CHECKS[name](session) or ("" if result.passed else "\n".join(result.debug_log))
            wrong += bool(fault)
            heard = " / ".join(turn["text"] for turn in session.told("heard"))
            print(f"{name:22} {fault or 'as it should be'} (heard: {heard})", flush=True)
    models.close()
    return wrong


def main() -> None:
    """Hold all of them, or those that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *CHECKS], default=[], metavar="NAME", help=", ".join(CHECKS))
    options = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    sys.exit(asyncio.run(complain(options.names)) > 0)


if __name__ == "__main__":
    main()
