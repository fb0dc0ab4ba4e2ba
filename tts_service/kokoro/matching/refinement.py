"""The patient half of voice matching: the timbre follows the gradient of the similarity. Needs torch.

The decoder and generator of the stock graph are run node by node in torch, in float32; whatever does not depend on the
timbre (text, durations, pitch, the harmonic source) ONNX Runtime computes once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from pipecat_glm_tts.wording import tr
from tts_service.kokoro.cast import style_table
from tts_service.kokoro.graphs.float_model import float_model
from tts_service.kokoro.graphs.front import DURATIONS
from tts_service.kokoro.matching.matcher import COLOUR, PULL, Match, Matcher, Progress, tokens_of
from tts_service.kokoro.matching.space import TIMBRE, timbres
from tts_service.kokoro.matching.speaker import (
    HOP,
    LOUDNESS,
    PARTIAL,
    SAMPLE_RATE,
    STEP,
    WINDOW,
    mel,
    mel_filters,
    without_pauses,
)
from tts_service.kokoro.network import open_session
from tts_service.kokoro.voice import FRAME, style_row

TIMBRE_HALF = "/decoder/Slice_output_0"
WAVEFORM = "/decoder/decoder/generator/istft/stft/ConvTranspose_output_0"
EDGE = 10
"""Samples on either side that the inverse STFT writes beyond the signal."""
SENTENCES = (
    "他每天早上跑步三公里。",
    "The library closes at nine tonight.",
    "听说你要去北京工作？",
    "A cup of coffee would be lovely.",
    "谢谢你的帮助，再见。",
    "What time does the museum open?",
)
"""What is said while the timbre moves; neither the probes nor what Whisper is asked."""
STEPS, EVERY = 48, 8
"""Of Adam, and how many of them between two looks at what was held out."""
RATE = 0.06
"""Of learning, in units of the voices' spread."""
STAGES = 24
"""Parts of the network; more of them take less memory at a time, and the gradient costs a third more than with one."""


def refine(
    match: Match,
    matcher: Matcher,
    recordings: Sequence[NDArray[np.float32]],
    stock: onnx.ModelProto,
    threads: int,
    seed: int,
    progress: Progress,
) -> Match:
    """Follow the gradient of the similarity from where `Matcher.match` arrived.

    The last third of what was recorded is held out; of the styles on the way the one is taken that is most like it.

    Args:
        match: Where to begin.
        matcher: Renders with the model that will speak, to judge.
        recordings: Of one person, each [n] mono at 16 kHz.
        stock: The stock model.
        threads: Cores.
        seed: Of the order of the sentences.
        progress: Told how far it is, 0 to 1.
    """
    torch.set_num_threads(threads)
    random = np.random.default_rng(seed)
    learnt, held_out = _parts([without_pauses(recording) for recording in recordings])
    judge = matcher.hear(held_out).embedding
    listener, decoder = Listener(), Decoder(stock, threads)
    wanted = [
        (torch.from_numpy(matcher.hear([part]).embedding).float(), listener.colour(torch.from_numpy(mel(part))))
        for part in learnt
    ]
    table = style_table(match.base)
    sentences = []
    for text in SENTENCES:
        tokens = tokens_of(text)
        style = style_row(table, len(tokens) - 2)
        moved = (style + match.delta).astype(np.float32)
        spoken = matcher.renderer.prosody(tokens, moved)
        sentence = decoder.prepare(
            tokens, moved, spoken.durations, (FRAME * spoken.begin, FRAME * (spoken.begin + len(spoken.pitch)))
        )
        sentences.append((sentence, torch.from_numpy(style[:TIMBRE].copy())))

    unit = torch.from_numpy(timbres().unit).float()
    z = (torch.from_numpy(match.delta[:TIMBRE].copy()) / unit).requires_grad_()
    adam = torch.optim.Adam([z], lr=RATE, betas=(0.9, 0.99))
    best, chosen = -1.0, match.delta
    order: list[int] = []
    for step in range(STEPS + 1):
        progress(tr("refining the timbre"), step / (STEPS + 1))
        if step % EVERY == 0:
            delta = match.delta.copy()
            delta[:TIMBRE] = (z.detach() * unit).numpy()
            likeness = float(matcher.probe(table, delta)[0].embedding @ judge)
            if likeness > best:
                best, chosen = likeness, delta
        if step == STEPS:
            break
        order = order or list(random.permutation(len(sentences)))
        sentence, timbre = sentences[order.pop()]
        embedding, colour = wanted[step % len(wanted)]
        spectrum = listener.mel(decoder(sentence, timbre + z * unit))
        loss = 1 - listener.embed(spectrum) @ embedding + PULL * z.square().mean()
        loss = loss + COLOUR * (listener.colour(spectrum) - colour).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    heard, _ = matcher.probe(table, chosen)
    return replace(match, delta=chosen, after=float(heard.embedding @ matcher.hear(recordings).embedding))


