"""Speech tokens to mel while the tokens are being born.

A chunk is a block of tokens that become final and a few more that only lend it a future. Its cost does not depend on
what came before: the prompt is worked through once a voice, settled frames once an utterance. Noise belongs to the
frame, so a frame that is worked on twice starts from the same place both times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from tts_service.glm.device.fetch import sent
from tts_service.glm.device.noise import Purpose, normal
from tts_service.glm.flow_matching.cache import FlowCache, StepMemory
from tts_service.glm.flow_matching.dit import BRANCHES, Modulation
from tts_service.glm.flow_matching.flow import Flow, combined
from tts_service.glm.flow_matching.foresight import Foresight
from tts_service.glm.flow_matching.pool import FramePool

FRAMES = 2
"""Mel frames a token."""
PROMPT_TAIL = 15
"""Last tokens of the prompt that are worked on again with the first chunk, because the convolutions see the speech
behind them."""


@dataclass(frozen=True, slots=True)
class Chunking:
    """How the utterance is cut, in tokens (40 ms each)."""

    blocks: tuple[int, ...] = (15, 20, 25)
    """Blocks of the first chunks; the last repeats."""
    lookahead: int = 15
    """Tokens after a block that must have been born before it is worked on."""
    early: int = 9
    """The same of the first block, if that is less: whose sound is waited for. Frames of the published mask see half a
    block of future at least, which are seven of fifteen."""
    window: int = 300
    """How far attention looks back beyond the prompt: 12 s. Each second takes 55 MB at the published size on a GPU."""

    def reach_of(self, number: int) -> int:
        """Tokens of a chunk, its future among them, for chunks counted from 0."""
        after = min(self.early, self.lookahead) if number == 0 else self.lookahead
        return self.blocks[min(number, len(self.blocks) - 1)] + after

    @property
    def region(self) -> int:
        """The longest chunk in frames."""
        return FRAMES * (max(self.blocks) + self.lookahead)

    @property
    def lengths(self) -> list[int]:
        """Chunks with their surroundings, in frames: a short last one, the usual one and the first."""
        return [self.region // 2, self.region, FRAMES * (PROMPT_TAIL + self.reach_of(0))]

    def reach(self, expected: int) -> int:
        """The window of a segment of about so many tokens: there is no use in room for more than it says."""
        return min(self.window, max(expected, max(self.blocks)))


def stream_size(flow: Flow, chunking: Chunking, expected: int, prompt: int) -> int:
    """Bytes that a stream keeps: about `expected` tokens of speech after a reference of `prompt` tokens."""
    frames = FRAMES * (min(prompt, PROMPT_TAIL) + chunking.reach(expected)) + chunking.region
    return FlowCache.size(flow.estimator.sizes, flow.solver.steps, frames, flow.past_dtype)


def voice_size(flow: Flow, prompt: int) -> int:
    """Bytes that a voice with a reference of so many tokens keeps."""
    sizes, steps, frames = flow.estimator.sizes, flow.solver.steps, FRAMES * max(0, prompt - PROMPT_TAIL)
    modulations = steps * 2 * (sizes.depth * 6 + 2) * sizes.width
    return (
        FlowCache.size(sizes, steps, frames, flow.past_dtype) + 4 * modulations + Foresight.size(sizes, FRAMES * prompt)
    )


class Recorded(Protocol):
    """What works on chunks in shapes that were recorded before; `flow_graph.FlowGraphs` is one."""

    pool: FramePool

    def padded(self, frames: int) -> int:
        """Frames that so many are worked on as."""
        ...

    def solve(self, chunks: Sequence[Chunk]) -> list[Tensor | None]:
        """See `solve_chunks`."""
        ...


class FlowVoice:
    """A voice as the flow knows it, shared by all its utterances: modulations and the worked-through prompt."""

    def __init__(
        self,
        flow: Flow,
        tokens: Tensor,
        mel: Tensor,
        speaker: Tensor,
        should_stop: Callable[[], bool] = lambda: False,
        graphs: Recorded | None = None,
    ) -> None:
        """Work through the prompt.

        Args:
            flow: The model.
            tokens: Of the reference audio, [Lp]; best on the host.
            mel: Of the same audio, [2 * Lp, 80].
            speaker: Raw vector [192].
            should_stop: Looked at before every ODE step; after a stop the voice is not `complete` and of no use.
            graphs: What its utterances are worked on with; None: `solve_chunks`.
        """
        self.flow, self.frames, self.graphs = flow, len(mel), graphs
        ids: list[int] = tokens.tolist()
        self.tail_tokens, self.mel = ids[-PROMPT_TAIL:], mel[None]
        times = flow.schedule()
        self.spans = [after - before for before, after in pairwise(times)]
        device = mel.device
        with torch.inference_mode():
            unit = flow.speaker_condition(speaker)
            speakers = torch.cat([unit, torch.zeros_like(unit)])
            self.modulations: list[Modulation] = [
                flow.estimator.modulate(torch.full((2,), time, device=device), speakers) for time in times[:-1]
            ]
            settling = self.frames - FRAMES * len(self.tail_tokens)
            pool = graphs.pool if graphs else None
            self.prompt = FlowCache(
                flow.estimator.sizes, len(self.spans), settling, 0, 0, device, dtype=flow.past_dtype, pool=pool
            )
            self.foresight = Foresight(flow.estimator, sent(ids, device).repeat_interleave(FRAMES)[None])
            chunk = Chunk(self, self.prompt, ids, 0, self.frames, settling, None, should_stop)
            self.complete = solve_chunks([chunk])[0] is not None


def frame_noise(seed: int, purpose: Purpose, first: int, frames: int, device: torch.device | str) -> Tensor:
    """Where the ODE starts for frames `first` and on, [1, frames, 80]."""
    index = torch.arange(first * 80, (first + frames) * 80, device=device)
    return normal(torch.full((), seed, device=device), purpose, index).view(1, frames, 80)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames of one utterance, ready to be worked on; only numbers so far."""

    voice: FlowVoice
    cache: FlowCache
    """What came before."""
    tokens: Sequence[int]
    seed: int
    """Of the noise."""
    known: int
    """Frames at the beginning that belong to the prompt."""
    settling: int
    """Frames at the beginning that are final."""
    ahead: tuple[int, int] | None
    """The frames behind it, from the first of the prompt, that are expected; None: nothing is known of them."""
    should_stop: Callable[[], bool]
    """Looked at before every ODE step."""

    @property
    def frames(self) -> int:
        """How many."""
        return FRAMES * len(self.tokens)

    @property
    def born(self) -> int:
        """The first frame behind the prompt's, counted from the first that was ever said."""
        return self.cache.settled + self.known - self.voice.frames

    def foreseen(self) -> Tensor:
        """Energy [blocks, 1, 1, 2E] of the frames that are expected behind it."""
        if self.ahead is None:
            return torch.zeros_like(self.cache.tokens.energy)
        return self.voice.foresight.between(*self.ahead)

    @property
    def condition(self) -> Tensor:
        """Mel of the frames of the prompt, [1, known, 80]."""
        return self.voice.mel[:, self.cache.settled : self.cache.settled + self.known]

    def ids(self) -> Tensor:
        """One token a frame, [1, T]."""
        return sent(self.tokens, self.cache.device).repeat_interleave(FRAMES)[None]

    def noise(self) -> Tensor:
        """Where the ODE starts, [1, T, 80]."""
        device, own = self.cache.device, self.frames - self.known
        noise = frame_noise(self.seed, Purpose.FLOW, self.born, own, device)
        if not self.known:
            return noise
        return torch.cat([frame_noise(0, Purpose.FLOW_PROMPT, self.cache.settled, self.known, device), noise], dim=1)


