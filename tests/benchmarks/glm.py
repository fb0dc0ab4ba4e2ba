"""GLM-TTS: what streaming gains over the published way of working, measured beside it in the same run.

python -m tests.benchmarks.glm            a scaled model on the CPU, the full size on a GPU; random weights
python -m tests.benchmarks.glm --quick    under a minute

Random weights cost what trained ones do, but do not know when to stop: the length is given.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tts_service.glm import exact
from tts_service.glm.checkpoint import FlowConfig
from tts_service.glm.decode import GROUP, Limits, SpeechHead, speech_tokens
from tts_service.glm.dit import DiTSizes
from tts_service.glm.flow import Flow
from tts_service.glm.flow_stream import Chunking, FlowStream, FlowVoice, frame_noise
from tts_service.glm.hift import HARMONICS, RATE, HiFT
from tts_service.glm.hift_stream import HiFTStream
from tts_service.glm.lm import LMConfig, SpeechLM
from tts_service.glm.noise import Purpose
from tts_service.glm.sampling import Sampling
from tts_service.glm.tokenizer import SpeechIds

TOKEN_SECONDS = 0.04


@dataclass(frozen=True)
class Size:
    lm: LMConfig
    dit: DiTSizes
    hift: tuple[int, int]


FULL = Size(
    LMConfig(98304, 2048, 6144, 28, 16, 4, 128),
    DiTSizes(768, 18, 100001, 512, 4, 768 + 192, 80 + 80 + 512),
    (512, 512),
)
SCALED = Size(LMConfig(34560, 256, 768, 4, 4, 2, 64), DiTSizes(128, 4, 32769, 64, 4, 128 + 192, 80 + 80 + 64), (64, 64))


@dataclass
class Model:
    lm: SpeechLM
    head: SpeechHead
    flow: Flow
    hift: HiFT
    device: torch.device


def random_model(size: Size, device: torch.device) -> Model:
    """All networks of one size with seeded random weights."""
    torch.manual_seed(0)
    config = FlowConfig(
        input_frame_rate=25,
        mel_framerate=50,
        spkr_emb_adaLN=True,
        speech_token_cfg=False,
        remove_spkr_concat_condition=True,
    )
    with torch.device(device):
        modules: list[nn.Module] = [SpeechLM(size.lm, tied=True), Flow(config, size.dit), HiFT(*size.hift)]
        for module in modules:
            module.requires_grad_(False).eval()
            for tensor in module.parameters():
                tensor.normal_(0, tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 0.02)
    lm, flow, hift = modules
    steps = torch.arange(32, device=device)
    flow.estimator.rotary_embed.inv_freq = 10000 ** (-steps / 32)
    lm = lm.to(torch.bfloat16 if device.type == "cuda" else torch.float32)
    first = size.lm.vocab_size - 32768 - 8
    return Model(lm, SpeechHead(lm, SpeechIds(first, first - 2, first - 1)), flow, hift, device)


class Clock:
    """Wall time with the device's queue drained."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._begun = device, 0.0
        self.restart()

    def restart(self) -> None:
        self._begun = self.now()

    def now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def read(self) -> float:
        return self.now() - self._begun


def generate(model: Model, prompt: list[int], count: int, cache: bool = True) -> list[list[int]]:
    """So many speech tokens, in groups."""
    kv = model.lm.new_cache(1, len(prompt) + count) if cache else None
    limits = Limits(count, count)
    return list(speech_tokens(model.lm, model.head, prompt, limits, Sampling(), 0, lambda: False, cache=kv))


@dataclass
class Streamed:
    first_audio: float
    total: float
    chunks: list[float]
    """Flow and vocoder seconds of each chunk."""
    lm: float
    audio: float


def stream(model: Model, voice: FlowVoice, prompt: list[int], count: int) -> Streamed:
    """Speak so many tokens the way the engine does."""
    clock = Clock(model.device)
    flow, vocoder = FlowStream(voice, 0, Chunking()), HiFTStream(model.hift, 0)
    kv = model.lm.new_cache(1, len(prompt) + count)
    first, chunks, samples = 0.0, [], 0
    limits = Limits(count, count)
    for group in speech_tokens(model.lm, model.head, prompt, limits, Sampling(), 0, lambda: False, cache=kv):
        flow.add(group)
        last = group[-1:] and len(group) < GROUP
        while flow.ready or (last and flow.pending):
            begun = clock.now()
            samples += len(vocoder.push(flow.chunk(lambda: False, final=bool(last))))
            chunks.append(clock.now() - begun)
            first = first or (clock.read() if samples else 0.0)
    while flow.pending:
        begun = clock.now()
        mel = flow.chunk(lambda: False, final=True)
        samples += len(vocoder.push(mel, final=not flow.pending))
        chunks.append(clock.now() - begun)
        first = first or clock.read()
    total = clock.read()
    return Streamed(first, total, chunks, total - sum(chunks), samples / RATE)


def published(model: Model, voice: exact.Conditions, prompt: list[int], count: int) -> tuple[float, list[float]]:
    """Seconds to the sound of the whole utterance, and of each chunk of the published chunk driver."""
    clock = Clock(model.device)
    groups = generate(model, prompt, count)
    tokens = torch.tensor([token for group in groups for token in group], device=model.device)

    def noise(frames: int) -> torch.Tensor:
        return frame_noise(0, Purpose.FLOW, 0, frames, model.device)

    vocode = exact.hift_vocode(model.hift, lambda size: torch.randn(1, size, HARMONICS, device=model.device))
    exact.whole(model.flow, voice, tokens, noise, vocode)
    whole = clock.read()
    shape = exact.StreamShape(blocks=(25,), lookahead=(12,))
    chunks, before = [], clock.now()
    for _ in exact.streamed(model.flow, voice, tokens, noise, vocode, RATE, shape):
        chunks.append(clock.now() - before)
        before = clock.now()
    return whole, chunks


