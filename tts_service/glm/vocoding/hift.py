"""The 24 kHz vocoder HiFT: mel to fundamental frequency, to a harmonic source, to speech through an inverse STFT."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipecat_glm_tts.wording import tr
from tts_service.glm.published.checkpoint import CheckpointError, fill, fold_weight_norm, read_tensors, require

RATE = 24000
HOP = 480
"""Samples a mel frame."""
HARMONICS = 9
"""The fundamental and eight overtones."""
N_FFT, STFT_HOP = 16, 4
"""Of the spectrum that the network reads its source in and writes speech in."""
LIMIT = 0.99
"""Of a sample."""
REFLECTING = 2
"""The up-sampling after which one sample is mirrored to the left, so that there are as many as spectra."""
_UP_RATES, _KERNELS, _DILATIONS = (8, 5, 3), (3, 7, 11), (1, 3, 5)
_SOURCE_STRIDES = ((30, 15, 7), (6, 3, 1), (1, 1, 0))
_SINE, _NOISE, _VOICED_HZ = 0.1, 0.003, 10.0


class _Snake(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha[:, None]
        return x + (alpha * x).sin().pow(2) / (alpha + 1e-9)


class ResBlock(nn.Module):
    """Three pairs of convolutions, the first of each pair wider than the one before."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        same = kernel // 2
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=same * d) for d in _DILATIONS
        )
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=same) for _ in _DILATIONS)
        self.activations1 = nn.ModuleList(_Snake(channels) for _ in _DILATIONS)
        self.activations2 = nn.ModuleList(_Snake(channels) for _ in _DILATIONS)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """[B, C, T] to the same; where `real` [B, 1, T] is 0, so is `x`, as if the padding began there."""
        for act1, conv1, act2, conv2 in zip(
            self.activations1, self.convs1, self.activations2, self.convs2, strict=True
        ):
            y = conv1(act1(x))
            y = conv2(act2(y if real is None else y * real))
            x = x + (y if real is None else y * real)
        return x


