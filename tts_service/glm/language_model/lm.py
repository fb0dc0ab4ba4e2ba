"""The language model: Llama over text, phonemes and speech tokens, with a static KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipecat_glm_tts.wording import tr
from tts_service.glm.device.joined import joined
from tts_service.glm.published.checkpoint import CheckpointError, Shards, configure, fill, read_json, require


@dataclass(frozen=True, slots=True)
class LMConfig:
    """Sizes, as `llm/config.json` names them."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int = 8192
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5

    @classmethod
    def read(cls, path: Path) -> LMConfig:
        """Take the sizes from a Hugging Face Llama configuration; anything that changes the arithmetic is refused."""
        document = read_json(path)
        if document.get("model_type") != "llama" or document.get("hidden_act", "silu") != "silu":
            raise CheckpointError(tr("{path}: expected model_type 'llama' with hidden_act 'silu'", path=path))
        for extra in ("rope_scaling", "attention_bias", "mlp_bias"):
            if document.get(extra):
                raise CheckpointError(
                    tr(
                        "{path}: {extra} is {document!r}; the published model has none",
                        path=path,
                        extra=extra,
                        document=document[extra],
                    )
                )
        hidden, heads = document.get("hidden_size"), document.get("num_attention_heads")
        if document.get("head_dim") is None and isinstance(hidden, int) and isinstance(heads, int) and heads > 0:
            document["head_dim"] = hidden // heads
        return configure(cls, document, path)


