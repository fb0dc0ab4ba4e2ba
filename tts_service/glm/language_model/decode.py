"""Text to speech tokens for many sequences at once: steps on the device, a look at the host every few of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from tts_service.glm.device.fetch import Fetch, sent
from tts_service.glm.device.graphs import Graphs, Recorder
from tts_service.glm.language_model.lm import KVCache, SpeechLM
from tts_service.glm.language_model.sampling import Sampling, next_tokens
from tts_service.glm.language_model.tokenizer import SPEECH_TOKENS, SpeechIds

GROUP = 8
"""Steps between two looks at the device: one synchronisation for so many tokens. Not above `Sampling.window`."""
_SPAN = 256
_PROMPTS = (64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 1280, 1536, 2048, 3072)
"""Lengths that recorded prompts are padded to, and then the cache's."""
_USES = (1, 4)
"""Rows whose cache a step reads, and then all of a block: an idle one's weighs a hundredth of the weights."""
_HEAD = 9
"""Numbers in front of a prompt."""


class SpeechHead:
    """The output projection cut down to what may be said: speech token n is column n, the end is the last column."""

    END = SPEECH_TOKENS

    def __init__(self, lm: SpeechLM, ids: SpeechIds, unrounded: Tensor | None = None) -> None:
        """Cut it down.

        Args:
            lm: The language model.
            ids: Where speech lies in its vocabulary.
            unrounded: The whole projection [vocab, hidden] in float32, if the model holds it in 16 bits.
        """
        every = lm.head if unrounded is None else unrounded
        rows = torch.cat([every[ids.first : ids.first + SPEECH_TOKENS], every[ids.end : ids.end + 1]])
        self._weight = rows.to(lm.device, torch.float32)
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


@dataclass(frozen=True, slots=True)
class _State:
    """What the device knows of every row; steps update it in place."""

    last: Tensor
    """Absolute id of the last token, int64 [rows]."""
    position: Tensor
    """Where it stands in its sequence, int64 [rows]."""
    step: Tensor
    """Tokens drawn so far, int64 [rows]."""
    recent: Tensor
    """The last tokens, int64 [rows, window]; -1 where there are none yet."""
    shortest: Tensor
    seed: Tensor
    ras: Tensor
    """bool [rows]; False: top-k."""
    moving: Tensor
    """bool [rows]; the others stay as they are."""

    @classmethod
    def of(cls, rows: int, window: int, device: torch.device) -> _State:
        def numbers(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.long, device=device)

        flags = torch.zeros(2, rows, dtype=torch.bool, device=device)
        return cls(
            numbers(rows), numbers(rows), numbers(rows), numbers(rows, window), numbers(rows), numbers(rows), *flags
        )

    def __iter__(self) -> Iterator[Tensor]:
        return (getattr(self, field.name) for field in fields(self))

    def part(self, begin: int, end: int) -> _State:
        return _State(*(tensor[begin:end] for tensor in self))


