"""Speech to 25 Hz ids: a Whisper encoder cut off at its vector quantiser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipecat_glm_tts.wording import tr
from tts_service.glm.device.precision import tf32
from tts_service.glm.listening.mel import whisper_mel
from tts_service.glm.published.checkpoint import CheckpointError, configure, fill, read_json, read_tensors, require

RATE = 16000
_PIECE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class TokenizerConfig:
    """What `speech_tokenizer/config.json` says; field names are the file's own."""

    d_model: int
    encoder_attention_heads: int
    encoder_ffn_dim: int
    num_mel_bins: int
    max_source_positions: int
    quantize_vocab_size: int
    pooling_kernel_size: int
    pooling_position: int
    quantize_position: int = 16
    pooling_type: str = "max"
    quantize_causal_block_size: int | None = None
    quantize_causal_encoder: bool = False
    encoder_causal_attention: bool = False
    encoder_causal_convolution: bool = False

    @classmethod
    def read(cls, path: Path) -> TokenizerConfig:
        """Take the known fields; a missing or mistyped one is an error."""
        document = read_json(path)
        if document.get("activation_function", "gelu") != "gelu":
            raise CheckpointError(
                tr(
                    "{path}: activation_function is {document!r}; only 'gelu' is known",
                    path=path,
                    document=document["activation_function"],
                )
            )
        return configure(cls, document, path)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        split = (*x.shape[:2], self.heads, -1)
        q, k, v = (projection(x).view(split).transpose(1, 2) for projection in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=visible[:, None])
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class _Layer(nn.Module):
    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        width = config.d_model
        self.self_attn = _Attention(width, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, config.encoder_ffn_dim)
        self.fc2 = nn.Linear(config.encoder_ffn_dim, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        x = x + self.self_attn(self.self_attn_layer_norm(x), visible)
        return x + self.fc2(F.gelu(self.fc1(self.final_layer_norm(x))))


class SpeechTokenizer(nn.Module):
    """The encoder and its codebook; attribute names are the checkpoint's keys."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.num_mel_bins, config.d_model, 3)
        self.conv2 = nn.Conv1d(config.d_model, config.d_model, 3, stride=2)
        self.embed_positions = nn.Embedding(config.max_source_positions, config.d_model)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.quantize_position))
        self.codebook = nn.Embedding(config.quantize_vocab_size, config.d_model)

    @property
    def samples_per_token(self) -> int:
        """At 16 kHz: 640 with the published pooling of 2."""
        return 2 * self.config.pooling_kernel_size * 160

    @tf32(False)
    def encode(self, audio: Tensor) -> Tensor:
        """Speech tokens of mono 16 kHz audio [n]: ceil(n / 640) ids, int64."""
        pieces = audio.split(_PIECE_SECONDS * RATE)
        return torch.cat([self._encode_piece(piece) for piece in pieces])

    def _encode_piece(self, audio: Tensor) -> Tensor:
        tokens = -(-len(audio) // self.samples_per_token)
        padded = F.pad(audio, (0, tokens * self.samples_per_token - len(audio)))
        features = whisper_mel(padded[None], self.config.num_mel_bins)
        real = torch.arange(features.shape[-1], device=audio.device) * 160 < len(audio)
        ids, valid, _ = self(features, real[None])
        return ids[0][valid[0]]

    def forward(self, features: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise.

        Args:
            features: Log-mel [B, bands, T], T a multiple of twice the pooling.
            real: bool [B, T], False on padding.

        Returns:
            ids [B, S], whether each is real [B, S], hidden states before the quantiser [B, S, d]; S = T / 2 / pooling.
        """
        config = self.config
        padding = (2, 0) if config.encoder_causal_convolution else (1, 1)
        x = F.gelu(self.conv1(F.pad(features, padding)))
        x = F.gelu(self.conv2(F.pad(x, padding))).transpose(1, 2)
        x = x + self.embed_positions.weight[: x.shape[1]]
        real, block = real[:, ::2], config.quantize_causal_block_size
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, self._visible(real, block))
            if number == config.pooling_position:
                x, real = self._pool(x), real[:, :: config.pooling_kernel_size]
                block = block and block // config.pooling_kernel_size
        distance = self.codebook.weight.pow(2).sum(1) + x.pow(2).sum(-1, keepdim=True) - 2 * x @ self.codebook.weight.T
        return distance.argmin(-1), real, x

    def _pool(self, x: Tensor) -> Tensor:
        window = self.config.pooling_kernel_size
        x = F.pad(x.transpose(1, 2), (0, -x.shape[1] % window))
        pooled = F.avg_pool1d(x, window) if self.config.pooling_type == "avg" else F.max_pool1d(x, window)
        return pooled.transpose(1, 2)

    def _visible(self, real: Tensor, block: int | None) -> Tensor:
        """Additive mask [B, S, S]. The large negative number instead of -inf keeps rows that see nothing uniform."""
        frame = torch.arange(real.shape[1], device=real.device)
        past = frame[None, :] <= frame[:, None]
        if self.config.encoder_causal_attention or self.config.quantize_causal_encoder:
            visible = past[None].expand(len(real), -1, -1)
        elif block is None:
            visible = real[:, None, :].expand(-1, len(frame), -1)
        else:
            visible = real[:, None, :] & (past | (frame[None, :] // block == frame[:, None] // block))
        return torch.zeros(visible.shape, device=real.device).masked_fill(~visible, torch.finfo(torch.float32).min)


def load_speech_tokenizer(folder: Path, device: torch.device | str = "cpu") -> SpeechTokenizer:
    """Read `speech_tokenizer/`: the encoder's weights in float32; what lies beyond the quantiser is skipped."""
    config = TokenizerConfig.read(folder / "config.json")
    paths = require(folder, "*.safetensors")
    prefix = "model.encoder."
    tensors = {
        name.removeprefix(prefix): tensor for name, tensor in read_tensors(paths).items() if name.startswith(prefix)
    }

    def beyond(name: str) -> bool:
        layer = re.match(r"layers\.(\d+)\.", name)
        unused = ("layer_norm.", "embed_positions2.", "ema_count", "ema_weight")
        return name.startswith(unused) or (layer is not None and int(layer[1]) >= config.quantize_position)

    with torch.device("meta"):
        model = SpeechTokenizer(config)
    fill(model, tensors, paths[0], device=device, ignore=beyond)
    return model
