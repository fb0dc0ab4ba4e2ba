"""The networks at their published sizes on a device that only pretends: what would fail on a GPU fails here.

Tensors have shapes, types and a device, but no values. Mixing devices raises, and so does every look at a value on the
host. Run as a program, for the pretended device belongs to the whole process; it prints the calls of each piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from tests.benchmarks.glm import FULL
from tts_service.glm.checkpoint import FlowConfig
from tts_service.glm.decode import GROUP, Decoder, Limits, SpeechHead
from tts_service.glm.engine import CONTEXT
from tts_service.glm.flow import Flow
from tts_service.glm.flow_stream import Chunking, FlowStream, FlowVoice, work_through
from tts_service.glm.hift import HiFT
from tts_service.glm.hift_stream import HiFTStream
from tts_service.glm.lm import SpeechLM
from tts_service.glm.tokenizer import SpeechIds

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
    """Notes what is launched, and what would wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[tuple[str, tuple[Any, ...]]] = []
        self.blocking: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [tensor for tensor in torch.utils._pytree.tree_leaves(result) if isinstance(tensor, Tensor)]
        inputs = [tensor for tensor in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)]
        if any(tensor.device.type == DEVICE for tensor in (*tensors, *inputs)):
            self.launched.append((str(func), tuple(tuple(tensor.shape) for tensor in tensors)))
            if any(tensor.device.type == "cpu" and tensor.dim() for tensor in tensors):
                self.blocking.append(str(func))
        return result


@contextmanager
def counted(name: str) -> Iterator[Calls]:
    with Calls() as calls:
        yield calls
    print(f"{name}: {len(calls.launched)} calls, {len(calls.blocking)} reads", flush=True)


def main() -> None:
    """Run every piece."""
    _setup_privateuseone_for_python_backend(DEVICE)
    make = torch.tensor

    def tensor(data: Any, *, device: Any = None, **kind: Any) -> Tensor:
        made = make(data, **kind)
        return made if device is None else torch.empty(made.shape, dtype=made.dtype, device=device)

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
        flow.past_dtype = torch.bfloat16
        decoder = Decoder(lm, SpeechHead(lm, IDS), lm.new_cache(SLOTS, CONTEXT + GROUP), blocks=[SLOTS])
        decoder.prefill(0, list(range(200)), Limits(10, 100), "ras", 7)
        with counted("prefill"):
            decoder.prefill(1, list(range(200)), Limits(10, 100), "topk", 7)
        decoder.advance(0, SLOTS, 512)
        with counted("decoding step") as first:
            decoder.advance(0, SLOTS, 512)
        with counted("decoding step again") as second:
            decoder.advance(0, SLOTS, 512)
        assert first.launched == second.launched, "a recorded step must have static shapes"
        assert not first.blocking, first.blocking
        tokens, mel = torch.zeros(125, dtype=torch.long, device=device), torch.zeros(250, 80, device=device)
        chunking = Chunking()
        for number in (1, 2):
            with pytest.MonkeyPatch.context() as patch:  # the one look at a value: a voice's last tokens, once
                patch.setattr(FakeTensor, "tolist", lambda self: [0] * len(self))
                patch.setattr(flow, "schedule", lambda steps: [number / steps for number in range(steps + 1)])
                voice = FlowVoice(flow, tokens, mel, torch.ones(192, device=device))
            streams = [FlowStream(voice, seed, chunking, 150) for seed in range(number)]
            for stream in streams:
                stream.add([0] * 150)
            with counted(f"first chunk of the flow, {number} together") as calls:
                mels = work_through(streams, [lambda: False] * number)
            assert not calls.blocking, calls.blocking
            with counted(f"chunk of the flow, {number} together"):
                work_through(streams, [lambda: False] * number)
            wave = HiFTStream(hift, 0)
            with counted("push of the vocoder") as calls:
                wave.push(mels[0])
            assert not calls.blocking, calls.blocking


if __name__ == "__main__":
    main()
