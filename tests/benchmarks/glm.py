"""GLM-TTS: what streaming gains over the published way of working, measured beside it in the same run.

python -m tests.benchmarks.glm            a scaled model on the CPU, the full size on a GPU; random weights
python -m tests.benchmarks.glm --quick    under a minute: 15 s of speech instead of 60

Further: `--concurrency` (many callers), `--evaluations` (fewer steps of the flow), `--pieces` (times to simulate with).

The peer is our own exact mode: the published order of work, complete tokens, complete mel, complete wave, and for a
stream all of the flow and the vocoder over everything so far again with every chunk of one second. Random weights cost
what trained ones do, but do not know when to stop: the length is given.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from tts_service.glm import exact
from tts_service.glm.device.noise import Purpose
from tts_service.glm.flow_matching.dit import DiTSizes
from tts_service.glm.flow_matching.flow import Flow
from tts_service.glm.flow_matching.stream import Chunking, FlowStream, FlowVoice, frame_noise
from tts_service.glm.language_model.decode import GROUP, Decoder, Limits, SpeechHead
from tts_service.glm.language_model.lm import LMConfig, SpeechLM
from tts_service.glm.language_model.sampling import Sampling
from tts_service.glm.language_model.tokenizer import SpeechIds
from tts_service.glm.published.checkpoint import FlowConfig
from tts_service.glm.scheduler import Scheduler, Segment
from tts_service.glm.vocoding.hift import HARMONICS, HiFT
from tts_service.glm.vocoding.hift_stream import HiFTStream

TOKEN_SECONDS = 0.04
PROMPT = 75
"""Tokens of the reference: 3 s."""


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
SCALED = Size(LMConfig(34560, 256, 768, 4, 4, 2, 64), DiTSizes(512, 1, 32769, 64, 4, 512 + 192, 80 + 80 + 64), (32, 32))
"""Narrow and shallow, with the shares of layers, attention and vocoder near those of the full size."""


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
    flow.estimator.rounded = device.type == "cuda"
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


@dataclass
class Bench:
    """A model, a voice, and what is to be said."""

    model: Model
    scheduler: Scheduler
    voice: FlowVoice
    conditions: exact.Conditions
    prompt: list[int]

    @classmethod
    def prepare(cls, model: Model, longest: int) -> Bench:
        generator = torch.Generator().manual_seed(1)
        device, ids = model.device, model.head.ids
        reference = torch.randint(0, 32768, (PROMPT,), generator=generator).to(device)
        mel = torch.randn(2 * PROMPT, 80, generator=generator).to(device) - 4
        speaker = torch.randn(192, generator=generator).to(device)
        prompt = [*range(60), ids.begin, *(ids.first + reference).tolist()]
        decoder = Decoder(model.lm, model.head, model.lm.new_cache(1, len(prompt) + longest + 2 * GROUP))
        if device.type == "cuda":
            from tts_service.glm.cuda import warm_up

            warm_up(decoder, model.flow, model.hift, Chunking(), lambda share: None)
        scheduler = Scheduler(decoder, flight=1 if device.type == "cuda" else 0)
        voice = FlowVoice(model.flow, reference, mel, speaker)
        return cls(model, scheduler, voice, exact.Conditions(reference, mel, speaker), prompt)


@dataclass
class Spoken:
    """One utterance as it was heard."""

    tokens: list[int] = field(default_factory=list)
    mels: list[Tensor] = field(default_factory=list)
    waves: list[Tensor] = field(default_factory=list)
    chunks: list[float] = field(default_factory=list)
    """Seconds of flow and vocoder for each."""
    first: float = 0.0
    """Seconds to the first sound."""
    total: float = 0.0


def speak(bench: Bench, count: int, stop: Callable[[], bool] = lambda: False, seed: int = 0) -> Spoken:
    """Say so many tokens the way the engine does."""
    spoken, clock = Spoken(), Clock(bench.model.device)
    stream = FlowStream(bench.voice, seed, Chunking(), count)
    segment = Segment(bench.prompt, Limits(count, count), "ras", seed, stream, stop)
    vocoder = HiFTStream(bench.model.hift, seed)
    bench.scheduler.join(segment)
    try:
        while not segment.finished:
            begun = clock.now()
            mel = bench.scheduler.advance(segment)
            if stop():
                break
            if isinstance(mel, Tensor):
                spoken.mels.append(mel)
                spoken.waves.append(vocoder.push(mel, segment.finished))
                spoken.chunks.append(clock.now() - begun)
                if not spoken.first and len(spoken.waves[-1]):
                    spoken.first = clock.read()
    finally:
        bench.scheduler.leave(segment)
    spoken.tokens, spoken.total = segment.tokens, clock.read()
    return spoken


def noise(frames: int, device: torch.device) -> Tensor:
    """The stream's noise for the prompt and what follows."""
    prompt = frame_noise(0, Purpose.FLOW_PROMPT, 0, 2 * PROMPT, device)
    return torch.cat([prompt, frame_noise(0, Purpose.FLOW, 0, frames - 2 * PROMPT, device)], dim=1)