class Decoder:
    """Sequences in the rows of one KV cache.

    Steps run over blocks of rows of few sizes, and a mask says which rows move. So all shapes are known beforehand, a
    row's numbers do not depend on its neighbours, and with one block size not on how many there are.
    """

    def __init__(
        self,
        lm: SpeechLM,
        head: SpeechHead,
        cache: KVCache,
        sampling: Sampling | None = None,
        *,
        blocks: Sequence[int] | None = None,
    ) -> None:
        """Take a cache over.

        Args:
            lm: The language model.
            head: Its output projection.
            cache: One row a sequence.
            sampling: Constants for all rows; the method is each row's own.
            blocks: Rows that a step may run over, the largest a divisor of the cache's rows; None: all of them.
        """
        self.lm, self.head, self.cache, self.sampling = lm, head, cache, sampling or Sampling()
        self.rows = cache.sequences
        self.blocks = sorted(blocks or (self.rows,))
        self.step: Callable[[int, int, int, int], None] = self.advance
        """Runs one step over rows [begin, end), of which so many are in use, with a span; a CUDA graph may stand in for
        `advance`."""
        self._entries, self._recorded = Graphs(), False
        self._entry = torch.zeros(_HEAD + cache.length, dtype=torch.long, device=lm.device)
        """Of the prompt that is being read: what `_State` holds of it, its row, then its ids."""
        self._state = _State.of(self.rows, self.sampling.window, lm.device)
        # a stream of its own: a step is short and somebody waits for it, the flow's kernels are long
        self._stream: torch.cuda.Stream | None = None
        if lm.device.type == "cuda":
            self._stream = torch.cuda.Stream(lm.device, priority=-1)
            self._stream.wait_stream(torch.cuda.current_stream(lm.device))  # which made weights and cache

    @property
    def spans(self) -> list[int]:
        """How much of the cache a step may look at."""
        return [*range(_SPAN, self.cache.length, _SPAN), self.cache.length]

    def record(self, record: Callable[[torch.cuda.Stream | None], Recorder]) -> None:
        """From now on record every step, a block of rows with a span, on the decoder's stream, and replay it.

        The sampling is part of it, so that a group of steps needs nothing of the host.
        """
        graphs = Graphs(record(self._stream))
        self.step = lambda *where: graphs(where, partial(self.advance, *where))
        self._entries, self._recorded = Graphs(record(self._stream)), True

    @property
    def lengths(self) -> list[int]:
        """That prompts are padded to once steps are recorded."""
        return [size for size in _PROMPTS if size < self.cache.length] + [self.cache.length]

    def uses(self, rows: int) -> list[int]:
        """How many of so many rows a step may take to be in use."""
        return [size for size in _USES if size < rows] + [rows]

    @torch.inference_mode()
    def rehearse(self, rows: int, seen: int, span: int) -> None:
        """Run a step over the first rows with nobody moving."""
        with torch.cuda.stream(self._stream):
            self._state.moving.zero_()
            self.step(0, rows, seen, span)

    @torch.inference_mode()
    def prefill(self, row: int, prompt: Sequence[int], limits: Limits, method: str, seed: int) -> None:
        """Begin a sequence: read all of the prompt but its last id, with which the first step begins."""
        values = (prompt[-1], len(prompt) - 1, 0, -1, limits.shortest, seed, method == "ras", False, row)
        length = max(1, len(prompt) - 1)
        if self._recorded:  # what is padded is read too, and overwritten before anybody looks at it
            length = next(size for size in self.lengths if size >= length)
        with torch.cuda.stream(self._stream):
            numbers = sent([*values, *prompt[:-1]], self.lm.device)
            self._entry[: len(numbers)].copy_(numbers)
            self._entries(length, partial(self._enter, length))

    def _enter(self, length: int) -> None:
        values, row = self._entry[: _HEAD - 1], self._entry[_HEAD - 1 : _HEAD]
        self.lm.read(self._entry[_HEAD : _HEAD + length][None], row, self.cache)
        for tensor, value in zip(self._state, values, strict=True):
            own = value.to(tensor.dtype).expand(1, *tensor.shape[1:])
            tensor.index_copy_(0, row, own)

    @torch.inference_mode()
    def read(self, row: int, ids: Sequence[int]) -> None:
        """Fill a row of the cache from its first position on."""
        if ids:
            place = self.lm.device
            with torch.cuda.stream(self._stream):
                self.lm.read(sent([list(ids)], place), sent([row], place), self.cache)

    @torch.inference_mode()
    def move(self, source: int, target: int, length: int) -> None:
        """Let a sequence of so many positions go on in another row."""
        with torch.cuda.stream(self._stream):
            self.cache.move(source, target, length)
            for tensor in self._state:
                tensor[target] = tensor[source]

    @torch.inference_mode()
    def run(self, rows: Sequence[int], length: int, steps: int = GROUP) -> Fetch:
        """Draw the next tokens of some rows; an error leaves all of them as they were.

        Args:
            rows: Which.
            length: Positions that the longest of them will have.
            steps: Tokens to draw, at most `GROUP`.

        Returns:
            [all rows, steps]. `SpeechHead.END` ends a sequence; what follows it means nothing.
        """
        moving = torch.zeros(self.rows, dtype=torch.bool, pin_memory=self._stream is not None)
        moving[list(rows)] = True
        span = next(span for span in self.spans if span >= length)  # rounded up, so that steps come in few shapes
        with torch.cuda.stream(self._stream):
            before = [tensor.clone() for tensor in self._state]
            self._state.moving.copy_(moving, non_blocking=True)
            try:
                for begin, end in self._pieces(max(rows) + 1):
                    if inside := [row - begin for row in rows if begin <= row < end]:
                        seen = next(size for size in self.uses(end - begin) if size > max(inside))
                        for _ in range(steps):
                            self.step(begin, end, seen, span)
            except BaseException:
                for tensor, value in zip(self._state, before, strict=True):
                    tensor.copy_(value)
                raise
            return Fetch(self._state.recent[:, -steps:])

    def advance(self, begin: int, end: int, seen: int, span: int) -> None:
        """Draw one token for the moving rows of [begin, end), which are among the first `seen`.

        No value is looked at on the host.
        """
        state = self._state.part(begin, end)
        ids = state.last.where(state.moving, 0)
        hidden = self.lm(ids[:, None], state.position[:, None], self.cache.part(begin, end), span, seen)
        drawn = next_tokens(
            self.head(hidden[:, -1]), state.recent, state.step, state.shortest, state.seed, state.ras, self.sampling,
            self.head.END,
        )  # fmt: skip
        # what comes after the end is never looked at, but must be an id
        following = self.head.ids.first + drawn.clamp(max=SPEECH_TOKENS - 1)
        state.last.copy_(following.where(state.moving, state.last))
        shifted = torch.cat([state.recent[:, 1:], drawn[:, None]], dim=1)
        state.recent.copy_(shifted.where(state.moving[:, None], state.recent))
        state.position.add_(state.moving)
        state.step.add_(state.moving)

    def _pieces(self, count: int) -> Iterator[tuple[int, int]]:
        """Cut the first `count` rows into blocks, each the smallest that holds what is left."""
        begin = 0
        while begin < count:
            size = next((size for size in self.blocks if size >= count - begin), self.blocks[-1])
            yield begin, begin + size
            begin += size


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
    """Generate the speech tokens of one sequence, without a scheduler.

    Args:
        lm: The language model.
        head: Its output projection.
        prompt: All ids before the answer.
        limits: Shortest and longest answer.
        sampling: Method and constants.
        seed: The same seed gives the same tokens, whatever else happens.
        should_stop: Looked at before the prefill and every `GROUP` steps.
        cache: For one sequence, at least `len(prompt) + limits.longest` long; None recomputes everything at each step
            (to measure), one token at a time.

    Yields:
        Up to `GROUP` tokens at a time, 0..32767.
    """
    decoder = Decoder(lm, head, lm.new_cache(1, len(prompt) + limits.longest) if cache is None else cache, sampling)
    ids, made = list(prompt), 0
    while made < limits.longest and not should_stop():
        if made == 0:
            decoder.prefill(0, ids, limits, sampling.method, seed)
        elif cache is None:
            decoder.read(0, ids[:-1])
        steps = min(GROUP if cache else 1, limits.longest - made)
        tokens = decoder.run([0], len(prompt) + made + steps, steps).result().tolist()[0]  # the only synchronisation
        if head.END in tokens:
            if spoken := tokens[: tokens.index(head.END)]:
                yield spoken
            return
        yield tokens
        ids += [head.ids.first + token for token in tokens]
        made += steps