class _F0Predictor(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        inputs = (80, *[channels] * 4)
        self.condnet = nn.Sequential(
            *(module for width in inputs for module in (nn.Conv1d(width, channels, 3, padding=1), nn.ELU()))
        )
        self.classifier = nn.Linear(channels, 1)

    def forward(self, mel: Tensor) -> Tensor:
        return self.read(self.condnet(mel))

    def read(self, features: Tensor) -> Tensor:
        """Hz [B, T] of what the convolutions make of a mel, [B, C, T]."""
        return self.classifier(features.transpose(1, 2)).squeeze(-1).abs()


class _Source(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l_linear = nn.Linear(HARMONICS, 1)


class HiFT(nn.Module):
    """The network; attribute names are the checkpoint's keys, with weight normalisation folded."""

    def __init__(self, channels: int, f0_channels: int) -> None:
        super().__init__()
        widths = [channels >> (i + 1) for i in range(3)]
        self.f0_predictor = _F0Predictor(f0_channels)
        self.m_source = _Source()
        self.conv_pre = nn.Conv1d(80, channels, 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(2 * width, width, kernel, stride=rate, padding=(kernel - rate) // 2)
            for width, rate, kernel in zip(widths, _UP_RATES, (16, 11, 7), strict=True)
        )
        self.source_downs = nn.ModuleList(
            nn.Conv1d(N_FFT + 2, width, kernel, stride=stride, padding=padding)
            for width, (kernel, stride, padding) in zip(widths, _SOURCE_STRIDES, strict=True)
        )
        self.source_resblocks = nn.ModuleList(
            ResBlock(width, kernel) for width, kernel in zip(widths, (7, 7, 11), strict=True)
        )
        self.resblocks = nn.ModuleList(ResBlock(width, kernel) for width in widths for kernel in _KERNELS)
        self.conv_post = nn.Conv1d(widths[-1], N_FFT + 2, 7, padding=3)

    def f0(self, mel: Tensor) -> Tensor:
        """Fundamental frequency in Hz [B, T] of a log-mel [B, 80, T]; looks 5 frames to each side."""
        return self.f0_predictor(mel)

    def excite(self, f0: Tensor, noise: Tensor, turns: Tensor | None = None) -> Tensor:
        """The harmonic source.

        The phase runs linearly between frame centres and stands still before the first and after the last, so the
        second half of the last frame is right only if no frame follows. It is summed in float64: in float32 it drifts
        by 0.03 rad in a minute.

        Args:
            f0: Hz, [B, T].
            noise: Standard normal, [B, 480 * T, 9].
            turns: [B, 9], what `advance` says of the frames before; None at the start of the utterance.

        Returns:
            [B, 1, 480 * T].
        """
        centre = self.turns(f0).cumsum(1)
        if turns is not None:
            centre = turns[:, None] + centre
        return self.voice(f0, centre, centre[:, :1] if turns is None else turns[:, None], noise)

    def voice(self, f0: Tensor, centre: Tensor, before: Tensor, noise: Tensor) -> Tensor:
        """The harmonic source of phases in turns: those at frame centres [B, T, 9] and the one before [B, 1, 9]."""
        knots = torch.cat([before, centre, centre[:, -1:]], dim=1) * (2 * math.pi * HOP)
        # each frame is two straight lines: from the centre before to its own, and on towards the next
        weight = ((torch.arange(HOP, device=f0.device, dtype=torch.float64) + 0.5) / HOP)[:, None]
        first = torch.lerp(knots[:, :-2, None], knots[:, 1:-1, None], weight[HOP // 2 :])
        second = torch.lerp(knots[:, 1:-1, None], knots[:, 2:, None], weight[: HOP // 2])
        sines = _SINE * torch.cat([first, second], dim=2).flatten(1, 2).sin().float()
        voiced = (f0 > _VOICED_HZ).repeat_interleave(HOP, dim=1)[..., None]
        excitation = torch.where(voiced, sines + _NOISE * noise, _SINE / 3 * noise)
        return self.m_source.l_linear(excitation).tanh().transpose(1, 2)

    def advance(self, f0: Tensor, turns: Tensor | None) -> Tensor:
        """Phases [B, 9] (float64) after the frames of `f0` [B, T], for `excite` to go on from; `turns` as there.

        A frame's phase is 480 times this number of turns, so whole turns may go.
        """
        gone = self.turns(f0).sum(1)
        return (gone if turns is None else turns + gone).frac()

    def turns(self, f0: Tensor) -> Tensor:
        """Turns per sample of each harmonic, float64 [B, T, 9]."""
        harmonic = torch.arange(1, HARMONICS + 1, device=f0.device, dtype=torch.float64)
        return (f0[..., None].double() * harmonic / RATE).frac()

    def decode(self, mel: Tensor, source: Tensor) -> Tensor:
        """Speech [B, 480 * T] in -0.99..0.99 from a log-mel [B, 80, T] and a source [B, 1, 480 * T]."""
        window = torch.hann_window(N_FFT, device=mel.device)
        spectrum = torch.stft(source[:, 0], N_FFT, STFT_HOP, N_FFT, window, center=True, return_complex=True)
        speech = self.shape(mel, torch.cat([spectrum.real, spectrum.imag], dim=1))
        return torch.istft(speech, N_FFT, STFT_HOP, N_FFT, window, center=True).clamp(-LIMIT, LIMIT)

    def shape(self, mel: Tensor, spectrum: Tensor, frames: Tensor | None = None) -> Tensor:
        """The spectrum of speech [B, 9, n] (complex) from a log-mel [B, 80, T] and its source's spectrum [B, 18, n].

        Args:
            mel: Zeros behind the last frame.
            spectrum: Zeros there, too.
            frames: How many there are of each, int64 [B, 1]: every layer finds zeros behind them; None: all.
        """

        def real(x: Tensor, rate: int, more: int = 0) -> Tensor | None:
            if frames is None:
                return None
            return (torch.arange(x.shape[2], device=x.device) < frames * rate + more).float()[:, None]

        def cut(x: Tensor, kept: Tensor | None) -> Tensor:
            return x if kept is None else x * kept

        x, rate = self.conv_pre(mel), 1
        x = cut(x, real(x, rate))
        for i, up in enumerate(self.ups):
            x, rate = up(F.leaky_relu(x, 0.1)), rate * _UP_RATES[i]
            if i == REFLECTING:
                x = F.pad(x, (1, 0), mode="reflect")
            kept = real(x, rate, int(i == REFLECTING))
            x = cut(x, kept) + self.source_resblocks[i](cut(self.source_downs[i](spectrum), kept), kept)
            x = sum(self.resblocks[3 * i + j](x, kept) for j in range(3)) / 3
        return polar(self.conv_post(F.leaky_relu(x, 0.01)))


def polar(x: Tensor) -> Tensor:
    """The spectrum [B, 9, n] that the last layer's output [B, 18, n] means: log magnitudes, and sines as angles."""
    magnitude, angle = x.chunk(2, dim=1)
    magnitude, angle = magnitude.exp().clamp(max=100), angle.sin()
    return torch.complex(magnitude * angle.cos(), magnitude * angle.sin())


def hift_sizes(tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Base channels and f0 channels, read off folded tensors."""
    return len(tensors["conv_pre.bias"]), len(tensors["f0_predictor.condnet.0.bias"])


def load_hift(folder: Path, device: torch.device | str = "cpu") -> HiFT:
    """Read `hift/`, folding weight normalisation."""
    path = require(folder, "hift.*")[0]
    tensors = fold_weight_norm(read_tensors([path]))
    try:
        sizes = hift_sizes(tensors)
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            tr("{path}: tensor {error} is missing; this is not the vocoder", path=path, error=error)
        ) from error
    with torch.device("meta"):
        model = HiFT(*sizes)
    fill(model, tensors, path, device=device)
    return model