def whole(bench: Bench, tokens: list[int]) -> tuple[float, Tensor]:
    """Seconds of flow and vocoder over tokens in one piece, and the mel."""
    model = bench.model
    vocode = exact.hift_vocode(model.hift, lambda size: torch.randn(1, size, HARMONICS, device=model.device))
    clock = Clock(model.device)
    mel, _ = exact.whole(
        model.flow,
        bench.conditions,
        torch.tensor(tokens, device=model.device),
        lambda frames: noise(frames, model.device),
        vocode,
    )
    return clock.read(), mel


def generate(bench: Bench, count: int) -> float:
    """Seconds of the published sampling for so many tokens."""
    clock = Clock(bench.model.device)
    limits, generator = Limits(count, count), torch.Generator().manual_seed(0)
    exact.generate(bench.model.lm, bench.model.head.ids, bench.prompt, limits, Sampling(), generator)
    return clock.read()


@contextmanager
def host_reads() -> Iterator[list[str]]:
    """Collects every time that the host asks for a tensor's value; on a GPU it waits for each."""
    names = ("cpu", "item", "tolist", "__int__", "__bool__", "__float__", "numpy")
    originals, reads = {name: getattr(Tensor, name) for name in names}, []

    def counting(name: str) -> Callable[..., object]:
        def read(self: Tensor, *args: object, **kwargs: object) -> object:
            reads.append(name)
            return originals[name](self, *args, **kwargs)

        return read

    for name in names:
        setattr(Tensor, name, counting(name))
    try:
        yield reads
    finally:
        for name, original in originals.items():
            setattr(Tensor, name, original)


def reads_per_token(bench: Bench, count: int = 10 * GROUP) -> tuple[float, float]:
    """Of the language model in the stream and in the exact mode."""
    stream = FlowStream(bench.voice, 0, Chunking((2 * count,)), count)  # no chunk is due before the end
    segment = Segment(bench.prompt, Limits(count, count), "ras", 0, stream, lambda: False)
    bench.scheduler.join(segment)
    bench.scheduler.advance(segment)  # the prompt is read
    begun = len(segment.tokens)
    with host_reads() as ours:
        while not segment.spoken:
            bench.scheduler.advance(segment)
    bench.scheduler.leave(segment)
    with host_reads() as theirs:
        generate(bench, count)
    return len(ours) / (count - begun), len(theirs) / count


