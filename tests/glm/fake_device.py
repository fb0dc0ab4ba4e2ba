"""The networks at their published sizes on a device that only pretends: what would fail on a GPU fails here.

Tensors have shapes, types and a device, but no values. Mixing devices raises, and so does every look at a value on the
host. Run as a program, for the pretended device belongs to the whole process; it prints the calls of each piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from tests.benchmarks.glm import FULL
from tts_service.glm.device.graphs import Work
from tts_service.glm.flow_matching.flow import Flow
from tts_service.glm.flow_matching.graph import FlowGraphs
from tts_service.glm.flow_matching.pool import FramePool
from tts_service.glm.flow_matching.stream import Chunking, FlowStream, FlowVoice, work_through
from tts_service.glm.language_model.decode import GROUP, Decoder, Limits, SpeechHead
from tts_service.glm.language_model.lm import SpeechLM
from tts_service.glm.language_model.tokenizer import SpeechIds
from tts_service.glm.models import CONTEXT
from tts_service.glm.published.checkpoint import FlowConfig
from tts_service.glm.vocoding.hift import HiFT
from tts_service.glm.vocoding.hift_graph import HiFTGraphs, HiFTWindow
from tts_service.glm.vocoding.hift_stream import HiFTStream

DEVICE = "fakegpu"
SLOTS = 16
IDS = SpeechIds(61498, 59260, 59253)
PUBLISHED = FlowConfig(
    input_frame_rate=25,
    mel_framerate=50,
    spkr_emb_adaLN=True,
    speech_token_cfg=False,
    remove_spkr_concat_condition=True,
)


class Calls(TorchDispatchMode):
    """Collects what is launched, and what makes the host wait: reads, and copies that are not told to be asynchronous.

    What is being recorded is not launched; a replay is one launch.
    """

    active: ClassVar[Calls | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[tuple[str, tuple[Any, ...]]] = []
        self.blocking: list[str] = []
        self.recording = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        tensors = [tensor for tensor in torch.utils._pytree.tree_leaves(result) if isinstance(tensor, Tensor)]
        inputs = [tensor for tensor in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)]
        if any(tensor.device.type == DEVICE for tensor in (*tensors, *inputs)):
            if not self.recording and not _is_bookkeeping(func):
                self.launched.append((str(func), tuple(tuple(tensor.shape) for tensor in tensors)))
            asynchronous = kwargs.get("non_blocking") or (func is torch.ops.aten.copy_.default and args[2:] == (True,))
            if not asynchronous and any(t.device.type == "cpu" and t.dim() for t in (*tensors, *inputs)):
                self.blocking.append(str(func))
        return result


def _is_bookkeeping(func: Any) -> bool:
    """Whether it launches nothing: views, and memory without contents."""
    views = any(value.alias_info is not None and not value.alias_info.is_write for value in func._schema.returns)
    return views or func.namespace == "prim" or "empty" in func.name() or func.name() == "aten::_unsafe_view"


@contextmanager
def counted(name: str, most: int | None = None, waits: int = 0) -> Iterator[Calls]:
    """Count, print, and hold it against what is allowed."""
    with Calls() as calls:
        Calls.active = calls
        yield calls
        Calls.active = None
    print(f"{name}: {len(calls.launched)} launches, the host waits {len(calls.blocking)} times", flush=True)
    assert most is None or len(calls.launched) <= most, f"{name}: more than {most} launches"
    assert len(calls.blocking) <= waits, calls.blocking


def recorder(work: Work) -> Work:
    """Stands for a CUDA graph (`graphs.cuda_recorder`): what is recorded is done once, a replay is one launch."""
    calls = Calls.active
    if calls is not None:
        calls.recording = True
    work()
    if calls is not None:
        calls.recording = False

    def replay() -> None:
        if Calls.active is not None:
            Calls.active.launched.append(("replay", ()))

    return replay


def main() -> None:
    """Run every piece."""
    _setup_privateuseone_for_python_backend(DEVICE)
    make = torch.tensor

    def tensor(data: Any, *, device: Any = None, **kind: Any) -> Tensor:
        made = make(data, **kind)
        if device is None:
            return made
        if Calls.active is not None and made.dim():
            Calls.active.blocking.append("torch.tensor on the device")
        return torch.empty(made.shape, dtype=made.dtype, device=device)

    torch.tensor = tensor  # what bypasses the dispatcher has no place on the pretended device
    device = torch.device(DEVICE)
    with FakeTensorMode(), torch.inference_mode():
        with torch.device("meta"):
            lm, flow, hift = SpeechLM(FULL.lm, tied=True), Flow(PUBLISHED, FULL.dit), HiFT(*FULL.hift)
        for module in (lm, flow, hift):
            dtype = torch.bfloat16 if module is lm else torch.float32
            empty = {name: torch.empty(t.shape, dtype=dtype, device=device) for name, t in module.state_dict().items()}
            module.load_state_dict(empty, assign=True)
            module.requires_grad_(False).eval()
        flow.past_dtype = torch.float16
        decoder = Decoder(lm, SpeechHead(lm, IDS), lm.new_cache(SLOTS, CONTEXT + GROUP), blocks=[SLOTS])
        decoder.prefill(0, list(range(200)), Limits(10, 100), "ras", 7)
        with counted("prompt of 200 ids, eager"):
            decoder.prefill(1, list(range(200)), Limits(10, 100), "topk", 7)
        decoder.advance(0, SLOTS, SLOTS, 512)
        with counted("decoding step") as first:
            decoder.advance(0, SLOTS, SLOTS, 512)
        with counted("decoding step again") as second:
            decoder.advance(0, SLOTS, SLOTS, 512)
        assert first.launched == second.launched, "a recorded step must have static shapes"
        assert not first.blocking, first.blocking
        decoder.record(lambda stream: recorder)
        decoder.run([0], 512)
        with counted("8 decoding steps, recorded", 40):
            decoder.run([0], 512)
        decoder.prefill(1, list(range(200)), Limits(10, 100), "topk", 7)
        with counted("prompt of 200 ids, recorded", 4):
            decoder.prefill(1, list(range(200)), Limits(10, 100), "topk", 7)
        chunking = Chunking()
        pool = FramePool(FULL.dit, flow.solver.steps, 6000, device, torch.float16)
        flow.schedule = lambda steps=10: [number / steps for number in range(steps + 1)]  # type: ignore[method-assign]
        graphs = FlowGraphs(flow, chunking.lengths, 2100, pool, 8, recorder)
        windows = HiFTGraphs(hift, 8, recorder)
        tokens, mel = torch.zeros(125, dtype=torch.long), torch.zeros(250, 80, device=device)
        voices = {}
        for kind, fixed in (("eager", None), ("recorded", graphs)):
            with pytest.MonkeyPatch.context() as patch, counted(f"a voice of 5 s, {kind}"):
                patch.setattr(FakeTensor, "tolist", lambda self: [0] * len(self))  # its tokens are on the host
                voices[kind] = FlowVoice(flow, tokens, mel, torch.ones(192, device=device), graphs=fixed)

        def chunk(voice: FlowVoice, number: int, name: str, most: int | None = None) -> None:
            streams = [FlowStream(voice, seed, chunking, 150) for seed in range(number)]
            for stream in streams:
                stream.add([0] * 150)
            with counted(name, most):
                work_through(streams, [lambda: False] * number)

        chunk(voices["eager"], 1, "chunk of the flow, eager")
        for number in (1, 8):
            chunk(voices["recorded"], number, f"chunk of the flow, {number} together, while it is recorded")
            chunk(
                voices["recorded"],
                number,
                f"chunk of the flow, {number} together, replayed",
                60 if number == 1 else 30 * number,
            )
        with counted("push of the vocoder, eager"):
            HiFTStream(hift, 0).push(torch.zeros(1, 80, 30, device=device))
        for time in ("while it is recorded", "replayed"):
            wave = HiFTWindow(windows, 0)
            for length in (30, 40, 50):
                with counted(f"push of {length} frames to the vocoder, {time}", 20):
                    wave.push(torch.zeros(1, 80, length, device=device))


if __name__ == "__main__":
    main()
