"""Text to speech tokens: prefill once, then step by step on the device, with a look at the host every few steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_service.glm.lm import KVCache, SpeechLM
from tts_service.glm.sampling import Sampling, next_tokens
from tts_service.glm.tokenizer import SPEECH_TOKENS, SpeechIds

GROUP = 8
"""Steps between two looks at the device: one synchronisation for so many tokens."""
_SPAN = 256


class SpeechHead:
    """The output projection cut down to what may be said: speech token n is column n, the end is the last column."""

    END = SPEECH_TOKENS

    def __init__(self, lm: SpeechLM, ids: SpeechIds) -> None:
        rows = torch.cat([lm.head[ids.first : ids.first + SPEECH_TOKENS], lm.head[ids.end : ids.end + 1]])
        self._weight = rows.float()  # logits in float32 whatever the model runs in
        self.ids = ids

    def __call__(self, hidden: Tensor) -> Tensor:
        """Logits [B, 32769] of hidden states [B, hidden]."""
        return hidden.float() @ self._weight.T


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the answer to a text may be."""

    shortest: int
    longest: int

    @classmethod
    def of(cls, text_ids: int, max_length: int | None = None) -> Limits:
        """The published rule, 2 to 20 speech tokens for each text id."""
        longest = 20 * text_ids if max_length is None else min(20 * text_ids, max_length)
        return cls(min(2 * text_ids, longest), longest)


class _Sequence:
    """One utterance's state on the device; every step updates it in place."""

    def __init__(self, device: torch.device, position: int, shortest: int, seed: int, window: int) -> None:
        self.position = torch.tensor([position], device=device)
        self.step = torch.zeros(1, dtype=torch.long, device=device)
        self.shortest = torch.tensor([shortest], device=device)
        self.seed = torch.tensor([seed], device=device)
        self.last = torch.zeros(1, dtype=torch.long, device=device)
        """Absolute id of the last token."""
        self.recent = torch.full((1, window), -1, device=device)
        self.drawn = torch.zeros(1, GROUP, dtype=torch.long, device=device)

    def take(self, token: Tensor, column: int, first: int) -> None:
        """Note a token [1]; what comes after the end is never looked at, but must be an id."""
        self.drawn[:, column] = token
        self.last.copy_(first + token.clamp(max=SPEECH_TOKENS - 1))
        self.recent.copy_(torch.cat([self.recent[:, 1:], token[:, None]], dim=1))
        self.step += 1


def speech_tokens(
    lm: SpeechLM,
    head: SpeechHead,
    prompt: Sequence[int],
    limits: Limits,
    sampling: Sampling,
    seed: int,
    should_stop: Callable[[], bool],
    *,
    cache: KVCache | None,
) -> Iterator[list[int]]:
    """Generate speech tokens.

    Args:
        lm: The language model.
        head: Its output projection.
        prompt: All ids before the answer.
        limits: Shortest and longest answer.
        sampling: Method and constants.
        seed: The same seed gives the same tokens, whatever else happens.
        should_stop: Looked at before the prefill and every `GROUP` steps.
        cache: For one sequence, at least `len(prompt) + limits.longest` long; None recomputes everything at each step
            (to measure).

    Yields:
        Up to `GROUP` tokens at a time, 0..32767.
    """
    state = _Sequence(lm.device, len(prompt), limits.shortest, seed, sampling.window)
    ids = torch.tensor([list(prompt)], device=lm.device)  # grows only without a cache
    made = 0
    while made < limits.longest and not should_stop():
        group = min(GROUP, limits.longest - made)
        with torch.inference_mode():
            for column in range(group):
                length = len(prompt) + made + column
                if cache is None or length == len(prompt):
                    hidden = _read(lm, ids, cache)
                else:
                    hidden = lm(state.last[:, None], state.position[:, None], cache, _span(cache, length))
                    state.position += 1
                drawn = next_tokens(
                    head(hidden[:, -1]), state.recent, state.step, state.shortest, state.seed, sampling, head.END
                )
                state.take(drawn, column, head.ids.first)
                if cache is None:
                    ids = torch.cat([ids, state.last[:, None]], dim=1)
            tokens = state.drawn[0, :group].tolist()  # the only synchronisation
        if head.END in tokens:
            if spoken := tokens[: tokens.index(head.END)]:
                yield spoken
            return
        yield tokens
        made += group


def _read(lm: SpeechLM, ids: Tensor, cache: KVCache | None) -> Tensor:
    length = ids.shape[1]
    cache = cache or lm.new_cache(1, length)
    return lm(ids, torch.arange(length, device=ids.device)[None], cache, length)


def _span(cache: KVCache, length: int) -> int:
    """Cache positions to look at: rounded up, so that steps come in few shapes."""
    return min(cache.length, -(-length // _SPAN) * _SPAN)