@torch.inference_mode()
def solve_chunks(chunks: Sequence[Chunk]) -> list[Tensor | None]:
    """Take chunks of one length through all ODE steps as one batch, and extend their caches.

    Returns:
        Mel [1, T, 80] of each, or None for those that were stopped, whose caches are as they were.
    """
    dit, solver = chunks[0].voice.flow.estimator, chunks[0].voice.flow.solver
    for chunk in chunks:
        chunk.cache.tokens.expected = chunk.foreseen()
        chunk.cache.begin(chunk.settling, chunk.frames)
    # the two guidance branches of a chunk lie side by side: guided, free, guided, free, ...
    tokens = [dit.embed_tokens(chunk.ids(), chunk.cache.settled, chunk.cache.tokens) for chunk in chunks]
    features = torch.cat(tokens).repeat_interleave(2, dim=0)
    x = torch.cat([chunk.noise() for chunk in chunks])
    known = torch.zeros(len(chunks), 2, *x.shape[1:], device=x.device)
    for row, chunk in enumerate(chunks):
        if chunk.known:
            known[row, :1, : chunk.known] = chunk.condition
    known = known.flatten(0, 1)
    starts = sent([[chunk.cache.settled] for chunk in chunks for _ in range(2)], x.device)
    going = list(range(len(chunks)))
    for number, span in enumerate(chunks[0].voice.spans):
        left = [place for place, at in enumerate(going) if not chunks[at].should_stop()]
        if not left:
            return [None] * len(chunks)
        if len(left) < len(going):
            x, pairs = x[left], [2 * place + branch for place in left for branch in range(2)]
            known, features, starts = known[pairs], features[pairs], starts[pairs]
            going = [going[place] for place in left]
        present = [chunks[at] for at in going]
        branches = solver.branches(number)
        modulation = Modulation.stack([chunk.voice.modulations[number][:branches] for chunk in present])
        memory = StepMemory([chunk.cache for chunk in present], number, branches)
        every = slice(None, None, BRANCHES // branches)
        parts = [x.repeat_interleave(branches, dim=0), known[every], features[every]]
        velocity = dit(parts, modulation, start=starts[every], memory=memory)
        x = x + span * combined(velocity, branches)
    mels: list[Tensor | None] = [None] * len(chunks)
    for place, at in enumerate(going):
        chunks[at].cache.finish()
        mels[at] = x[place : place + 1]
    return mels


class FlowStream:
    """One utterance."""

    def __init__(self, voice: FlowVoice, seed: int, chunking: Chunking, expected: int = 250) -> None:
        """Begin an utterance.

        Args:
            voice: Who speaks.
            seed: Of the noise.
            chunking: How the utterance is cut.
            expected: Roughly how many tokens it will have. Too many harm less than too few.
        """
        self._voice, self._seed, self._chunking = voice, seed, chunking
        self._end = voice.frames + FRAMES * expected
        self._window = FRAMES * chunking.reach(expected)
        self._pending: list[int] = []
        self._chunks = 0
        self._ended = False

    @cached_property
    def _cache(self) -> FlowCache:
        """Made for the first chunk: it is large, and who waits for his tokens has no need of it."""
        voice, chunking = self._voice, self._chunking
        return FlowCache(
            voice.flow.estimator.sizes,
            len(voice.spans),
            FRAMES * len(voice.tail_tokens),
            self._window,
            chunking.region,
            voice.prompt.device,
            voice.prompt,
            voice.flow.past_dtype,
            voice.graphs.pool if voice.graphs else None,
        )

    def add(self, tokens: Iterable[int]) -> None:
        """Take newly born tokens."""
        self._pending += tokens

    def end(self) -> None:
        """No more tokens will come."""
        self._ended = True

    @property
    def ready(self) -> bool:
        """Whether the next chunk has its block and its future, or all that there will be."""
        return len(self._pending) >= self._reach or (self._ended and self.pending > 0)

    @property
    def missing(self) -> int:
        """Tokens that the next chunk still needs."""
        return 0 if self.ready else self._reach - self.pending

    @property
    def pending(self) -> int:
        """Tokens that are not settled yet."""
        return len(self._pending)

    @property
    def frames(self) -> int:
        """Length of the next chunk with its surroundings, padded where it is; those of one length can go together."""
        frames, graphs = self._known + FRAMES * min(self._reach, self.pending), self._voice.graphs
        return graphs.padded(frames) if graphs else frames

    def chunk(self, should_stop: Callable[[], bool], *, final: bool = False) -> Tensor | None:
        """Work through the next chunk.

        Args:
            should_stop: Looked at before every ODE step.
            final: No more tokens will come.

        Returns:
            Settled mel [1, 80, frames], or None if it was stopped.
        """
        if final:
            self.end()
        return work_through([self], [should_stop])[0]

    def next_chunk(self, should_stop: Callable[[], bool]) -> Chunk:
        """The coming chunk; nothing has changed until `settle`."""
        cache, known, used = self._cache, self._known, self._pending[: self._reach]
        tokens = [*self._voice.tail_tokens[: known // FRAMES], *used]
        behind = cache.settled + FRAMES * len(tokens)
        last = self.pending < self._reach
        ahead = (behind, behind if last else self._end)
        return Chunk(self._voice, cache, tokens, self._seed, known, known + FRAMES * self._settling, ahead, should_stop)

    def settle(self, mel: Tensor) -> Tensor:
        """Put the coming chunk's mel [1, T, 80] behind us; return what is final of it, [1, 80, frames]."""
        known, block = self._known, self._settling
        self._pending = self._pending[block:]
        self._chunks += 1
        return mel[:, known : known + FRAMES * block].transpose(1, 2)

    @property
    def _block(self) -> int:
        return self._chunking.blocks[min(self._chunks, len(self._chunking.blocks) - 1)]

    @property
    def _reach(self) -> int:
        return self._chunking.reach_of(self._chunks)

    @property
    def _settling(self) -> int:
        # what is cut off must not depend on how early the end was known
        return self.pending if self.pending < self._reach else self._block

    @property
    def _known(self) -> int:
        """Frames of the prompt's tail that are worked on again."""
        return 0 if self._chunks else FRAMES * len(self._voice.tail_tokens)


def work_through(streams: Sequence[FlowStream], stops: Sequence[Callable[[], bool]]) -> list[Tensor | None]:
    """Work through the next chunks, all of one length, of several utterances as one batch; see `FlowStream.chunk`."""
    chunks = [stream.next_chunk(stop) for stream, stop in zip(streams, stops, strict=True)]
    graphs = chunks[0].voice.graphs
    mels = graphs.solve(chunks) if graphs else solve_chunks(chunks)
    return [mel if mel is None else stream.settle(mel) for stream, mel in zip(streams, mels, strict=True)]
