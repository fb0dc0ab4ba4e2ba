"""The flow's velocity estimator: a diffusion transformer over mel frames.

The same modules run in two ways. Without a memory they see the whole utterance, as the published model does. With one
(a `FrameMemory`) they see a few new frames, and find what came before as convolution inputs, keys and values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_service.glm.device.joined import joined
from tts_service.glm.device.precision import tf32

HEAD_DIM = 64
BRANCHES = 2
"""Of classifier-free guidance: one knows voice and prompt, the other does not."""
_POSITIONS = 4096


@dataclass(frozen=True, slots=True)
class DiTSizes:
    """Every size of the network; all follow from the shapes of its tensors."""

    width: int
    depth: int
    token_rows: int
    token_dim: int
    token_blocks: int
    condition: int
    """Width of the condition: time, plus the speaker where he modulates the norms."""
    mix: int
    """Inputs of the mixing layer: noisy mel, prompt mel, tokens, and the speaker in the older variant."""

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], prefix: str = "estimator.") -> DiTSizes:
        """Read the sizes off a state dictionary; KeyError names a tensor that is missing."""
        rows, token_dim = tensors[prefix + "text_emb_layer.text_embed.weight"].shape
        return cls(
            width=len(tensors[prefix + "proj_out.weight"][0]),
            depth=sum(name.endswith("attn_norm.linear.bias") for name in tensors),
            token_rows=rows,
            token_dim=token_dim,
            token_blocks=sum(name.endswith("grn.gamma") for name in tensors),
            condition=tensors[prefix + "norm_out.linear.weight"].shape[1],
            mix=tensors[prefix + "emb_concator.proj.weight"].shape[1],
        )


class FrameMemory(Protocol):
    """What came before some frames at one ODE step; of the frames and branches of several utterances, each its own."""

    def extend(self, number: int, x: Tensor) -> Tensor:
        """Put the frames before in front of a position convolution's input [B, width, T]."""
        ...

    def attend(self, layer: int, q: Tensor, kv: Tensor) -> Tensor:
        """Attention of queries [B, heads, T, 64] to keys and values [2, B, heads, T, 64] and to the past."""
        ...


class TokenMemory(Protocol):
    """What is known, while some frames' token features are made, of all others."""

    def extend(self, number: int, x: Tensor) -> Tensor:
        """Put the frames before in front of the input [1, E, T] of convolution `number`."""
        ...

    def whole_energy(self, number: int, y: Tensor) -> Tensor:
        """Energy [1, 1, 2E] of what response norm `number` sees, `y` [1, T, 2E], and of all else."""
        ...


class _TimeEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        frequency = torch.exp(torch.arange(128, device=time.device) * (-math.log(10000) / 127))
        angle = 1000 * time[:, None] * frequency
        return self.time_mlp(torch.cat([angle.sin(), angle.cos()], dim=-1))


class _ResponseNorm(nn.Module):
    """Global response normalisation: each channel against the mean channel, by its energy over all frames."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(1, 1, width))
        self.beta = nn.Parameter(torch.empty(1, 1, width))

    def forward(self, x: Tensor, energy: Tensor | None = None) -> Tensor:
        response = (x.pow(2).sum(1, keepdim=True) if energy is None else energy).sqrt()
        return self.gamma * x * (response / (response.mean(-1, keepdim=True) + 1e-6)) + self.beta + x


class _TokenBlock(nn.Module):
    """ConvNeXt V2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(width, width, 7, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, 2 * width)
        self.grn = _ResponseNorm(2 * width)
        self.pwconv2 = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, memory: TokenMemory | None, number: int) -> Tensor:
        y = x.transpose(1, 2)
        y = F.pad(y, (3, 3)) if memory is None else F.pad(memory.extend(number, y), (0, 3))
        y = F.gelu(self.pwconv1(self.norm(self.dwconv(y).transpose(1, 2))))
        y = self.grn(y) if memory is None else self.grn(y, memory.whole_energy(number, y))
        return x + self.pwconv2(y)


