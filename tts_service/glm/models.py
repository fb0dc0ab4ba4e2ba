"""Everything that is read from a checkpoint, and got ready before the first caller."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch

from pipecat_glm_tts.wording import tr
from tts_service.glm.cuda import warm_up
from tts_service.glm.device import memory
from tts_service.glm.device.graphs import Recorder, cuda_recorder
from tts_service.glm.device.memory import Room
from tts_service.glm.flow_matching.flow import Flow, Solver, load_flow
from tts_service.glm.flow_matching.graph import FlowGraphs
from tts_service.glm.flow_matching.pool import FramePool
from tts_service.glm.flow_matching.stream import FRAMES, Chunking
from tts_service.glm.language_model.decode import GROUP, Decoder, SpeechHead
from tts_service.glm.language_model.lm import SpeechLM, load_head, load_lm
from tts_service.glm.language_model.tokenizer import TextTokenizer
from tts_service.glm.listening.speaker import SpeakerEncoder
from tts_service.glm.listening.speech_tokenizer import SpeechTokenizer, load_speech_tokenizer
from tts_service.glm.published.checkpoint import VOCODER_32K, CheckpointError, require
from tts_service.glm.scheduler import TOGETHER, Scheduler
from tts_service.glm.vocoding import hift
from tts_service.glm.vocoding.hift_graph import HiFTGraphs
from tts_service.glm.vocoding.vocoder import Vocos2D
from tts_service.voices.reference import MAX_SECONDS

CONTEXT = 4096
"""Positions in a sequence's KV cache: reference, 30 s of history, the text and the longest answer to it."""
_BLOCK = 4
_BOUNDLESS = 10**9
"""Bytes of past in fixed shapes where no bound is asked for: on a CPU, for comparison."""


