"""Many callers of one GLM-TTS engine: who waits how long, where the time goes, and what the machine would allow.

python -m tests.benchmarks.glm --concurrency 1,4,16,32             real-time callers; full size on a GPU, random weights
python -m tests.benchmarks.glm --concurrency 16 --stress 180       the tiny checkpoint: cancels, errors, equality

The engine is the real one, with its scheduler and the `Synthesizer` around it; only the weights are random.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from tests.benchmarks.glm import FULL, SCALED, TOKEN_SECONDS, Clock, Size, random_model
from tests.glm import callers
from tests.glm.conftest import CHECKPOINT, make_audio
from tts_service import Synthesizer
from tts_service.engine import SynthesisOptions
from tts_service.glm import scheduler as scheduler_module
from tts_service.glm.device import memory
from tts_service.glm.device.memory import Room
from tts_service.glm.engine import GLMEngine
from tts_service.glm.flow_matching.stream import Chunking
from tts_service.glm.language_model.decode import Decoder, SpeechHead
from tts_service.glm.models import Models, in_fixed_shapes, new_decoder
from tts_service.voices.library import Library

TEXT = "今天天气很好我们去公园散步吧"
PATIENCE = 0.3
"""Seconds to the first audio that p95 may take."""


def library(folder: Path) -> Library:
    """One voice with five seconds of reference."""
    soundfile.write(folder / "recording.wav", make_audio(3, 44100, 5.0), 44100)
    found = Library(folder / "library")
    found.add(folder / "recording.wav", name="tong", transcript="今天天气很好。", consent="a synthetic sound")
    return found


def random_engine(size: Size, device: torch.device, slots: int | None, voices: Library) -> GLMEngine:
    """The engine with random networks of a size behind the tiny checkpoint's text and voice features."""

    def read() -> Models:
        models = Models.read(CHECKPOINT, torch.device("cpu"), 4, Chunking(), lambda part, share: None)
        networks = random_model(size, device)
        if device.type == "cuda":
            networks.flow.estimator.rounded, networks.flow.past_dtype = True, torch.float16
        head = SpeechHead(networks.lm, models.text.speech)
        decoder = new_decoder(networks.lm, head, slots)
        costs = None
        if device.type == "cuda":
            from tts_service.glm.cuda import warm_up
            from tts_service.glm.device.graphs import cuda_recorder

            models.sound = torch.cuda.Stream(device)
            free = torch.cuda.mem_get_info(device)[0] - memory.WORK
            models.graphs, models.windows, room = in_fixed_shapes(
                networks.flow, networks.hift, Chunking(), free, cuda_recorder
            )
            costs = warm_up(
                decoder, networks.flow, networks.hift, Chunking(), lambda share: None,
                sound=models.sound, graphs=models.graphs, windows=models.windows,
            )  # fmt: skip
            models.room = Room(room)
        models.lm, models.head, models.flow, models.hift = networks.lm, head, networks.flow, networks.hift
        models.scheduler = scheduler_module.Scheduler(decoder, flight=1 if device.type == "cuda" else 0, costs=costs)
        return models

    return GLMEngine(read, voices, f"random {size} {device}", Chunking())


@dataclass
class Heard:
    """One listener's side of an utterance."""

    first: float | None = None
    """Seconds from the text to the first sound."""
    wait: float = 0.0
    busy: float = 0.0
    audio: float = 0.0
    silences: list[float] = field(default_factory=list)
    """Seconds by which a chunk came too late."""


def listen(synthesizer: Synthesizer, seconds: float, seed: int) -> Heard:
    """Speak for so long and play it as it comes."""
    heard, ended, begun = Heard(), threading.Event(), [0.0]

    def play(chunk: Any) -> None:
        now = time.monotonic()
        if heard.audio == 0.0:
            begun[0] = now
        elif (late := now - begun[0] - heard.audio) > 0:
            heard.silences.append(late)
            begun[0] += late
        heard.audio += chunk.seconds

    utterance = synthesizer.open(
        on_chunk=play,
        on_end=lambda error: ended.set(),
        options=SynthesisOptions(seed=seed, max_length=round(seconds / TOKEN_SECONDS)),
    )
    utterance.feed(TEXT)
    utterance.end()
    ended.wait()
    left = begun[0] + heard.audio - time.monotonic()
    threading.Event().wait(max(0.0, left))  # a person hears it out before he speaks again
    report = utterance.report
    heard.first, heard.wait, heard.busy = report.first_audio, report.queue_wait, report.busy
    return heard


