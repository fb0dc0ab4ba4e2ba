"""Does memory stay where it is? `python -m tests.benchmarks.endurance [--engine kokoro]`.

An utterance of an hour, written a minute ahead of the voice, and ten thousand short ones, one after the other; then the
archive of a batch of as many files. Nothing of the sound is kept. The engine of tones shows the front end, the mark and
the words in minutes; `kokoro` shows the embedded voice, as long as it speaks (an hour in 12 minutes and more).

Goal: at most 20 MiB between the end of the first quarter and the end.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import tts_service
from tests.tts_service.tone_engine import ToneEngine
from tts_service import Synthesizer
from tts_service.workshop.batch import Batch

GOAL_MIB = 20
AHEAD = 300
"""Characters, about a minute."""
TEXTS = (
    "今天下午我们去公园散步，你要一起来吗？",
    "重庆的银行行长说，2026年一季度增长了3.5%，比上海快。",
    "The meeting starts at half past nine, and nobody has booked a room for it yet.",
    "他说：“你先别急。”然后打开了门。屋里很暗，什么也看不见，只听见钟在走。",
)


class Tones(ToneEngine):
    """Keeps no book of its steps."""

    def synthesize(self, *asked):
        self.steps.clear()
        self._began.clear()
        return super().synthesize(*asked)


def resident() -> float:
    """MiB in use by this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def watched(what: str, done: Iterator[float]) -> float:
    """Growth in MiB after the first quarter; `done` yields how much is done, 0 to 1."""
    sizes = []
    for part in done:
        if part * 4 >= len(sizes):
            sizes.append(resident())
            print(f"{what}: {part:4.0%}, {sizes[-1]:.0f} MiB", flush=True)
    return sizes[-1] - sizes[1]


def one_utterance(voice: Synthesizer, seconds: float) -> Iterator[float]:
    heard, told = 0.0, 0

    def written() -> Iterator[str]:
        characters = 0
        for text in itertools.cycle(TEXTS):
            while characters > told + AHEAD:
                time.sleep(0.01)
            characters += len(text)
            yield text

    yield 0.0
    for chunk in voice.stream(written()):
        heard += chunk.seconds
        told = max([told, *(timing.end for timing in chunk.timings)])
        yield min(1.0, heard / seconds)
        if heard >= seconds:
            return


def many_utterances(voice: Synthesizer, count: int) -> Iterator[float]:
    yield 0.0
    for number in range(count):
        for _ in voice.stream(f"第{number}句，你好。"):
            pass
        yield (number + 1) / count


def archived(voice: Synthesizer, count: int) -> float:
    """MiB that Python holds at most while it packs so many files."""
    with tempfile.TemporaryDirectory() as folder:
        batch = Batch(Path(folder, "tasks.jsonl"), Path(folder), maker=None)  # type: ignore[arg-type]
        Path(folder, "report.jsonl").write_text('{"status": "done"}\n' * count)
        for number in range(count):
            batch.files.append(f"output_{number:05}.wav")
            Path(folder, batch.files[-1]).write_bytes(bytes(20_000))
        tracemalloc.start()
        batch.archive()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=["tones", "kokoro"], default="tones")
    parser.add_argument("--minutes", type=float, default=60, help="of speech")
    parser.add_argument("--utterances", type=int, default=10_000)
    asked = parser.parse_args()
    with Synthesizer(Tones()) if asked.engine == "tones" else tts_service.load("kokoro") as voice:
        for _ in voice.stream(TEXTS[1]):  # what is loaded on first use
            pass
        grown = {
            "one utterance": watched("one utterance", one_utterance(voice, 60 * asked.minutes)),
            "many utterances": watched("many utterances", many_utterances(voice, asked.utterances)),
            "the archive": archived(voice, asked.utterances),
        }
    for what, size in grown.items():
        print(f"{what}: {size:+.1f} MiB (goal {GOAL_MIB})")
    sys.exit(any(size > GOAL_MIB for size in grown.values()))


if __name__ == "__main__":
    main()
