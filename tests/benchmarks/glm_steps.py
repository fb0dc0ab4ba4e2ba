"""Fewer evaluations of GLM-TTS's flow: what they save, and how far the sound moves away from the published ten steps.

python -m tests.benchmarks.glm --evaluations     the golden checkpoint and a scaled model, both with random weights

As a measure of what a distance means, the ten steps are held against forty, that is against what the ODE's solution is.
Random weights bend the ODE otherwise than trained ones: the order of the rows is to be trusted, the decibels are not.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from tests.benchmarks.glm import SCALED, random_model
from tests.glm.conftest import CHECKPOINT
from tts_service.glm.flow_matching.flow import Flow, Solver, load_flow
from tts_service.glm.flow_matching.stream import Chunking, FlowStream, FlowVoice
from tts_service.glm.vocoding.hift import HiFT, load_hift
from tts_service.glm.vocoding.hift_stream import HiFTStream

SOLVERS = [(10, 10), (10, 5), (10, 0), (8, 8), (6, 6), (6, 3), (5, 5), (5, 2), (4, 4)]
TRUTH = (40, 40)
REFERENCE, SPOKEN = 75, 75
"""Tokens: 3 s of each."""
DECIBELS = 8.686
"""In one unit of a natural logarithm of amplitudes."""


def spoken(flow: Flow, hift: HiFT, solver: Solver, seed: int) -> tuple[Tensor, Tensor, float]:
    """Mel [80, frames], samples [n], and seconds of the flow, as a listener hears them."""
    flow.solver = solver
    dice = torch.Generator().manual_seed(seed)
    reference = torch.randint(0, 32768, (REFERENCE,), generator=dice)
    mel = torch.randn(2 * REFERENCE, 80, generator=dice) - 4
    voice = FlowVoice(flow, reference, mel, torch.randn(192, generator=dice))
    stream, vocoder = FlowStream(voice, seed, Chunking(), SPOKEN), HiFTStream(hift, seed)
    stream.add(torch.randint(0, 32768, (SPOKEN,), generator=dice).tolist())
    stream.end()
    mels, waves, begun = [], [], time.process_time()
    while stream.ready:
        made = stream.chunk(lambda: False)
        assert made is not None
        mels.append(made)
    spent = time.process_time() - begun
    for number, made in enumerate(mels, 1):
        waves.append(vocoder.push(made, number == len(mels)))
    return torch.cat(mels, dim=2)[0], torch.cat(waves), spent


def spectral_distance(ours: Tensor, theirs: Tensor) -> float:
    """Decibels, root mean square over the bins of each 20 ms and mean over time (the log-spectral distance)."""
    window = torch.hann_window(480)
    loud = [torch.stft(wave, 480, 240, window=window, return_complex=True).abs() for wave in (ours, theirs)]
    floor = 1e-4 * max(float(spectrum.max()) for spectrum in loud)
    decibels = [20 * spectrum.clamp(min=floor).log10() for spectrum in loud]
    return float((decibels[0] - decibels[1]).square().mean(0).sqrt().mean())


def compare(name: str, flow: Flow, hift: HiFT) -> None:
    """Print a row for each solver."""
    print(f"{name}: mel, spectrum against ten guided steps; evaluations, seconds of the flow against theirs")
    seeds = (0, 1)
    published = [spoken(flow, hift, Solver(), seed) for seed in seeds]
    base = sum(spent for _, _, spent in published)
    for steps, guided in [*SOLVERS, TRUTH]:
        solver = Solver(steps, guided)
        ours = [spoken(flow, hift, solver, seed) for seed in seeds]
        pairs = list(zip(ours, published, strict=True))
        mel = sum(float((a[0] - b[0]).abs().mean()) for a, b in pairs) / len(pairs) * DECIBELS
        wave = sum(spectral_distance(a[1], b[1]) for a, b in pairs) / len(pairs)
        print(
            f"  {steps:2} steps, {guided:2} guided: mel {mel:6.3f} dB, spectrum {wave:6.2f} dB;"
            f" {solver.evaluations / 20:5.0%}, {sum(one[2] for one in ours) / base:5.0%}",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    with torch.inference_mode():
        compare("golden checkpoint", load_flow(CHECKPOINT / "flow"), load_hift(CHECKPOINT / "hift"))
        model = random_model(SCALED, torch.device("cpu"))
        compare("scaled model", model.flow, model.hift)
