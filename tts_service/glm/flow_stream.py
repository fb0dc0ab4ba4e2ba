"""Speech tokens to mel while the tokens are being born.

A chunk is a block of tokens that become final and a few more that only lend it a future. Its cost does not depend on
what came before: the prompt is worked through once a voice, settled frames once an utterance. Noise belongs to the
frame, so a frame that is worked on twice starts from the same place both times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from tts_service.glm.dit import Modulation
from tts_service.glm.flow import GUIDANCE, STEPS, Flow
from tts_service.glm.flow_cache import FlowCache, StepMemory
from tts_service.glm.noise import Purpose, normal

FRAMES = 2
"""Mel frames a token."""
_PROMPT_TAIL = 15
"""Last tokens of the prompt that are worked on again with the first chunk, because the convolutions see the speech
behind them."""


@dataclass(frozen=True, slots=True)
class Chunking:
    """How the utterance is cut, in tokens (40 ms each)."""

    blocks: tuple[int, ...] = (15, 20, 25)
    """Blocks of the first chunks; the last repeats."""
    lookahead: int = 15
    """Tokens after a block that must have been born before it is worked on."""
    window: int = 150
    """How far attention looks back beyond the prompt."""

    @property
    def region(self) -> int:
        """The longest chunk in frames."""
        return FRAMES * (max(self.blocks) + self.lookahead)


class FlowVoice:
    """A voice as the flow knows it, shared by all its utterances: modulations and the worked-through prompt."""

    def __init__(
        self,
        flow: Flow,
        tokens: Tensor,
        mel: Tensor,
        speaker: Tensor,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Work through the prompt.

        Args:
            flow: The model.
            tokens: Of the reference audio, [Lp].
            mel: Of the same audio, [2 * Lp, 80].
            speaker: Raw vector [192].
            should_stop: Looked at before every ODE step; after a stop the voice is not `complete` and of no use.
        """
        self.flow, self.frames = flow, len(mel)
        self.tail_tokens = tokens[-_PROMPT_TAIL:].tolist()
        self.tail_mel = mel[None, -FRAMES * len(self.tail_tokens) :] if len(self.tail_tokens) else mel[None, :0]
        times = flow.schedule(STEPS)
        self.spans = [after - before for before, after in pairwise(times)]
        device = mel.device
        with torch.inference_mode():
            unit = flow.speaker_condition(speaker)
            speakers = torch.cat([unit, torch.zeros_like(unit)])
            self.modulations: list[Modulation] = [
                flow.estimator.modulate(torch.full((2,), time, device=device), speakers) for time in times[:-1]
            ]
            self.prompt = FlowCache(flow.estimator.sizes, STEPS, self.frames, 0, 0, device)
            self.prompt.begin(self.frames - self.tail_mel.shape[1])
            noise = frame_noise(0, Purpose.FLOW_PROMPT, 0, self.frames, device)
            ids = tokens.repeat_interleave(FRAMES)[None]
            heard = solve_chunk(self, self.prompt, ids, noise, condition=mel[None], should_stop=should_stop)
            self.complete = heard is not None
            self.prompt.settled = self.prompt.settling


def frame_noise(seed: int, purpose: Purpose, first: int, frames: int, device: torch.device | str) -> Tensor:
    """Where the ODE starts for frames `first` and on, [1, frames, 80]."""
    index = torch.arange(first * 80, (first + frames) * 80, device=device)
    return normal(torch.tensor(seed, device=device), purpose, index).view(1, frames, 80)


def solve_chunk(
    voice: FlowVoice,
    cache: FlowCache,
    ids: Tensor,
    x: Tensor,
    *,
    condition: Tensor,
    should_stop: Callable[[], bool],
) -> Tensor | None:
    """Take frames through all ODE steps, extending the cache.

    Args:
        voice: Modulations and step lengths.
        cache: What came before, with `begin` called.
        ids: One token a frame, [1, T].
        x: Noise [1, T, 80].
        condition: Prompt mel [1, T, 80], zeros beyond the prompt.
        should_stop: Looked at before every step.

    Returns:
        Mel [1, T, 80], or None if it was stopped, after which the cache is of no more use.
    """
    dit = voice.flow.estimator
    known = torch.cat([condition, torch.zeros_like(condition)])
    tokens = dit.embed_tokens(ids, cache.settled, cache.tokens).expand(2, -1, -1)
    for number, (span, modulation) in enumerate(zip(voice.spans, voice.modulations, strict=True)):
        if should_stop():
            return None
        parts = [x.expand(2, -1, -1), known, tokens]
        guided, free = dit(parts, modulation, start=cache.settled, memory=StepMemory(cache, number)).chunk(2)
        x = x + span * ((1 + GUIDANCE) * guided - GUIDANCE * free)
    return x


class FlowStream:
    """One utterance."""

    def __init__(self, voice: FlowVoice, seed: int, chunking: Chunking) -> None:
        self._voice, self._seed, self._chunking = voice, seed, chunking
        device = voice.prompt.keys.device
        tail, window = voice.tail_mel.shape[1], FRAMES * chunking.window
        self._cache = FlowCache(voice.flow.estimator.sizes, STEPS, tail + chunking.region, voice.frames, window, device)
        self._cache.follow(voice.prompt)
        self._pending: list[int] = []
        self._chunks = 0

    def add(self, tokens: Iterable[int]) -> None:
        """Take newly born tokens."""
        self._pending += tokens

    @property
    def _block(self) -> int:
        return self._chunking.blocks[min(self._chunks, len(self._chunking.blocks) - 1)]

    @property
    def ready(self) -> bool:
        """Whether the next chunk has its block and its future."""
        return len(self._pending) >= self._block + self._chunking.lookahead

    @property
    def pending(self) -> int:
        """Tokens that are not settled yet."""
        return len(self._pending)

    @torch.inference_mode()
    def chunk(self, should_stop: Callable[[], bool], *, final: bool = False) -> Tensor | None:
        """Work through the next chunk.

        Args:
            should_stop: Looked at before every ODE step.
            final: No more tokens will come; a remainder no longer than a whole chunk settles at once.

        Returns:
            Settled mel [1, 80, 2 * block], or None if it was stopped.
        """
        voice, cache = self._voice, self._cache
        used = self._pending[: self._block + self._chunking.lookahead]
        block = len(used) if final and len(used) == len(self._pending) else self._block
        device = cache.keys.device
        known = voice.frames - cache.settled if self._chunks == 0 else 0  # frames of the prompt's tail
        ids = torch.tensor(voice.tail_tokens[: known // FRAMES] + used, device=device).repeat_interleave(FRAMES)[None]
        born = cache.settled + known - voice.frames
        noise = frame_noise(self._seed, Purpose.FLOW, born, FRAMES * len(used), device)
        condition = torch.zeros_like(noise)
        if known:
            prompt_noise = frame_noise(0, Purpose.FLOW_PROMPT, cache.settled, known, device)
            noise = torch.cat([prompt_noise, noise], dim=1)
            condition = torch.cat([voice.tail_mel, condition], dim=1)
        cache.begin(known + FRAMES * block)
        mel = solve_chunk(voice, cache, ids, noise, condition=condition, should_stop=should_stop)
        if mel is None:
            return None
        cache.finish(ids.shape[1])
        self._pending = self._pending[block:]
        self._chunks += 1
        return mel[:, known : known + FRAMES * block].transpose(1, 2)