class _TokenEmbedding(nn.Module):
    def __init__(self, rows: int, width: int, blocks: int) -> None:
        super().__init__()
        self.text_embed = nn.Embedding(rows, width)
        self.text_blocks = nn.ModuleList(_TokenBlock(width) for _ in range(blocks))

    def forward(self, ids: Tensor, start: Tensor | int = 0, memory: TokenMemory | None = None) -> Tensor:
        """Embed one token id a frame, [B, T] to [B, T, E].

        `start` is the first frame's place in the utterance, for all items or int64 [B, 1].
        """
        half = self.text_embed.embedding_dim // 2
        frequency = 10000 ** (-torch.arange(half, device=ids.device, dtype=torch.float32) / half)
        frame = (torch.arange(ids.shape[1], device=ids.device) + start).clamp(max=_POSITIONS - 1)
        angle = frame[..., None] * frequency
        x = self.text_embed(ids) + torch.cat([angle.cos(), angle.sin()], dim=-1)
        for number, block in enumerate(self.text_blocks):
            x = block(x, memory, number)
        return x


class _PositionConv(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1d = nn.Sequential(
            nn.Conv1d(width, width, 31, groups=16), nn.Mish(), nn.Conv1d(width, width, 31, groups=16), nn.Mish()
        )

    def forward(self, x: Tensor, memory: FrameMemory | None) -> Tensor:
        y = x.transpose(1, 2)
        for number in range(2):
            y = F.pad(y, (15, 15)) if memory is None else F.pad(memory.extend(number, y), (0, 15))
            y = self.conv1d[2 * number + 1](self.conv1d[2 * number](y))
        return y.transpose(1, 2)


class _Mixer(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, width)
        self.conv_pos_embed = _PositionConv(width)

    def forward(self, parts: list[Tensor], memory: FrameMemory | None) -> Tensor:
        h = self.proj(torch.cat(parts, dim=-1))
        return self.conv_pos_embed(h, memory) + h


class _Modulation(nn.Module):
    def __init__(self, condition: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(condition, outputs)

    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z)[:, None]


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    @cached_property
    def _qkv(self) -> tuple[Tensor, Tensor | None]:
        return joined(self.to_q, self.to_k, self.to_v)

    def forward(self, x: Tensor, where: _Where, memory: FrameMemory | None, layer: int) -> Tensor:
        batch, length, _ = x.shape
        heads = F.linear(x, *self._qkv).view(batch, length, 3, -1, HEAD_DIM)
        where.rotate(heads[:, :, :2, 0])
        q, kv = heads[:, :, 0].transpose(1, 2), heads[:, :, 1:].permute(2, 0, 3, 1, 4)
        if memory is None:
            mixed = F.scaled_dot_product_attention(q, kv[0], kv[1], attn_mask=where.visible)
        else:
            mixed = memory.attend(layer, q, kv)
        mixed = self.to_out[0](mixed.transpose(1, 2).flatten(2))
        return mixed if where.real is None else mixed * where.real[..., None]


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ff = nn.Sequential(
            nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(approximate="tanh")),
            nn.Identity(),
            nn.Linear(2 * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.ff(x)


class _Block(nn.Module):
    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.attn_norm = _Modulation(condition, 6 * width)
        self.attn = _Attention(width)
        self.ff = _FeedForward(width)

    def forward(self, h: Tensor, modulation: Tensor, where: _Where, memory: FrameMemory | None, layer: int) -> Tensor:
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation.chunk(6, dim=-1)
        y = torch.addcmul(shift_a, F.layer_norm(h, h.shape[-1:], eps=1e-6), scale_a)
        h = torch.addcmul(h, gate_a, self.attn(y, where, memory, layer))
        y = torch.addcmul(shift_f, F.layer_norm(h, h.shape[-1:], eps=1e-6), scale_f)
        return torch.addcmul(h, gate_f, self.ff(y))


class _Rotary(nn.Module):
    inv_freq: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("inv_freq", torch.empty(HEAD_DIM // 2))


@dataclass(frozen=True, slots=True)
class _Where:
    """What all blocks of one pass share about frames."""

    turn: Tensor
    """Rotation of each pair of channels as a complex number, [T, 32] or [B, T, 32]."""
    visible: Tensor | None
    """bool, broadcastable to [B, heads, T, keys]; None: everything."""
    real: Tensor | None
    """bool [B, T], False on padding; None: no padding."""

    def rotate(self, x: Tensor) -> None:
        """Interleaved rotary embedding, in place, of queries and keys of head 0 [B, T, 2, 64].

        The model was trained with the first 64 channels turned, that is with this head alone.
        """
        torch.view_as_complex(x.unflatten(-1, (-1, 2))).mul_(self.turn[..., None, :])


@dataclass(frozen=True, slots=True)
class Modulation:
    """How time and speaker bend every norm; constant over frames, and so worth computing once a voice."""

    blocks: Tensor
    """[depth, B, 1, 6 * width]."""
    out: Tensor
    """[B, 1, 2 * width]."""

    @classmethod
    def stack(cls, modulations: Sequence[Modulation]) -> Modulation:
        """Those of several batches for all of them as one."""
        if len(modulations) == 1:
            return modulations[0]
        return cls(torch.cat([m.blocks for m in modulations], dim=1), torch.cat([m.out for m in modulations]))

    def __getitem__(self, item: slice) -> Modulation:
        return Modulation(self.blocks[:, item], self.out[item])


class DiT(nn.Module):
    """The estimator; attribute names are the checkpoint's keys."""

    rounded = False
    """Whether a GPU may compute it in TF32; bfloat16 makes its speech unclear."""

    def __init__(self, sizes: DiTSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.time_embed = _TimeEmbedding(sizes.width)
        self.text_emb_layer = _TokenEmbedding(sizes.token_rows, sizes.token_dim, sizes.token_blocks)
        self.emb_concator = _Mixer(sizes.mix, sizes.width)
        self.rotary_embed = _Rotary()
        self.transformer_blocks = nn.ModuleList(_Block(sizes.width, sizes.condition) for _ in range(sizes.depth))
        self.norm_out = _Modulation(sizes.condition, 2 * sizes.width)
        self.proj_out = nn.Linear(sizes.width, 80)

    def modulate(self, time: Tensor, speaker: Tensor | None) -> Modulation:
        """Prepare the norms.

        Args:
            time: [B] in 0..1.
            speaker: [B, 192] unit vectors, zeros for the unconditional branch; None where the speaker does not
                modulate.
        """
        z = self.time_embed(time)
        z = F.silu(z if speaker is None else torch.cat([z, speaker], dim=-1))
        blocks = torch.stack([block.attn_norm(z) for block in cast("list[_Block]", self.transformer_blocks)])
        out = self.norm_out(z)
        for scale in (*blocks.chunk(6, dim=-1)[1::3], out.chunk(2, dim=-1)[0]):
            scale += 1  # scales are given as what is beyond one
        return Modulation(blocks, out)

    def embed_tokens(self, ids: Tensor, start: Tensor | int = 0, memory: TokenMemory | None = None) -> Tensor:
        """Token features [B, T, E] of one id a frame [B, T]; independent of time and noise."""
        return self.text_emb_layer(ids, start, memory)

    def forward(
        self,
        parts: list[Tensor],
        modulation: Modulation,
        *,
        start: Tensor | int = 0,
        visible: Tensor | None = None,
        real: Tensor | None = None,
        memory: FrameMemory | None = None,
    ) -> Tensor:
        """Velocity of the frames.

        Args:
            parts: Noisy mel [B, T, 80], prompt mel [B, T, 80] (zeros where there is none), in the variant that
                concatenates him the speaker [B, T, n], token features [B, T, E].
            modulation: For B items.
            start: The first frame's place in the utterance, for all items or int64 [B, 1].
            visible: bool mask over keys, broadcastable to [B, heads, T, keys].
            real: bool [B, T], False on padding.
            memory: What came before `start` at this step; None if the frames are the whole utterance.

        Returns:
            [B, T, 80].
        """
        with tf32(self.rounded):
            h = self.emb_concator(parts, memory)
            frame = torch.arange(h.shape[1], device=h.device) + start
            angle = frame[..., None].float() * self.rotary_embed.inv_freq
            where = _Where(torch.polar(torch.ones_like(angle), angle), visible, real)
            for number, block in enumerate(self.transformer_blocks):
                h = block(h, modulation.blocks[number], where, memory, number)
            scale, shift = modulation.out.chunk(2, dim=-1)
            return self.proj_out(torch.addcmul(shift, F.layer_norm(h, h.shape[-1:], eps=1e-6), scale))