def new_decoder(lm: SpeechLM, head: SpeechHead, slots: int | None) -> Decoder:
    """One block size for all steps, so that nobody's tokens depend on how many others there are."""
    on_gpu = lm.device.type == "cuda"
    if slots is None:
        slots = memory.slots(torch.cuda.mem_get_info(lm.device)[0] + memory.NETWORKS) if on_gpu else _BLOCK
    block = slots if on_gpu else _BLOCK  # a GPU reads the weights for one row as fast as for all
    rows = -(-slots // block) * block
    return Decoder(lm, head, lm.new_cache(rows, CONTEXT + GROUP), blocks=[block])  # a group may run on past the end


@dataclass(slots=True)
class Models:
    """Everything that was read from a checkpoint, and who is being worked on with it."""

    text: TextTokenizer
    lm: SpeechLM
    head: SpeechHead
    flow: Flow
    hift: hift.HiFT
    vocos: Callable[[], Vocos2D]
    """Opened when 32 kHz is first asked for, and not before: it is a program."""
    listener: SpeechTokenizer
    speaker: SpeakerEncoder
    scheduler: Scheduler
    room: Room
    """What the voices and the streams of the flow may take."""
    graphs: FlowGraphs | None
    """What chunks of the flow are worked on with in fixed shapes; None: as they come."""
    windows: HiFTGraphs | None
    """The same of the 24 kHz vocoder."""
    sound: torch.cuda.Stream | None
    """Of the vocoder, so that the next chunk of the flow need not wait for it; None on a CPU."""

    @property
    def flow_device(self) -> torch.device:
        """Where the flow is."""
        return next(self.flow.parameters()).device

    @classmethod
    def read(
        cls,
        root: Path,
        device: torch.device,
        slots: int | None,
        chunking: Chunking,
        progress: Callable[[str, float], None],
        room: int | None = None,
        precise: bool = False,
        fixed: bool | None = None,
        solver: Solver | None = None,
    ) -> Models:
        """Read a checkpoint; progress is told the part and the share done."""
        if not root.is_dir():
            raise CheckpointError(
                tr("there is no checkpoint in {root}; fetch it with `glm-tts download --to {root}`", root=root)
            )
        progress(tr("text tokenizer"), 0.0)
        text = TextTokenizer(root / "vq32k-phoneme-tokenizer")
        progress(tr("language model"), 0.02)
        # the authors measured no loss in the language model at 16 bits, and unclear speech in the flow
        lm = load_lm(root / "llm", torch.bfloat16 if device.type == "cuda" else torch.float32, device)
        if text.speech.end >= lm.config.vocab_size or text.speech.first + 32768 > lm.config.vocab_size:
            raise CheckpointError(
                tr(
                    "{root}: tokenizer and language model do not belong together: ids go beyond the vocabulary",
                    root=root,
                )
            )
        progress(tr("flow"), 0.7)
        flow = load_flow(root / "flow", device)
        flow.solver = solver or flow.solver
        if precise:
            flow.estimator.rounded, flow.past_dtype = False, torch.float32
        if flow.config.speech_token_cfg or flow.spk_embed_affine_layer is not None or not flow.config.spkr_emb_adaLN:
            raise CheckpointError(
                tr("{root}: only the released variant of the flow can stream", root=root / "flow" / "config.yaml")
            )
        progress(tr("vocoder"), 0.85)
        vocoder = hift.load_hift(root / "hift", device)
        vocos = cache(partial(Vocos2D, root / VOCODER_32K, device))
        progress(tr("speech tokenizer"), 0.9)
        listener = load_speech_tokenizer(root / "speech_tokenizer")  # waits on the CPU; see `listen`
        speaker = SpeakerEncoder(require(root, "**/campplus.onnx")[0])
        head = SpeechHead(lm, text.speech, load_head(root / "llm") if device.type == "cuda" else None)
        decoder = new_decoder(lm, head, slots)
        on_gpu = device.type == "cuda"
        sound = torch.cuda.Stream(device) if on_gpu else None
        size: float = math.inf if room is None else room
        if on_gpu and room is None:
            torch.cuda.empty_cache()
            size = torch.cuda.mem_get_info(device)[0] - memory.WORK
        graphs = windows = None
        if on_gpu if fixed is None else fixed:
            graphs, windows, size = in_fixed_shapes(flow, vocoder, chunking, size, cuda_recorder if on_gpu else None)
        costs = None
        if on_gpu:
            told = partial(_warming, progress)
            costs = warm_up(decoder, flow, vocoder, chunking, told, sound=sound, graphs=graphs, windows=windows)
        scheduler = Scheduler(decoder, flight=1 if on_gpu else 0, costs=costs)
        progress(tr("ready"), 1.0)
        return cls(
            text, lm, head, flow, vocoder, vocos, listener, speaker, scheduler, Room(size), graphs, windows, sound
        )


def _warming(progress: Callable[[str, float], None], share: float) -> None:
    progress(tr("warm-up"), 0.92 + 0.08 * share)


def in_fixed_shapes(
    flow: Flow, vocoder: hift.HiFT, chunking: Chunking, size: float, record: Callable[[], Recorder] | None
) -> tuple[FlowGraphs, HiFTGraphs, int]:
    """What works in shapes that can be recorded, with a pool for the past of all voices and streams.

    Args:
        flow: The model.
        vocoder: The model.
        chunking: How utterances will be cut.
        size: Bytes for the past; what else voices and streams keep is a tenth of it at most and has its place there.
        record: Makes a recorder for each; None: nothing is recorded.

    Returns:
        Both, and the bytes of the pool.
    """
    sizes, device = flow.estimator.sizes, next(flow.parameters()).device
    frame = FramePool.frame_size(sizes, flow.solver.steps, flow.past_dtype)
    pool = FramePool(sizes, flow.solver.steps, int(0.9 * min(size, _BOUNDLESS) // frame), device, flow.past_dtype)
    past = FRAMES * round(25 * MAX_SECONDS + chunking.window)
    graphs = FlowGraphs(flow, chunking.lengths, past, pool, TOGETHER, record() if record else None)
    return graphs, HiFTGraphs(vocoder, TOGETHER, record() if record else None), pool.left * frame