def _parts(
    recordings: Sequence[NDArray[np.float32]],
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Two thirds of each recording to learn from, in pieces of three seconds and more, and the rest to judge by."""
    learnt, held_out = [], []
    for samples in recordings:
        cut = max(len(samples) * 2 // 3, min(len(samples), 2 * SAMPLE_RATE))
        learnt += np.array_split(samples[:cut], max(1, cut // (4 * SAMPLE_RATE)))
        held_out.append(samples[cut:])
    return learnt, [part for part in held_out if len(part) > SAMPLE_RATE] or learnt


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence up to where the timbre comes in."""

    tensors: dict[str, Tensor]
    """What the nodes that depend on the timbre read from those that do not."""
    audible: tuple[int, int]
    """Samples between which it can be heard."""


class Decoder:
    """The part of the network that depends on the timbre, as a differentiable function of it.

    Args:
        stock: The stock model.
        threads: Cores that the part before it may use.
    """

    def __init__(self, stock: onnx.ModelProto, threads: int) -> None:
        model = float_model(stock)
        nodes = _between(model, TIMBRE_HALF, WAVEFORM)
        self._stages = _stages(nodes)
        own = {name for node in nodes for name in node.output} | {TIMBRE_HALF, ""}
        read = dict.fromkeys(name for node in nodes for name in node.input)
        self._constants = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in model.graph.initializer
            if tensor.name in read
        }
        self._borders = [name for name in read if name not in own and name not in self._constants]
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._borders)
        self._session = open_session(model.SerializeToString(), threads)

    def prepare(
        self,
        tokens: NDArray[np.int64],
        style: NDArray[np.float32],
        durations: NDArray[np.int64],
        audible: tuple[int, int],
    ) -> Sentence:
        """Compute what the timbre does not change.

        Args:
            tokens: [T], pads included.
            style: [256]; only its prosody half matters.
            durations: [T] in units of two frames, from the model that will speak.
            audible: Samples.
        """
        feeds = {"tokens": tokens[None], "style": style[None], "speed": np.ones(1, np.float32), DURATIONS: durations}
        values = self._session.run(self._borders, feeds)
        tensors = {name: torch.from_numpy(value.copy()) for name, value in zip(self._borders, values, strict=True)}
        return Sentence(tensors, audible)

    def __call__(self, sentence: Sentence, timbre: Tensor) -> Tensor:
        """The audible samples [n] at 24 kHz, but for a constant factor, in a timbre [128]."""
        given = self._constants | sentence.tensors
        carried = {TIMBRE_HALF: timbre[None]}
        for stage in self._stages:
            # keeps only what passes from stage to stage and computes the rest again on the way back
            results = checkpoint(_run, stage, given, *(carried[name] for name in stage.reads), use_reentrant=False)
            carried |= zip(stage.writes, results, strict=True)
        start, end = sentence.audible
        return carried[WAVEFORM].reshape(-1)[EDGE + start : EDGE + end]