def callers_at_once(synthesizer: Synthesizer, count: int, seconds: float, rounds: int) -> tuple[list[Heard], float]:
    """So many listeners, each beginning at a random moment and again after what he heard; what they heard, and how long
    it took."""
    heard: list[Heard] = []

    def live(number: int) -> None:
        dice = random.Random(number)
        threading.Event().wait(dice.uniform(0, seconds if count > 1 else 0))
        for turn in range(rounds):
            one = listen(synthesizer, seconds, 1000 * number + turn)
            heard.append(one)
            threading.Event().wait(dice.uniform(0, 0.5))

    begun = time.monotonic()
    threads = [threading.Thread(target=live, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return heard, time.monotonic() - begun


@contextmanager
def stages(decoder: Decoder, device: torch.device) -> Iterator[dict[str, float]]:
    """Seconds spent in each stage, with the device drained around it; `steps` counts decoding steps."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **kwargs: Any) -> Any:
            clock = Clock(device)
            try:
                return work(*args, **kwargs)
            finally:
                spent[name] += clock.read()
                spent[f"{name} calls"] += 1

        return measured

    prefill, run, together = decoder.prefill, decoder.run, scheduler_module.work_through
    vocode = scheduler_module.sounded
    decoder.prefill, decoder.run = timed("prefill", prefill), timed("LM", run)  # type: ignore[method-assign]
    scheduler_module.work_through = timed("flow", together)
    scheduler_module.sounded = timed("vocoder", vocode)
    try:
        yield spent
    finally:
        decoder.prefill, decoder.run = prefill, run  # type: ignore[method-assign]
        scheduler_module.work_through = together
        scheduler_module.sounded = vocode


def after_cancel(synthesizer: Synthesizer, device: torch.device, seconds: float) -> float:
    """Greatest number of seconds from hanging up to idle, over some moments of an utterance."""
    worst, dice = 0.0, random.Random(0)
    for _ in range(8):
        ended, first = threading.Event(), threading.Event()
        utterance = synthesizer.open(
            on_chunk=lambda chunk, first=first: first.set(), on_end=lambda error, ended=ended: ended.set(),
            options=SynthesisOptions(max_length=round(seconds / TOKEN_SECONDS)),
        )  # fmt: skip
        utterance.feed(TEXT)
        utterance.end()
        first.wait(dice.uniform(0, 0.3))
        clock = Clock(device)
        utterance.cancel()
        ended.wait()
        worst = max(worst, clock.read())
    return worst


def bandwidth(device: torch.device) -> float:
    """Bytes per second that a copy reads and writes."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**25, device=device)
    target = torch.zeros_like(source)
    taken = []
    for _ in range(5):
        clock = Clock(device)
        target.copy_(source)
        taken.append(clock.read())
    return 2 * source.numel() * source.element_size() / min(taken[1:])


def arithmetic(device: torch.device) -> float:
    """Floating point operations per second of a large product in the flow's precision."""
    torch.backends.cuda.matmul.allow_tf32 = True
    size = 8192 if device.type == "cuda" else 1024
    left, taken = torch.randn(size, size, device=device), []
    for _ in range(5):
        clock = Clock(device)
        left @ left
        taken.append(clock.read())
    torch.backends.cuda.matmul.allow_tf32 = False
    return 2 * size**3 / min(taken[1:])


def step_bytes(decoder: Decoder, length: int) -> int:
    """What a decoding step has to read: layers, head, and the cache of a block of rows up to a length."""
    weights = [*decoder.lm.model.layers.parameters(), decoder.head._weight]
    cache = decoder.cache.keys[:, : decoder.blocks[-1], :, :length]
    return sum(t.numel() * t.element_size() for t in weights) + 2 * cache.numel() * cache.element_size()


def chunk_operations(models: Models, frames: int, keys: int) -> int:
    """What ten ODE steps over a chunk with both guidance branches multiply and add."""
    dit = models.flow.estimator
    weights = sum(p.numel() for p in dit.parameters() if p.dim() == 2) - dit.text_emb_layer.text_embed.weight.numel()
    conditioned = sum(p.numel() for b in dit.transformer_blocks for p in b.attn_norm.parameters() if p.dim() == 2)
    attention = dit.sizes.depth * 2 * keys * dit.sizes.width
    return 10 * 2 * frames * 2 * (weights - conditioned + attention)


def roofline(models: Models, spent: dict[str, float], device: torch.device) -> None:
    """What the two great consumers take, over what the machine would allow."""
    decoder = models.scheduler._decoder
    copy, multiply = bandwidth(device), arithmetic(device)
    step = spent["LM"] / max(1, spent["LM calls"]) / 8
    read = step_bytes(decoder, 512)
    print(f"copy {copy / 1e9:.0f} GB/s, product {multiply / 1e12:.2f} TFLOP/s, measured here")
    print(
        f"LM step       {1e3 * step:8.2f} ms for {decoder.blocks[-1]} rows; {read / 1e9:.2f} GB to read are "
        f"{1e3 * read / copy:.2f} ms: {step * copy / read:.1f} times the floor"
    )
    chunk, work = spent["flow"] / max(1, spent["flow calls"]), chunk_operations(models, 80, 600)
    print(
        f"flow, a batch {1e3 * chunk:8.2f} ms; {work / 1e9:.0f} GFLOP a chunk of one utterance are "
        f"{1e3 * work / multiply:.2f} ms at the speed of a large product"
    )


def capacity(points: list[tuple[int, float, int]]) -> str:
    """Where p95 of the first audio passes the patience of callers, from (callers, p95, underruns)."""
    good = [count for count, p95, silences in points if p95 <= PATIENCE and not silences]
    if not good:
        return f"below {points[0][0]} callers"
    above = [count for count, _, _ in points if count > max(good)]
    return f"between {max(good)} and {above[0]} callers" if above else f"at least {max(good)} callers"


def measure(counts: list[int], size: Size, device: torch.device, slots: int | None, quick: bool) -> None:
    """Print a line for each number of callers, then where the time goes."""
    seconds, rounds = (3.0, 1) if quick else (8.0, 3)
    points = []
    with tempfile.TemporaryDirectory() as folder:
        engine = random_engine(size, device, slots, library(Path(folder)))
        engine._loaded()
        with Synthesizer(engine, capacity=max(64, *counts)) as synthesizer:
            listen(synthesizer, seconds, 0)  # the voice is listened to once
            print("callers  first audio p50   p95   queue p95   RTF  underruns  silence  real time")
            for count in counts:
                heard, wall = callers_at_once(synthesizer, count, seconds, rounds)
                first = sorted(one.first or 0.0 for one in heard)
                silences = [late for one in heard for late in one.silences]
                p95 = float(np.percentile(first, 95))
                points.append((count, p95, len(silences)))
                audio = sum(one.audio for one in heard)
                print(
                    f"{count:7} {1e3 * statistics.median(first):12.0f} ms {1e3 * p95:7.0f}"
                    f" {1e3 * np.percentile([one.wait for one in heard], 95):8.0f} ms"
                    f" {sum(one.busy for one in heard) / audio:7.3f} {len(silences):8} {sum(silences):8.1f} s"
                    f" {audio / wall:7.1f} x"
                )
            print(f"p95 of the first audio passes {1e3 * PATIENCE:.0f} ms, or playback starves: {capacity(points)}")
            print(f"from hanging up to idle {1e3 * after_cancel(synthesizer, device, seconds):9.1f} ms at most")
            models = engine._loaded()
            for count in {counts[0], counts[-1]}:
                with stages(models.scheduler._decoder, device) as spent:
                    heard, _ = callers_at_once(synthesizer, count, seconds, 1)
                busy = sum(one.busy for one in heard)
                named = {name: spent[name] for name in ("prefill", "LM", "flow", "vocoder")}
                shares = {**named, "host": max(0.0, busy - sum(named.values()))}
                print(f"{count} callers: " + ", ".join(f"{name} {taken / busy:.0%}" for name, taken in shares.items()))
                roofline(models, spent, device)
    if device.type == "cuda":
        print(f"peak GPU memory {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")
    else:
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def stress(count: int, seconds: float) -> None:
    """Callers who hang up and break things, on the tiny checkpoint; every finished utterance against its solo run."""
    with tempfile.TemporaryDirectory() as folder:
        voices = library(Path(folder))
        engine = GLMEngine.load(CHECKPOINT, voices=voices.folder, device="cpu", slots=8)
        with Synthesizer(engine) as synthesizer:
            callers.say(synthesizer, callers.TEXTS[0], 1)
            scheduler = engine._loaded().scheduler
            with callers.faults(scheduler):
                outcome = callers.crowd(synthesizer, count, seconds)
            left = scheduler.present + scheduler.running
            solo = callers.alone(synthesizer, {(text, seed) for text, seed, _ in outcome.finished})
    same = sum(np.array_equal(samples, solo[text, seed]) for text, seed, samples in outcome.finished)
    print(
        f"{count} callers for {seconds:.0f} s: {same} of {len(outcome.finished)} finished utterances bit-equal to solo"
    )
    print(
        f"{sum(outcome.failed.values())} broken on purpose, {outcome.cancelled} hung up, {left} slots or segments lost"
    )
    print(f"the caller who waited most waited {outcome.unfairness:.2f} times the mean")


def main(arguments: argparse.Namespace) -> None:
    """Measure and print; called by `tests.benchmarks.glm`."""
    counts = [int(count) for count in arguments.concurrency.split(",")]
    if arguments.stress:
        stress(counts[-1], arguments.stress)
        return
    device = torch.device(arguments.device)
    full = arguments.size == "full" or (arguments.size is None and device.type == "cuda")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{'full' if full else 'scaled'} size, random weights, {name}, torch {torch.__version__}")
    measure(counts, FULL if full else SCALED, device, arguments.slots, arguments.quick)
