"""What only a GPU needs: to be found, and everything run and recorded once before the first caller."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.glm.device.graphs import cuda_recorder
from tts_service.glm.flow_matching.flow import Flow
from tts_service.glm.flow_matching.graph import FlowGraphs
from tts_service.glm.flow_matching.stream import FRAMES, Chunking, FlowStream, FlowVoice, work_through
from tts_service.glm.language_model.decode import GROUP, Decoder, Limits
from tts_service.glm.planner import Costs
from tts_service.glm.scheduler import TOGETHER
from tts_service.glm.vocoding.hift import HiFT
from tts_service.glm.vocoding.hift_graph import HiFTGraphs, HiFTWindow
from tts_service.glm.vocoding.hift_stream import HiFTStream
from tts_service.glm.vocoding.vocoder import VocoderStream

_REFERENCE_TOKENS = 100
"""Length of the voice that is made up to warm the flow up."""


def usual_device() -> torch.device:
    """The GPU if there is one, else the CPU.

    Raises:
        SpeechError: There is one that cannot be used, for example for want of a newer driver.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if problem := unusable():
        raise SpeechError(tr("{problem}. Mend that, or ask for the CPU: device='cpu'", problem=problem))
    return torch.device("cpu")


def unusable() -> str:
    """Why a GPU that is there cannot be used; empty if none is there."""
    if torch.version.cuda is None:
        return ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        return (
            ""
            if "no NVIDIA driver" in said or "No CUDA GPUs" in said
            else tr("the GPU cannot be used: {reason}", reason=said)
        )
    return ""


def warm_up(
    decoder: Decoder,
    flow: Flow,
    vocoder: HiFT,
    chunking: Chunking,
    progress: Callable[[float], None],
    *,
    together: int = TOGETHER,
    sound: torch.cuda.Stream | None = None,
    graphs: FlowGraphs | None = None,
    windows: HiFTGraphs | None = None,
) -> Costs:
    """Run everything in every shape that can come, so that the first utterance costs what the tenth costs.

    Args:
        decoder: With no sequence in it. On a GPU its steps are recorded, and are graphs from now on.
        flow: On the same device.
        vocoder: On the same device.
        chunking: How utterances will be cut.
        progress: Told the share done.
        together: Chunks of the flow in one batch, at most.
        sound: The vocoder's stream.
        graphs: What chunks of the flow are worked on with; None: nothing but the flow.
        windows: What the vocoder works with; None: nothing but itself.

    Returns:
        What it took in the end, for the planner: decoding with every row, chunks after a reference of 4 s.
    """
    device = decoder.lm.device
    if device.type == "cuda":
        decoder.record(cuda_recorder)
    steps = [
        (size, seen, span) for span in reversed(decoder.spans) for size in decoder.blocks for seen in decoder.uses(size)
    ]
    for number, step in enumerate(steps):
        decoder.rehearse(*step)
        progress(0.6 * number / len(steps))
    for length in decoder.lengths:
        decoder.prefill(0, [0] * length, Limits(0, 0), "ras", 0)
    tokens = torch.zeros(_REFERENCE_TOKENS, dtype=torch.long)
    mel, speaker = torch.zeros(2 * _REFERENCE_TOKENS, 80, device=device), torch.ones(192, device=device)
    voice = FlowVoice(flow, tokens, mel, speaker, graphs=graphs)
    if graphs:
        for number, kind in enumerate(graphs.kinds):
            graphs.rehearse(kind)
            progress(0.6 + 0.2 * number / len(graphs.kinds))
    said = sum(chunking.blocks) + chunking.lookahead
    for count in range(1, together + 1):
        streams = [FlowStream(voice, seed, chunking, said) for seed in range(count)]
        for stream in streams:
            stream.add([0] * said)
            stream.end()
        while streams[0].ready:
            work_through(streams, [lambda: False] * count)
        progress(0.8 + 0.1 * count / together)
    with torch.cuda.stream(sound):
        if windows:
            for rows, frames in windows.kinds:
                windows.rehearse(rows, frames)
        for block in range(1, max(chunking.blocks) + chunking.lookahead + 1):  # an utterance may end with any of these
            wave: VocoderStream = HiFTWindow(windows, 0) if windows else HiFTStream(vocoder, 0)
            for length in chunking.blocks:
                wave.push(torch.zeros(1, 80, 2 * length, device=device))
            wave.push(torch.zeros(1, 80, 2 * block, device=device), final=True)
    costs = _measured(
        decoder, voice, chunking, together, sound, HiFTWindow(windows, 0) if windows else HiFTStream(vocoder, 0)
    )
    progress(1.0)
    return costs


def _measured(
    decoder: Decoder,
    voice: FlowVoice,
    chunking: Chunking,
    together: int,
    sound: torch.cuda.Stream | None,
    wave: VocoderStream,
) -> Costs:
    device, block = decoder.lm.device, decoder.blocks[-1]
    span = decoder.spans[min(1, len(decoder.spans) - 1)]

    def timed(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(2):
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            begun = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - begun)
        return min(taken)

    def chunks(count: int) -> float:
        streams = [FlowStream(voice, seed, chunking, sum(chunking.blocks)) for seed in range(count)]
        for stream in streams:
            stream.add([0] * (sum(chunking.blocks) + 3 * max(chunking.blocks) + chunking.lookahead))
        work_through(streams, [lambda: False] * count)
        return timed(lambda: work_through(streams, [lambda: False] * count))

    def group() -> None:
        for _ in range(GROUP):
            decoder.rehearse(block, block, span)

    def push() -> None:
        with torch.cuda.stream(sound):
            wave.push(torch.zeros(1, 80, FRAMES * chunking.blocks[-1], device=device))

    alone = chunks(1)
    further = (chunks(together) - alone) / (together - 1) if together > 1 else alone
    return Costs(timed(group), alone, max(0.0, further), timed(push))