@dataclass(frozen=True, slots=True)
class _Stage:
    """Some consecutive nodes."""

    nodes: list[onnx.NodeProto]
    reads: list[str]
    """What they take from earlier stages."""
    writes: list[str]
    """What they leave to later ones."""


def _stages(nodes: list[onnx.NodeProto]) -> list[_Stage]:
    """Cut a chain of nodes, which lead from `TIMBRE_HALF` to `WAVEFORM`, into `STAGES` parts."""
    parts = [list(part) for part in np.array_split(np.array(nodes, dtype=object), STAGES)]
    inputs = [{name for node in part for name in node.input} for part in parts]
    outputs = [{name for node in part for name in node.output} for part in parts]
    stages = []
    for i, part in enumerate(parts):
        earlier = {TIMBRE_HALF}.union(*outputs[:i])
        later = {WAVEFORM}.union(*inputs[i + 1 :])
        stages.append(_Stage(part, sorted(inputs[i] & earlier), sorted(outputs[i] & later)))
    return stages


def _run(stage: _Stage, given: dict[str, Tensor], *carried: Tensor) -> tuple[Tensor, ...]:
    values = given | dict(zip(stage.reads, carried, strict=True))
    for node in stage.nodes:
        arguments = [values[name] if name else None for name in node.input]
        attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        result = _OPERATORS[node.op_type](attributes, *arguments)
        values |= zip(node.output, result if isinstance(result, tuple | list) else [result], strict=True)
    return tuple(values[name] for name in stage.writes)


def _between(model: onnx.ModelProto, start: str, end: str) -> list[onnx.NodeProto]:
    """The nodes on a way from one tensor to another, in order."""
    after, forward = {start}, []
    for node in model.graph.node:
        if not after.isdisjoint(node.input):
            after.update(node.output)
            forward.append(node)
    before, way = {end}, []
    for node in reversed(forward):
        if not before.isdisjoint(node.output):
            before.update(node.input)
            way.append(node)
    return way[::-1]


def _ints(tensor: Tensor) -> list[int]:
    return [int(value) for value in tensor.reshape(-1)]