def after_cancel(bench: Bench, times: int, count: int = 100) -> list[float]:
    """Seconds from a stop at a random moment to idle. The stop comes just after a look for it: the worst case."""
    looks, taken, dice = [0], [], random.Random(1)

    def look() -> bool:
        looks[0] += 1
        return False

    speak(bench, count, look)
    for _ in range(times):
        left, clock = [dice.randrange(looks[0] - 1)], Clock(bench.model.device)

        def stop(left: list[int] = left, clock: Clock = clock) -> bool:
            left[0] -= 1
            if left[0] == -1:
                clock.restart()
            return left[0] < -1

        speak(bench, count, stop)
        taken.append(clock.read())
    return sorted(taken)


def at_joins(pieces: list[int], reach: int) -> Tensor:
    """Indices up to `reach` around the places where pieces of such lengths join."""
    joins = torch.tensor(pieces).cumsum(0)[:-1]
    return (joins[:, None] + torch.arange(-reach, reach)).flatten()


def deviation(ours: Tensor, theirs: Tensor) -> float:
    """Mean absolute difference over mean absolute value."""
    return float((ours - theirs).abs().mean() / theirs.abs().mean())


def click(waves: list[Tensor]) -> float:
    """Greatest second difference at joins over the greatest elsewhere."""
    heard = [wave for wave in waves if len(wave)]
    bend = torch.cat(heard).diff(n=2).abs()
    inside = torch.ones(len(bend), dtype=torch.bool)
    inside[at_joins([len(wave) for wave in heard], 4).clamp(max=len(bend) - 1)] = False
    return float(bend[~inside].max() / bend[inside].max())


def drift(mel: Tensor) -> str:
    """Decibels from the first to the last tenth: of the level, and of the mean band apart from it."""
    tenth = mel.shape[2] // 10
    change = (mel[0, :, -tenth:].mean(1) - mel[0, :, :tenth].mean(1)) * 8.686
    return f"{float(change.mean()):+.2f} dB in level, {float((change - change.mean()).abs().mean()):.2f} dB in a band"


def megabytes(*tensors: Tensor) -> float:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6