def after_cancel(model: Model, voice: FlowVoice, prompt: list[int]) -> float:
    """Seconds from a stop to idle, at worst, over the stages: within an LM group and within an ODE step."""
    worst = 0.0
    for stop_at in (3, 7):
        looks, clock = [0], Clock(model.device)

        def stop(looks: list[int] = looks, clock: Clock = clock, stop_at: int = stop_at) -> bool:
            looks[0] += 1
            if looks[0] == stop_at:
                clock.restart()  # the caller asks just after this look said no: a whole step is still to come
            return looks[0] > stop_at

        flow = FlowStream(voice, 0, Chunking())
        flow.add([0] * 40)
        flow.chunk(stop)
        worst = max(worst, clock.read())
        looks[0] = 0
        kv = model.lm.new_cache(1, len(prompt) + 200)
        list(speech_tokens(model.lm, model.head, prompt, Limits(200, 200), Sampling(), 0, stop, cache=kv))
        worst = max(worst, clock.read())
    return worst


def level_drift(model: Model, voice: FlowVoice, prompt: list[int], seconds: float) -> float:
    """Decibels between the first and the last tenth of a long utterance's mel energy."""
    flow, mels = FlowStream(voice, 0, Chunking()), []
    for group in generate(model, prompt, round(seconds / TOKEN_SECONDS)):
        flow.add(group)
        while flow.ready:
            mels.append(flow.chunk(lambda: False))
    mel = torch.cat(mels, dim=2)
    tenth = mel.shape[2] // 10
    return float((mel[:, :, -tenth:].mean() - mel[:, :, :tenth].mean()) * 20 / 2.302585)


def timed(what: Callable[[], object], device: torch.device, times: int = 3) -> float:
    """Median seconds."""
    taken = []
    for _ in range(times):
        clock = Clock(device)
        what()
        taken.append(clock.read())
    return statistics.median(taken)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 s of speech instead of 60")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", choices=["scaled", "full"], help="default: full on a GPU, scaled on the CPU")
    parser.add_argument("--concurrency", help="numbers of callers, as 1,4,16,32; see glm_callers")
    parser.add_argument("--slots", type=int, help="with --concurrency: segments decoded at once")
    parser.add_argument("--stress", type=float, help="with --concurrency: seconds of cancels and injected errors")
    arguments = parser.parse_args()
    if arguments.concurrency:
        from tests.benchmarks import glm_callers

        return glm_callers.main(arguments)
    device = torch.device(arguments.device)
    full = arguments.size == "full" or (arguments.size is None and device.type == "cuda")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    model = random_model(FULL if full else SCALED, device)
    seconds = 10 if arguments.quick else 60
    count = round(seconds / TOKEN_SECONDS)
    generator = torch.Generator().manual_seed(1)
    reference = torch.randint(0, 32768, (75,), generator=generator).to(device)  # 3 s
    mel = torch.randn(150, 80, generator=generator).to(device) - 4
    speaker = torch.randn(192, generator=generator).to(device)
    prompt = [*range(60), model.head.ids.begin, *(model.head.ids.first + reference).tolist()]

    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{'full' if full else 'scaled'} size, random weights, {name}, torch {torch.__version__}, {seconds} s of speech"
    )
    with torch.inference_mode():
        prompt_seconds = timed(lambda: FlowVoice(model.flow, reference, mel, speaker), device)
        voice = FlowVoice(model.flow, reference, mel, speaker)
        stream(model, voice, prompt, 60)  # warm up
        ours = stream(model, voice, prompt, count)
        conditions = exact.Conditions(reference, mel, speaker)
        whole, chunks = published(model, conditions, prompt, count)
        cancel = after_cancel(model, voice, prompt)
        drift = level_drift(model, voice, prompt, seconds if arguments.quick else 120)

    print(f"first audio            {1e3 * ours.first_audio:9.0f} ms   published, whole utterance {1e3 * whole:9.0f} ms")
    print(f"real-time factor       {ours.total / ours.audio:9.3f}      published {whole / seconds:9.3f}")
    print(f"  language model       {1e3 * ours.lm / count:9.2f} ms a token, one look at the device every {GROUP}")
    ours_last, theirs_last = (
        statistics.median(chunk[-max(2, len(chunk) // 10) - 1 : -1]) for chunk in (ours.chunks, chunks)
    )
    print(f"chunk, first           {1e3 * ours.chunks[0]:9.0f} ms   published {1e3 * chunks[0]:9.0f} ms")
    print(f"chunk, last ones       {1e3 * ours_last:9.0f} ms   published {1e3 * theirs_last:9.0f} ms")
    print(f"last over first        {ours_last / ours.chunks[0]:9.2f}      published {theirs_last / chunks[0]:9.2f}")
    print(f"a new voice            {1e3 * prompt_seconds:9.0f} ms   once, for the prompt's {len(mel)} frames")
    print(f"work after a cancel    {1e3 * cancel:9.1f} ms   at most")
    print(f"level, end over start  {drift:+9.2f} dB")
    if device.type == "cuda":
        print(f"peak GPU memory        {torch.cuda.max_memory_allocated() / 1e9:9.2f} GB")
    else:
        print(f"peak memory            {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:9.2f} GB")


if __name__ == "__main__":
    main()