def _convolve(attributes: dict[str, Any], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    before, after = attributes["pads"]
    if before != after:
        x, before = F.pad(x, (before, after)), 0
    return F.conv1d(x, weight, bias, attributes["strides"], before, attributes["dilations"], attributes["group"])


def _deconvolve(attributes: dict[str, Any], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.conv_transpose1d(
        x,
        weight,
        bias,
        attributes["strides"],
        attributes["pads"][0],
        attributes.get("output_padding", [0]),
        attributes["group"],
    )


def _slice(
    _: dict[str, Any], x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor, steps: Tensor | None = None
) -> Tensor:
    for start, end, axis in zip(_ints(starts), _ints(ends), _ints(axes), strict=True):
        size = x.shape[axis]
        start, end = (min(max(i + size if i < 0 else i, 0), size) for i in (start, end))
        x = x.narrow(axis, start, end - start)
    return x


def _pad(attributes: dict[str, Any], x: Tensor, pads: Tensor) -> Tensor:
    before, after = _ints(pads)[2::3]
    return F.pad(x, (before, after), mode=attributes["mode"].decode())


def _resize(_: dict[str, Any], x: Tensor, _region: Tensor | None, scales: Tensor) -> Tensor:
    return x.repeat_interleave(int(scales[-1]), dim=-1)


def _unsqueeze(_: dict[str, Any], x: Tensor, axes: Tensor) -> Tensor:
    for axis in sorted(_ints(axes)):
        x = x.unsqueeze(axis)
    return x


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, a, b: a + b,
    "Sub": lambda _, a, b: a - b,
    "Mul": lambda _, a, b: a * b,
    "Div": lambda _, a, b: a / b,
    "Pow": lambda _, a, b: a**b,
    "Sqrt": lambda _, a: a.sqrt(),
    "Sin": lambda _, a: a.sin(),
    "Cos": lambda _, a: a.cos(),
    "Exp": lambda _, a: a.exp(),
    "Cast": lambda _, a: a.float(),
    "MatMul": lambda _, a, b: a @ b,
    "LeakyRelu": lambda attributes, a: F.leaky_relu(a, attributes["alpha"]),
    "ReduceMean": lambda _, a, axes: a.mean(_ints(axes), keepdim=True),
    "Concat": lambda attributes, *parts: torch.cat(parts, attributes["axis"]),
    "Split": lambda attributes, a, sizes: a.split(_ints(sizes), attributes["axis"]),
    "Conv": _convolve,
    "ConvTranspose": _deconvolve,
    "Slice": _slice,
    "Pad": _pad,
    "Resize": _resize,
    "Unsqueeze": _unsqueeze,
}


class Listener:
    """`SpeakerEncoder` in torch, differentiable, for renderings without long pauses."""

    def __init__(self) -> None:
        model = onnx.load_from_string(files(__package__).joinpath("speaker.onnx").read_bytes())
        halves = {
            t.name.removesuffix(".half"): torch.from_numpy(numpy_helper.to_array(t).copy()).float()
            for t in model.graph.initializer
        }
        self._lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
        state = {}
        for i in range(3):
            for kind, weight in (("weight_ih", halves[f"w{i}"][0]), ("weight_hh", halves[f"r{i}"][0])):
                state[f"{kind}_l{i}"] = _gates(weight)
            for kind, bias in zip(("bias_ih", "bias_hh"), halves[f"b{i}"][0].split(1024), strict=True):
                state[f"{kind}_l{i}"] = _gates(bias)
        self._lstm.load_state_dict(state)
        self._lstm.requires_grad_(False)
        self._matrix, self._bias = halves["matrix"], halves["bias"]
        self._filters = torch.from_numpy(mel_filters()).float()

    def mel(self, samples: Tensor) -> Tensor:
        """Mel power spectrum [frames, 40] of samples [n] at 24 kHz, brought to the encoder's loudness."""
        whole = F.pad(samples, (0, -len(samples) % 6))
        count = len(whole) * 2 // 3
        low = torch.fft.irfft(torch.fft.rfft(whole)[: count // 2 + 1], count)  # 24 to 16 kHz
        low = low * (LOUDNESS / low.square().mean().sqrt())
        window = torch.hann_window(WINDOW)
        spectrum = torch.stft(low, WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True)
        return (self._filters @ spectrum.abs().square()).T

    def colour(self, mel: Tensor) -> Tensor:
        """Mean logarithm [40] of the loud half of a spectrum's frames, less its own mean."""
        loudness = mel[:, :10].sum(dim=1).detach()
        logs = mel[loudness >= loudness.median()].clamp_min(float(loudness.max()) * 1e-7).log().mean(dim=0)
        return logs - logs.mean()

    def embed(self, mel: Tensor) -> Tensor:
        """The embedding [256] of a spectrum [frames, 40]."""
        begins = [0, *(i for i in range(STEP, len(mel), STEP) if i + 0.75 * PARTIAL <= len(mel))]
        padded = F.pad(mel, (0, 0, 0, PARTIAL))
        _, (hidden, _) = self._lstm(torch.stack([padded[i : i + PARTIAL] for i in begins]))
        embeddings = F.normalize(F.relu(F.linear(hidden[-1], self._matrix, self._bias)), dim=1)
        return F.normalize(embeddings.mean(dim=0), dim=0)


def _gates(stacked: Tensor) -> Tensor:
    """From ONNX's order input, output, forget, cell to torch's input, forget, cell, output."""
    i, o, f, c = stacked.split(256)
    return torch.cat([i, f, c, o])