def peak(device: torch.device) -> str:
    """The most memory so far."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB of the GPU"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, everything included"


def measure(bench: Bench, seconds: int, segments: int, cancels: int) -> None:
    """Measure and print, the stream before the exact mode."""
    device, flow = bench.model.device, bench.model.flow
    # the published rounding loses a frame of some lengths: take one that it does not shift
    count = next(n for n in range(25 * seconds, 26 * seconds) if flow.frames(PROMPT + n) == 2 * (PROMPT + n))
    audio = count * TOKEN_SECONDS
    speak(bench, 75)  # warm up
    clock = Clock(device)
    FlowVoice(flow, bench.conditions.tokens, bench.conditions.mel, bench.conditions.speaker)
    preparing = clock.read()
    ours = speak(bench, count)
    memory = peak(device)
    cache = FlowStream(bench.voice, 0, Chunking())._cache
    looks = after_cancel(bench, cancels)

    theirs, exact_mel = whole(bench, ours.tokens)
    waiting = generate(bench, count) + theirs
    mel = torch.cat(ours.mels, dim=2)
    joins = at_joins([piece.shape[2] for piece in ours.mels], 3)
    print(
        f"first audio             {1e3 * ours.first:8.0f} ms   exact mode {1e3 * waiting:8.0f} ms, after the last word"
    )
    print(f"real-time factor        {ours.total / audio:8.3f}      exact mode {waiting / audio:8.3f}, not streaming")
    print(f"  language model        {1e3 * (ours.total - sum(ours.chunks)) / count:8.2f} ms a token")
    reads, published_reads = reads_per_token(bench)
    print(f"  host waits a token    {reads:8.3f}      exact mode {published_reads:8.2f}")
    print("cost of the chunk at    " + "".join(f"{place:>9.0f} s" for place in (0, *places(seconds))))
    first = min(ours.chunks[0], *(speak(bench, 30).chunks[0] for _ in range(6)))
    steady = [first, *(cost_at(ours, place) for place in places(seconds))]
    again = [whole(bench, ours.tokens[: round(25 * place)])[0] for place in (1, *places(seconds))]
    print("  streaming             " + "".join(f"{1e3 * cost:>8.0f} ms" for cost in steady))
    print("  exact mode            " + "".join(f"{1e3 * cost:>8.0f} ms" for cost in again))
    print(f"  last over first       {steady[-1] / steady[0]:8.2f}      exact mode {again[-1] / again[0]:8.2f}")
    print(f"mel against exact mode  {deviation(mel[:, :, joins], exact_mel[:, :, joins]):8.2%} at joins,", end=" ")
    print(f"{deviation(mel, exact_mel):.2%} everywhere")
    print(f"bend at joins           {click(ours.waves):8.2f} of the greatest inside chunks")
    print(
        f"work after a cancel     {1e3 * looks[-1]:8.1f} ms   "
        f"at worst of {cancels} moments, median {1e3 * looks[cancels // 2]:.1f}"
    )
    print(f"a new voice             {1e3 * preparing:8.0f} ms   once, for {2 * PROMPT} frames of prompt")
    print(f"flow caches             {megabytes(cache.past.kept):8.0f} MB   each speaker,", end=" ")
    print(f"{megabytes(bench.voice.prompt.past.kept):.0f} MB the voice")
    print(f"peak memory             {memory}")
    print(f"drift over {audio:4.0f} s       {drift(mel)}   exact mode {drift(exact_mel)}")
    if segments:
        spoken = [torch.cat(speak(bench, 300, seed=seed).mels, dim=2) for seed in range(segments)]
        print(f"  {12 * segments} s, {segments} segments   {drift(torch.cat(spoken, dim=2))}")


def places(seconds: int) -> list[float]:
    """Seconds into the utterance at which chunks are compared."""
    return [seconds * quarter / 4 for quarter in range(1, 5)]


def cost_at(spoken: Spoken, seconds: float) -> float:
    """The least of seven chunks around a moment, whole ones: what else runs on the machine only adds."""
    ends = torch.tensor([mel.shape[2] for mel in spoken.mels]).cumsum(0) / 50
    place = min(int((ends < seconds).sum()), len(ends) - 5)
    return min(spoken.chunks[max(1, place - 3) : place + 4])


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="15 s of speech instead of 60")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", choices=["scaled", "full"], help="default: full on a GPU, scaled on the CPU")
    parser.add_argument("--concurrency", help="numbers of callers, as 1,4,16,32; see glm_callers")
    parser.add_argument("--slots", type=int, help="with --concurrency: segments decoded at once")
    parser.add_argument("--stress", type=float, help="with --concurrency: seconds of cancels and injected errors")
    parser.add_argument("--evaluations", action="store_true", help="fewer steps of the flow; see glm_steps")
    parser.add_argument("--look", type=Path, help="the same, then listeners beside simulated ones")
    parser.add_argument("--pieces", type=Path, help="write what each piece takes here, for the simulation")
    arguments = parser.parse_args()
    if arguments.evaluations:
        from tests.benchmarks import glm_steps

        return glm_steps.main()
    if arguments.concurrency:
        from tests.benchmarks import glm_callers

        return glm_callers.main(arguments)
    device = torch.device(arguments.device)
    full = arguments.size == "full" or (arguments.size is None and device.type == "cuda")
    if path := arguments.look or arguments.pieces:
        from tests.benchmarks import glm_device

        return (glm_device.look if arguments.look else glm_device.main)(path, device, full)
    model = random_model(FULL if full else SCALED, device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{'full' if full else 'scaled'} size, random weights, {name}, torch {torch.__version__}")
    with torch.inference_mode():
        bench = Bench.prepare(model, 3000)
        if arguments.quick:
            measure(bench, seconds=15, segments=0, cancels=10)
        else:
            measure(bench, seconds=60, segments=10, cancels=50)


if __name__ == "__main__":
    main()
