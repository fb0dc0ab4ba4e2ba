"""The flow's ODE steps in shapes that a graph can record: a chunk is a dozen launches instead of thousands.

Batches, chunks and pasts are padded to a few sizes. What differs from chunk to chunk is a table of numbers that is sent
along: which slots of the pool hold the past, which take what settles, how much of everything is real. What is padded
weighs nothing, so the result is that of `flow_stream.solve_chunks` but for the order of sums.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tts_service.glm.device.fetch import sent
from tts_service.glm.device.graphs import Graphs, Recorder
from tts_service.glm.device.noise import Purpose, normal
from tts_service.glm.flow_matching.cache import CONV_REACH, TOKEN_REACH, FlowCache
from tts_service.glm.flow_matching.dit import BRANCHES, HEAD_DIM, Modulation
from tts_service.glm.flow_matching.flow import Flow, combined
from tts_service.glm.flow_matching.pool import NOBODY, NOTHING, FramePool, PooledPast

if TYPE_CHECKING:
    from tts_service.glm.flow_matching.stream import Chunk

_HEAD = ("start", "known", "born", "seed", "settling", "frames", "past", "forgotten", "older", "half")
"""Numbers of an utterance, in front of its tokens and places."""
_MEL = 80


@dataclass(frozen=True, slots=True)
class Kind:
    """The sizes of a batch as it is padded; a graph is recorded for each."""

    rows: int
    frames: int
    """Of a chunk."""
    past: int
    """Frames that attention sees before it."""


class FlowGraphs:
    """All that chunks of the flow are worked on with, at fixed addresses.

    Args:
        flow: The model.
        frames: Lengths that chunks are padded to; the longest must hold any.
        past: The longest past.
        pool: Where all streams keep theirs.
        together: Chunks in a batch, at most.
        record: How graphs are recorded; None: everything is done as usual, to be compared.
    """

    def __init__(
        self,
        flow: Flow,
        frames: Sequence[int],
        past: int,
        pool: FramePool,
        together: int,
        record: Recorder | None = None,
    ) -> None:
        self.flow, self.pool, self.together = flow, pool, together
        self._rows = [*_doubling(1, together)]
        self._frames = sorted({_up(length, 16) for length in frames})
        self._pasts = [*_doubling(256, _up(past, 256))]
        self._begins, self._steps = Graphs(record), Graphs(record)
        sizes, device, spans = flow.estimator.sizes, pool.rows.device, torch.tensor(flow.schedule()).diff()
        longest, steps = self._frames[-1], flow.solver.steps

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=device)

        self._spans = spans.to(device)
        self._counter = torch.zeros(1, dtype=torch.long, device=device)
        self._numbers = torch.zeros(
            together * (len(_HEAD) + 2 * longest + self._pasts[-1]), dtype=torch.long, device=device
        )
        self._x, self._condition = zeros(together, longest, _MEL), zeros(together, longest, _MEL)
        self._features = zeros(together, longest, sizes.token_dim)
        self._blocks = zeros(steps, sizes.depth, BRANCHES * together, 1, 6 * sizes.width)
        self._out = zeros(steps, BRANCHES * together, 1, 2 * sizes.width)
        self._left, self._next_left = (zeros(steps, 2, BRANCHES * together, sizes.width, CONV_REACH) for _ in range(2))
        self._token_left, self._next_token_left = (
            zeros(sizes.token_blocks, together, sizes.token_dim, TOKEN_REACH) for _ in range(2)
        )
        self._energy, self._next_energy, self._expected = (
            zeros(sizes.token_blocks, together, 1, 2 * sizes.token_dim) for _ in range(3)
        )
        self._voices: list[Callable[[], Any]] = [lambda: None] * together
        self._conditioned = False

    @property
    def kinds(self) -> list[Kind]:
        """All that can come."""
        return [Kind(r, f, p) for p in self._pasts for f in self._frames for r in self._rows]

    @property
    def size(self) -> int:
        """Bytes of the buffers, the pool apart."""
        return sum(t.numel() * t.element_size() for t in vars(self).values() if isinstance(t, Tensor))

    def padded(self, frames: int) -> int:
        """The length that a chunk of so many frames is padded to; chunks of one length can be worked on together."""
        return _fit(self._frames, frames)

    @torch.inference_mode()
    def rehearse(self, kind: Kind) -> None:
        """Record the graphs of a kind, with nobody in the batch."""
        self._send(kind, [])
        self._begins((kind.rows, kind.frames), partial(self._begin, kind))
        for branches in sorted({self.flow.solver.branches(number) for number in range(self.flow.solver.steps)}):
            self._counter.zero_()
            self._steps((kind, branches), partial(self._step, kind, branches))

    @torch.inference_mode()
    def solve(self, chunks: Sequence[Chunk]) -> list[Tensor | None]:
        """Take chunks through all ODE steps as one batch; see `flow_stream.solve_chunks`."""
        kind = Kind(
            _fit(self._rows, len(chunks)),
            self.padded(max(chunk.frames for chunk in chunks)),
            _fit(self._pasts, max(chunk.cache.reach for chunk in chunks)),
        )
        self._send(kind, chunks)
        self._load(kind, chunks)
        self._begins((kind.rows, kind.frames), partial(self._begin, kind))
        for number in range(self.flow.solver.steps):
            if all(chunk.should_stop() for chunk in chunks):
                return [None] * len(chunks)
            branches = self.flow.solver.branches(number)
            self._steps((kind, branches), partial(self._step, kind, branches))
        going = [row for row, chunk in enumerate(chunks) if not chunk.should_stop()]
        self._keep([(row, chunks[row].cache) for row in going])
        made = self._x[: len(chunks), : kind.frames].clone()  # which the next batch writes over
        mels: list[Tensor | None] = [None] * len(chunks)
        for row in going:
            mels[row] = made[row : row + 1, : chunks[row].frames]
        return mels

    # What differs from chunk to chunk

    def _send(self, kind: Kind, chunks: Sequence[Chunk]) -> None:
        """Numbers of all rows, in one piece; rows without an utterance look at nothing and keep nothing."""
        head = np.zeros((kind.rows, len(_HEAD) + 2 * kind.frames), np.int64)
        head[:, _HEAD.index("frames")], head[:, _HEAD.index("half")] = kind.frames, 1
        head[:, len(_HEAD) + kind.frames :] = NOBODY
        table = np.full((kind.rows, kind.past), NOTHING, np.int64)
        for row, chunk in enumerate(chunks):
            cache = chunk.cache
            places = cache.announce(chunk.settling)
            forgotten, older, half = cache.standing_in
            seen = _slots(cache)
            head[row, : len(_HEAD)] = (
                cache.settled, chunk.known, chunk.born, chunk.seed, chunk.settling, chunk.frames, len(seen),
                forgotten if half else 0, older, max(1, half),
            )  # fmt: skip
            head[row, len(_HEAD) : len(_HEAD) + chunk.frames] = np.repeat(
                chunk.tokens, chunk.frames // len(chunk.tokens)
            )
            head[row, len(_HEAD) + kind.frames :][: len(places)] = _past_of(cache).slots[places]
            table[row, : len(seen)] = seen
        numbers = sent(np.concatenate([head.ravel(), table.ravel()]), self._numbers.device)
        self._numbers[: len(numbers)].copy_(numbers)

    def _load(self, kind: Kind, chunks: Sequence[Chunk]) -> None:
        """Bring what utterances and voices keep for themselves to where the graphs read it."""
        pairs: list[tuple[Tensor, Tensor]] = []
        if self._conditioned:
            self._condition.zero_()
        self._conditioned = any(chunk.known for chunk in chunks)
        for row, chunk in enumerate(chunks):
            voice, tokens = chunk.voice, chunk.cache.tokens
            tokens.expected = chunk.foreseen()
            pairs += zip(self._kept(row), (chunk.cache.left, tokens.left, tokens.energy), strict=True)
            pairs.append((self._expected[:, row : row + 1], tokens.expected))
            if chunk.known:
                pairs.append((self._condition[row, : chunk.known], chunk.condition[0]))
            if self._voices[row]() is not voice:
                self._voices[row] = weakref.ref(voice)
                pair = slice(BRANCHES * row, BRANCHES * (row + 1))
                for number, modulation in enumerate(voice.modulations):
                    pairs.append((self._blocks[number, :, pair], modulation.blocks))
                    pairs.append((self._out[number, pair], modulation.out))
        for to, source in pairs:
            to.copy_(source)

    def _keep(self, caches: Sequence[tuple[int, FlowCache]]) -> None:
        """Give back what utterances keep for themselves, and settle."""
        for row, cache in caches:
            own = cache.next_left, cache.tokens.next_left, cache.tokens.next_energy
            for to, source in zip(own, self._kept(row, True), strict=True):
                to.copy_(source)
            cache.finish()

    def _kept(self, row: int, following: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        left, token_left, energy = (
            (self._next_left, self._next_token_left, self._next_energy)
            if following
            else (self._left, self._token_left, self._energy)
        )
        pair = slice(BRANCHES * row, BRANCHES * (row + 1))
        return left[:, :, pair], token_left[:, row : row + 1], energy[:, row : row + 1]

    # What is recorded

    def _begin(self, kind: Kind) -> None:
        batch, rows, frames = _Batch(self, kind), kind.rows, kind.frames
        frame = torch.arange(frames, device=self._x.device)
        channel = torch.arange(_MEL, device=self._x.device)

        def noise(seed: Tensor, purpose: Purpose, first: Tensor) -> Tensor:
            index = (first[:, None] + frame)[..., None] * _MEL + channel
            return normal(seed[:, None, None], purpose, index)

        prompt = noise(torch.zeros_like(batch["seed"]), Purpose.FLOW_PROMPT, batch["start"])
        own = noise(batch["seed"], Purpose.FLOW, batch["born"] - batch["known"])
        of_prompt = (frame < batch["known"][:, None])[..., None]
        self._x[:rows, :frames] = torch.where(of_prompt, prompt, own)
        memory = _Tokens(self, batch)
        self._features[:rows, :frames] = self.flow.estimator.embed_tokens(batch.ids, batch["start"][:, None], memory)
        self._counter.zero_()

    def _step(self, kind: Kind, branches: int) -> None:
        rows, frames = kind.rows, kind.frames
        memory = _Frames(self, _Batch(self, kind), branches)
        every = memory.every
        x, condition = self._x[:rows, :frames], self._condition[:rows, :frames]
        modulation = Modulation(
            self._blocks[:, :, every].index_select(0, self._counter)[0],
            self._out[:, every].index_select(0, self._counter)[0],
        )
        parts = [
            x.repeat_interleave(branches, dim=0),
            torch.stack([condition, torch.zeros_like(condition)][:branches], dim=1).flatten(0, 1),
            self._features[:rows, :frames].repeat_interleave(branches, dim=0),
        ]
        start = memory.batch["start"].repeat_interleave(branches)[:, None]
        velocity = self.flow.estimator(parts, modulation, start=start, memory=memory)
        span = self._spans.index_select(0, self._counter)
        x += span * combined(velocity, branches)
        self._counter += 1


class _Batch:
    """The numbers of a batch as the device has them."""

    def __init__(self, graphs: FlowGraphs, kind: Kind) -> None:
        numbers, self.kind = graphs._numbers, kind
        width = len(_HEAD) + 2 * kind.frames
        self._head = numbers[: kind.rows * width].view(kind.rows, width)
        self.ids, self.places = self._head[:, len(_HEAD) :].split(kind.frames, dim=1)
        self.table = numbers[kind.rows * width :][: kind.rows * kind.past].view(kind.rows, kind.past)

    def __getitem__(self, name: str) -> Tensor:
        """int64 [rows]."""
        return self._head[:, _HEAD.index(name)]

    def real(self) -> Tensor:
        """Whether a frame is none of padding, bool [rows, frames]."""
        return torch.arange(self.kind.frames, device=self._head.device) < self["frames"][:, None]


def _reached(extended: Tensor, settling: Tensor, reach: int) -> Tensor:
    """The last `reach` inputs [B, C, reach] that settle, of [B, C, reach + T]; each item has its own `settling` [B]."""
    index = settling[:, None] + torch.arange(reach, device=settling.device)
    return extended.gather(2, index[:, None].expand(-1, extended.shape[1], -1))


class _Tokens:
    """The past of the token features of a batch (a `dit.TokenMemory`)."""

    def __init__(self, graphs: FlowGraphs, batch: _Batch) -> None:
        self._graphs, self._rows, self._settling = graphs, batch.kind.rows, batch["settling"]
        self._real = batch.real().float()
        frame = torch.arange(batch.kind.frames, device=self._real.device)
        self._settled = (frame < self._settling[:, None]).float()

    def extend(self, number: int, x: Tensor) -> Tensor:
        graphs = self._graphs
        extended = torch.cat([graphs._token_left[number, : self._rows], x * self._real[:, None]], dim=-1)
        graphs._next_token_left[number, : self._rows] = _reached(extended, self._settling, TOKEN_REACH)
        return extended

    def whole_energy(self, number: int, y: Tensor) -> Tensor:
        graphs, energy = self._graphs, y.pow(2)
        before = graphs._energy[number, : self._rows]
        graphs._next_energy[number, : self._rows] = before + (energy * self._settled[..., None]).sum(1, keepdim=True)
        present = (energy * self._real[..., None]).sum(1, keepdim=True)
        return present + (before + graphs._expected[number, : self._rows])


class _Frames:
    """The past of a batch at the ODE step that the counter tells (a `dit.FrameMemory`)."""

    def __init__(self, graphs: FlowGraphs, batch: _Batch, branches: int) -> None:
        self._graphs, self.batch, self._branches, pool = graphs, batch, branches, graphs.pool
        self.every = slice(0, BRANCHES * batch.kind.rows, BRANCHES // branches)
        """The branches that are worked on, among all."""
        self._width = branches * pool.sizes.width
        real = batch.real()
        self._real = real.repeat_interleave(branches, dim=0)[:, None].float()
        self._settling = batch["settling"].repeat_interleave(branches)
        self._left = graphs._left[:, :, self.every].index_select(0, graphs._counter)[0]
        # rows of keys and of values in the first layer
        first = graphs._counter * (pool.sizes.depth * 2 * pool.frames)
        kinds = (first + torch.arange(2, device=first.device) * pool.frames)[:, None, None]
        self._read, self._written = (kinds + batch.table).flatten(), (kinds + batch.places).flatten()
        slot = torch.arange(batch.kind.past, device=first.device)
        older, half = batch["older"][:, None], batch["half"][:, None]
        weight = (batch["forgotten"][:, None] / half).log1p()
        weights = torch.where((slot >= older) & (slot < older + half), weight, 0.0)
        weights = weights.masked_fill(slot >= batch["past"][:, None], float("-inf"))
        own = torch.zeros_like(real, dtype=weights.dtype).masked_fill(~real, float("-inf"))
        self._weights = torch.cat([weights, own], dim=1)[:, None, None].to(pool.rows.dtype)

    def extend(self, number: int, x: Tensor) -> Tensor:
        graphs = self._graphs
        extended = torch.cat([self._left[number], x * self._real], dim=-1)
        following = _reached(extended, self._settling, CONV_REACH)[None]
        graphs._next_left[:, number, self.every].index_copy_(0, graphs._counter, following)
        return extended

    def attend(self, layer: int, q: Tensor, kv: Tensor) -> Tensor:
        kind, branches = self.batch.kind, self._branches
        kept, shift = self._graphs.pool.rows[:, : self._width], layer * 2 * self._graphs.pool.frames
        # the branches of an utterance are more heads: they look at the same frames
        own = kv.to(kept.dtype).unflatten(1, (kind.rows, branches)).permute(0, 1, 4, 2, 3, 5)
        kept.index_copy_(0, self._written + shift, own.reshape(-1, self._width))
        past = kept.index_select(0, self._read + shift).view(2, kind.rows, kind.past, -1, HEAD_DIM)
        keys, values = torch.cat([past, own.flatten(3, 4)], dim=2).transpose(2, 3)
        asked = q.to(kept.dtype).unflatten(0, (kind.rows, branches)).flatten(1, 2)
        mixed = F.scaled_dot_product_attention(asked, keys, values, attn_mask=self._weights)
        return mixed.unflatten(1, (branches, -1)).flatten(0, 1).to(q.dtype)


def _slots(cache: FlowCache) -> NDArray[np.int64]:
    """Where everything lies that attention may look back on, in the order of time."""
    before = [_past_of(cache.after).slots[: cache.after.settled]] if cache.after else []
    seen = [*before, *(_past_of(cache).slots[part] for part in cache.seen)]
    return np.concatenate(seen) if seen else np.zeros(0, np.int64)


def _past_of(cache: FlowCache) -> PooledPast:
    assert isinstance(cache.past, PooledPast)
    return cache.past


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _doubling(first: int, last: int) -> Iterator[int]:
    while first < last:
        yield first
        first *= 2
    yield last


def _fit(sizes: Sequence[int], wanted: int) -> int:
    return next(size for size in sizes if size >= wanted)
