"""What the pieces of GLM-TTS take on this device, recorded and eager, and whether both say the same.

python -m tests.benchmarks.glm --pieces card.json     full size on a GPU, random weights; a scaled model on a CPU
python -m tests.benchmarks.glm --look card.json       then real listeners on the engine, beside those that are simulated
python -m tests.benchmarks.glm_simulated --measured card.json

The file holds the times that the simulation reckons with (`glm_simulated.Device`), in seconds.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.glm import FULL, SCALED, Clock, Model, random_model
from tests.benchmarks.glm_simulated import FRAMES, GROUP, PROMPT, REFERENCE, SLOTS, Device, simulate
from tts_service.glm.device.graphs import cuda_recorder
from tts_service.glm.flow_matching.graph import FlowGraphs
from tts_service.glm.flow_matching.stream import Chunking, FlowStream, FlowVoice, work_through
from tts_service.glm.language_model.decode import Decoder, Limits
from tts_service.glm.models import in_fixed_shapes
from tts_service.glm.vocoding.hift_graph import HiFTGraphs, HiFTWindow
from tts_service.glm.vocoding.hift_stream import HiFTStream

CONTEXT = 1024 + GROUP
LATE = 12
"""Chunks after which the window is full."""


def timed(device: torch.device, work: Callable[[], Any], times: int = 5) -> float:
    """The least of several runs, on a CPU of one, after one that does not count."""
    work()
    taken = []
    for _ in range(times if device.type == "cuda" else 1):
        clock = Clock(device)
        work()
        taken.append(clock.read())
    return min(taken)


def streams_of(voice: FlowVoice, count: int, chunks: int) -> list[FlowStream]:
    """So many utterances, each so many chunks along."""
    streams = [FlowStream(voice, seed, Chunking(), 600) for seed in range(count)]
    for stream in streams:
        stream.add([(31 * i) % 32768 for i in range(3000)])
    for _ in range(chunks):
        work_through(streams, [lambda: False] * count)
    return streams


def chunk(device: torch.device, voice: FlowVoice, count: int, late: int) -> tuple[float, int]:
    """Seconds of a batch of chunks, and the frames that each looks back on."""
    streams = streams_of(voice, count, late)
    seconds = timed(device, lambda: work_through(streams, [lambda: False] * count), 3)
    return seconds, streams[0]._cache.reach


def new_voice(model: Model, graphs: FlowGraphs | None) -> FlowVoice:
    """A voice with a reference of five seconds."""
    dice = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 32768, (REFERENCE,), generator=dice)
    mel = (torch.randn(FRAMES * REFERENCE, 80, generator=dice) - 4).to(model.device)
    return FlowVoice(model.flow, tokens, mel, torch.randn(192, generator=dice).to(model.device), graphs=graphs)


def pieces(model: Model, decoder: Decoder, graphs: FlowGraphs | None, windows: HiFTGraphs | None, few: bool) -> Device:
    """Measure everything once, with graphs or without."""
    device, block = model.device, decoder.blocks[-1]
    span = decoder.spans[min(1, len(decoder.spans) - 1)]

    def steps(seen: int) -> float:
        def group() -> None:
            for _ in range(GROUP):
                decoder.rehearse(block, seen, span)

        return timed(device, group) / GROUP

    lonely, crowded = steps(1), steps(block)
    row = max(0.0, crowded - lonely) / max(1, block - 1)
    read = timed(device, lambda: decoder.prefill(0, list(range(PROMPT + 1)), Limits(0, 0), "ras", 0))
    voice, many = new_voice(model, graphs), 2 if few else 8
    (early, near), (late, far) = (chunk(device, voice, 1, chunks) for chunks in (1, 3 if few else LATE))
    crowd, _ = chunk(device, voice, many, 1)
    frame = max(0.0, late - early) / max(1, far - near)
    further = max(0.0, crowd - early) / (many - 1)
    mel = torch.zeros(1, 80, FRAMES * 25, device=device)
    waves: list[Any] = [HiFTWindow(windows, n) if windows else HiFTStream(model.hift, n) for n in range(many)]

    def push(count: int) -> None:
        if windows:
            HiFTWindow.push_all([(wave, mel, False) for wave in waves[:count]])
        else:
            for wave in waves[:count]:
                wave.push(mel)

    one, all_of_them = timed(device, lambda: push(1)), timed(device, lambda: push(many))
    each = max(0.0, further - frame * near)
    return Device(
        step=lonely - row, row=row, read=read, chunk=max(0.0, early - further), each=each, frame=frame, push=one,
        further_push=max(0.0, all_of_them - one) / (many - 1),
    )  # fmt: skip


def agreement(model: Model, graphs: FlowGraphs, windows: HiFTGraphs) -> tuple[float, float]:
    """Greatest difference between what is recorded and what is not: of a mel, and of samples from one mel."""

    def said(graphs: FlowGraphs | None) -> list[Tensor]:
        stream = FlowStream(new_voice(model, graphs), 0, Chunking(), 60)
        stream.add(range(60))
        stream.end()
        mels = []
        while stream.ready:
            made = stream.chunk(lambda: False)
            assert made is not None
            mels.append(made)
        return mels

    eager = said(None)
    waves: list[Any] = [HiFTStream(model.hift, 0), HiFTWindow(windows, 0)]
    heard = [torch.cat([wave.push(mel, n == len(eager)) for n, mel in enumerate(eager, 1)]) for wave in waves]
    difference = torch.cat(said(graphs), dim=2) - torch.cat(eager, dim=2)
    return float(difference.abs().max()), float((heard[0] - heard[1]).abs().max())


@torch.inference_mode()
def main(path: Path, device: torch.device, full: bool) -> None:
    """Print both, and write what the simulation takes."""
    model, on_gpu = random_model(FULL if full else SCALED, device), device.type == "cuda"
    if on_gpu:
        model.flow.past_dtype = torch.float16
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    slots = SLOTS if on_gpu else 4
    decoder = Decoder(model.lm, model.head, model.lm.new_cache(slots, CONTEXT), blocks=[slots])
    recorder = cuda_recorder if on_gpu else None
    graphs, windows, _ = in_fixed_shapes(model.flow, model.hift, Chunking(), 8e9 if on_gpu else 1e9, recorder)
    found = {f"{name}, eager": pieces(model, decoder, None, None, not on_gpu)}
    if on_gpu:
        decoder.record(cuda_recorder)
    found[name] = pieces(model, decoder, graphs, windows, not on_gpu)
    for title, times in found.items():
        print(title, {key: f"{1e3 * value:.3f} ms" for key, value in asdict(times).items()})
    print("recorded against eager: mel {:.1e}, samples {:.1e} at most".format(*agreement(model, graphs, windows)))
    path.write_text(json.dumps({title: asdict(times) for title, times in found.items()}, indent=1))


def look(path: Path, device: torch.device, full: bool) -> None:
    """All that there is to see on a device: its pieces, listeners, and what the simulation says of as many."""
    from tests.benchmarks import glm_callers

    main(path, device, full)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    counts = [1, 8, 16, 32] if device.type == "cuda" else [1, 2]
    glm_callers.measure(counts, FULL if full else SCALED, device, None, True)
    times = Device(**list(json.loads(path.read_text()).values())[-1])
    for count in counts:
        heard = simulate(count, times, seconds=60)
        p50, p95 = 1e3 * np.percentile(heard.first, [50, 95])
        print(
            f"simulated with these times: {count} callers, {p50:.0f} ms, p95 {p95:.0f} ms, {heard.silences} underruns"
        )
