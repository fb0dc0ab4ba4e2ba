"""The published model's own way, step for step: complete the tokens, then the mel, then the wave.

Slow, not streaming, with the published quirks. It is what the golden numbers are compared with, and the peer that the
streaming path is measured against. Random numbers are handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tts_service.glm.flow_matching.flow import Flow, Trajectory, solve
from tts_service.glm.language_model.decode import Limits
from tts_service.glm.language_model.lm import SpeechLM
from tts_service.glm.language_model.sampling import Sampling
from tts_service.glm.language_model.tokenizer import SpeechIds
from tts_service.glm.vocoding import hift

Vocode = Callable[[Tensor], Tensor]
"""Mel [1, 80, T] to samples [1, T * hop]."""


def resample(samples: Tensor, rate: int, new_rate: int) -> Tensor:
    """Resample [B, n] with the published windowed sinc (torchaudio's defaults): 6 zero crossings, roll-off 0.99.

    Returns:
        [B, ceil(n * new_rate / rate)].
    """
    if rate == new_rate:
        return samples
    divisor, crossings = math.gcd(rate, new_rate), 6
    old, new = rate // divisor, new_rate // divisor
    base = 0.99 * min(old, new)
    width = math.ceil(crossings * old / base)
    taps = torch.arange(-width, width + old, dtype=torch.float64) / old
    phase = torch.arange(new, dtype=torch.float64)[:, None] / new
    time = ((taps - phase) * base).clamp(-crossings, crossings)
    kernel = torch.sinc(time) * (time * math.pi / crossings / 2).cos() ** 2 * base / old
    phases = F.conv1d(F.pad(samples[:, None], (width, width + old)), kernel.float()[:, None], stride=old)
    return phases.transpose(1, 2).flatten(1)[:, : math.ceil(new_rate * samples.shape[1] / rate)]


@torch.inference_mode()
def generate(
    lm: SpeechLM, ids: SpeechIds, prompt: Sequence[int], limits: Limits, sampling: Sampling, generator: torch.Generator
) -> list[int]:
    """Speech tokens drawn from the whole vocabulary by torch's multinomial, in the published order.

    Args:
        lm: The language model.
        ids: Where speech lies in its vocabulary.
        prompt: All ids before the answer.
        limits: Shortest and longest answer.
        sampling: Method and constants.
        generator: Consumed like the published code does.

    Returns:
        Tokens relative to speech token 0.
    """
    cache = lm.new_cache(1, len(prompt) + limits.longest)
    place = lm.device
    everything = torch.tensor([list(prompt)], device=place)
    hidden = lm(everything, torch.arange(len(prompt), device=place)[None], cache, len(prompt))
    spoken: list[int] = []
    for step in range(limits.longest):
        logits = (hidden[:, -1] @ lm.head.T).float().cpu()
        token = draw(logits[0], spoken, sampling, generator, banned=ids.end if step < limits.shortest else None)
        if token == ids.end:
            break
        spoken.append(token)
        length = len(prompt) + len(spoken)
        last, position = (torch.tensor([[value]], device=place) for value in (token, length - 1))
        hidden = lm(last, position, cache, length)
    return [token - ids.first for token in spoken]


def draw(
    logits: Tensor, spoken: Sequence[int], sampling: Sampling, generator: torch.Generator, banned: int | None
) -> int:
    """Draw a token from logits [V]; `spoken` are the ids so far, `banned` the end of speech while it is too early."""
    logits = logits.clone()
    if sampling.method == "ras" and banned is not None:
        logits[banned] = float("-inf")
    probabilities = logits.softmax(-1)
    ordered, ids = probabilities.sort(descending=True, stable=True)
    count = min(sampling.top_k, len(ids))
    if (
        sampling.method == "ras"
    ):  # mass summed one by one in float32, as published: it decides whether the last one gets in
        before = np.add.accumulate(ordered[: count - 1].numpy(), dtype=np.float32)
        count = 1 + int((before < sampling.top_p).sum())
    weights = ordered[:count]
    while True:
        token = int(ids[weights.multinomial(1, generator=generator)])
        if sampling.method == "ras":
            recent = spoken[max(0, len(spoken) - sampling.window) :]
            if recent.count(token) >= sampling.window * sampling.repetition:
                token = int(probabilities.multinomial(1, generator=generator))
            return token
        if token != banned:
            return token


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the flow knows about the voice."""

    tokens: Tensor
    """[Lp]."""
    mel: Tensor
    """[P, 80]."""
    speaker: Tensor
    """[192]."""


def hift_vocode(model: hift.HiFT, noise: Callable[[int], Tensor]) -> Vocode:
    """HiFT with noise [1, samples, 9] handed in by number of samples."""

    @torch.inference_mode()
    def vocode(mel: Tensor) -> Tensor:
        return model.decode(mel, model.excite(model.f0(mel), noise(mel.shape[2] * hift.HOP)))

    return vocode


def whole(
    flow: Flow, voice: Conditions, tokens: Tensor, noise: Callable[[int], Tensor], vocode: Vocode
) -> tuple[Tensor, Tensor]:
    """Tokens [L] to mel [1, 80, T] and samples [1, n], in one piece."""
    mel, _ = solve(flow, tokens, voice.tokens, voice.mel, voice.speaker, noise)
    return mel, vocode(mel)


@dataclass(frozen=True, slots=True)
class StreamShape:
    """How the published chunk driver cuts."""

    blocks: tuple[int, ...] = (25, 50, 200)
    """Tokens of the first chunks; the last repeats."""
    lookahead: tuple[int, ...] = (12, 25, 100)
    """Tokens at each chunk's end whose sound is held back."""
    fade: float = 0.1
    """Seconds of linear cross-fade at each join."""
    mask_prompt: int | None = None
    """Prompt length of the block mask in tokens, and in `pinned_prompt` of the pinned frames in mel frames; None for
    the true ones. The shipped code counts 1 for both, because it measures the batch axis."""
    pinned_prompt: int | None = None


SHIPPED = {"mask_prompt": 1, "pinned_prompt": 1}
"""`StreamShape(**SHIPPED)`: with the published miscount of the prompt."""


def cut(tokens: int, blocks: Sequence[int]) -> list[int]:
    """Chunk lengths of so many tokens: the given sizes in turn, then the last again and again."""
    lengths, sizes = [], list(blocks)
    while tokens > 0 and sizes:
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        lengths.append(min(size, tokens))
        tokens -= size
    return lengths


def streamed(
    flow: Flow,
    voice: Conditions,
    tokens: Tensor,
    noise: Callable[[int], Tensor],
    vocode: Vocode,
    rate: int,
    shape: StreamShape,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The published chunk driver: every chunk solves the flow and vocodes everything so far, then cross-fades.

    Yields:
        Mel so far [1, 80, T] and the newly audible samples [n].
    """
    hop = rate // 50
    mask_prompt = len(voice.tokens) if shape.mask_prompt is None else shape.mask_prompt
    pinned_prompt = len(voice.mel) if shape.pinned_prompt is None else shape.pinned_prompt
    trajectory: Trajectory | None = None
    tail: Tensor | None = None
    pinned = heard = known = 0
    lengths = cut(len(tokens), shape.blocks)
    for number, length in enumerate(lengths):
        known += length
        mel, trajectory = solve(
            flow,
            tokens[:known],
            voice.tokens,
            voice.mel,
            voice.speaker,
            noise,
            blocks=(mask_prompt, *shape.blocks),
            previous=trajectory,
            pinned=pinned,
        )
        wave = vocode(mel)[0]
        ahead = shape.lookahead[min(number, len(shape.lookahead) - 1)] / 25
        pinned = pinned_prompt + int((len(wave) / rate - ahead) * rate / hop) + 1
        held, beyond = int(rate * (ahead + shape.fade)), int(rate * ahead)
        fresh = wave[heard:].clone()
        if tail is not None:
            n = min(len(tail), len(fresh))
            down = torch.linspace(1, 0, n, device=fresh.device)
            fresh[:n] = tail[:n] * down + fresh[:n] * torch.linspace(0, 1, n, device=fresh.device)
        if number == len(lengths) - 1:
            yield mel, fresh
            return
        audible = fresh[: max(0, len(fresh) - held)]
        heard += len(audible)
        tail = (
            fresh[len(fresh) - held : len(fresh) - beyond]
            if len(fresh) >= held
            else fresh[: max(0, len(fresh) - beyond)]
        )
        yield mel, audible