class KVCache:
    """Keys and values of every position, for a fixed number of sequences of a fixed greatest length.

    Allocated once and written in place, so that a decoding step has the same shapes and addresses every time.
    """

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        """Take storage over, [layers, sequences, kv_heads, length, head_dim]."""
        self.keys, self.values = keys, values

    @property
    def sequences(self) -> int:
        """How many there is room for."""
        return self.keys.shape[1]

    @property
    def length(self) -> int:
        """Positions of each."""
        return self.keys.shape[3]

    def part(self, begin: int, end: int) -> KVCache:
        """Sequences [begin, end), in the same storage."""
        return KVCache(self.keys[:, begin:end], self.values[:, begin:end])

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first positions of one sequence over those of another."""
        for store in (self.keys, self.values):
            store[:, target, :, :length] = store[:, source, :, :length]

    def write(self, layer: int, keys: Tensor, values: Tensor, rows: Tensor, positions: Tensor) -> None:
        """Store [B, kv_heads, T, head_dim] of `rows` [B, 1] at `positions` [B, T]."""
        self.keys[layer][rows, :, positions] = keys.transpose(1, 2)
        self.values[layer][rows, :, positions] = values.transpose(1, 2)


class _Attention(nn.Module):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = (
            config.num_attention_heads,
            config.num_key_value_heads,
            config.head_dim,
        )
        self.q_proj = nn.Linear(config.hidden_size, self.heads * self.head_dim, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, self.kv_heads * self.head_dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_dim, config.hidden_size, bias=False)

    @cached_property
    def _qkv(self) -> tuple[Tensor, Tensor | None]:
        return joined(self.q_proj, self.k_proj, self.v_proj)

    def forward(self, x: Tensor, where: _Where, cache: KVCache, layer: int) -> Tensor:
        batch, (seen, length) = len(x), where.positions.shape
        heads = F.linear(x, *self._qkv).view(batch, length, -1, self.head_dim)[:seen].transpose(1, 2)
        turned, v = heads.split([self.heads + self.kv_heads, self.kv_heads], dim=1)
        q, k = where.rotate(turned).split([self.heads, self.kv_heads], dim=1)
        cache.write(layer, k, v, where.rows, where.positions)
        if where.mask is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            mixed = self._look_back(q, cache, layer, where)
        mixed = mixed.transpose(1, 2).flatten(2)
        return self.o_proj(mixed if seen == batch else F.pad(mixed, (0, 0, 0, 0, 0, batch - seen)))

    def _look_back(self, q: Tensor, cache: KVCache, layer: int, where: _Where) -> Tensor:
        seen, _, length, _ = q.shape
        # the query heads of one key head are asked as if they were more positions: no key is copied for them
        mixed = F.scaled_dot_product_attention(
            q.reshape(seen, self.kv_heads, -1, self.head_dim),
            cache.keys[layer, :seen, :, : where.span],
            cache.values[layer, :seen, :, : where.span],
            attn_mask=where.mask,
        )
        return mixed.view(seen, self.heads, length, self.head_dim)


class _MLP(nn.Module):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    @cached_property
    def _gate_up(self) -> tuple[Tensor, Tensor | None]:
        return joined(self.gate_proj, self.up_proj)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = F.linear(x, *self._gate_up).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)


class _Layer(nn.Module):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.self_attn = _Attention(config)
        self.mlp = _MLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, x: Tensor, where: _Where, cache: KVCache, layer: int) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), where, cache, layer)
        return x + self.mlp(self.post_attention_layernorm(x))


class _Llama(nn.Module):
    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)


@dataclass(frozen=True, slots=True)
class _Where:
    """What all layers of one pass share about positions."""

    rows: Tensor
    """Of the cache, [B, 1]."""
    positions: Tensor
    """[B, T]."""
    span: int
    """Cache positions looked at, [0, span)."""
    mask: Tensor | None
    """To be added to the scores, [B, 1, heads a key head * T, span]; None: what is read is all there is."""
    cos: Tensor
    """[B, 1, T, head_dim]."""
    sin: Tensor
    """The same, the first half negated."""

    @classmethod
    def of(cls, positions: Tensor, span: int, config: LMConfig, dtype: torch.dtype) -> _Where:
        hidden = torch.arange(span, device=positions.device) > positions[:, None, :, None]
        sharing = config.num_attention_heads // config.num_key_value_heads
        mask = torch.zeros(hidden.shape, dtype=dtype, device=positions.device).masked_fill(hidden, float("-inf"))
        rows = torch.arange(len(positions), device=positions.device)[:, None]
        return cls.at(rows, positions, span, mask.repeat(1, 1, sharing, 1), config)

    @classmethod
    def at(cls, rows: Tensor, positions: Tensor, span: int, mask: Tensor | None, config: LMConfig) -> _Where:
        half, device = config.head_dim // 2, positions.device
        frequency = config.rope_theta ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
        angle = positions[:, None, :, None].float() * frequency
        sin, cos = angle.sin(), angle.cos()
        return cls(rows, positions, span, mask, torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1))

    def rotate(self, x: Tensor) -> Tensor:
        """Rotary embedding of [B, heads, T, head_dim] that pairs dimension i with i + head_dim / 2; in float32."""
        return torch.addcmul(x * self.cos, x.roll(x.shape[-1] // 2, -1), self.sin).to(x.dtype)


class SpeechLM(nn.Module):
    """Llama; attribute names are the checkpoint's keys."""

    def __init__(self, config: LMConfig, *, tied: bool) -> None:
        super().__init__()
        self.config = config
        self.model = _Llama(config)
        self.lm_head = None if tied else nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def head(self) -> Tensor:
        """Output projection [vocab, hidden]."""
        return self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.device

    def new_cache(self, sequences: int, length: int) -> KVCache:
        """A cache in the weights' type and place."""
        config = self.config
        shape = (config.num_hidden_layers, sequences, config.num_key_value_heads, length, config.head_dim)
        keys, values = (torch.zeros(shape, dtype=self.head.dtype, device=self.device) for _ in range(2))
        return KVCache(keys, values)

    def forward(self, ids: Tensor, positions: Tensor, cache: KVCache, span: int, seen: int | None = None) -> Tensor:
        """Advance sequences, reading and extending their cache.

        Args:
            ids: [B, T].
            positions: [B, T]; where each id stands in its sequence. Everything before must be in the cache.
            cache: Of B sequences.
            span: How much of the cache to look at: more than the greatest position. Rounded up by the caller, it
                takes few values and needs no look at the device.
            seen: How many of the first sequences are in use: the products are done for all, so that their numbers do
                not depend on it, but the others' cache is not read. None: all.

        Returns:
            Hidden states after the last norm, [B, T, hidden].
        """
        return self._through(ids, _Where.of(positions[:seen], span, self.config, self.head.dtype), cache)

    def read(self, ids: Tensor, row: Tensor, cache: KVCache) -> None:
        """Fill a row [1] of a cache from its first position on with ids [1, T]; nothing before them is looked at."""
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        self._through(ids, _Where.at(row[:, None], positions, 0, None, self.config), cache)

    def _through(self, ids: Tensor, where: _Where, cache: KVCache) -> Tensor:
        x = self.model.embed_tokens(ids)
        for number, layer in enumerate(self.model.layers):
            x = layer(x, where, cache, number)
        return self.model.norm(x)


def load_head(folder: Path) -> Tensor:
    """The output projection [vocab, hidden] as the files hold it, in float32."""
    tensors = Shards(require(folder, "*.safetensors"))
    return tensors["lm_head.weight" if "lm_head.weight" in tensors else "model.embed_tokens.weight"].float()


def load_lm(folder: Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> SpeechLM:
    """Read `llm/`. Embeddings are tied exactly when the files hold no `lm_head.weight`."""
    config = LMConfig.read(folder / "config.json")
    paths = require(folder, "*.safetensors")
    tensors = Shards(paths)
    with torch.device("meta"):
        model = SpeechLM(config, tied="lm_head.weight" not in tensors)
    fill(model, tensors, paths[0] if len(paths) == 1 else folder, dtype=dtype, device=device)
    return model
