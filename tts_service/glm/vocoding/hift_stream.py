"""HiFT while the mel is being made: every layer remembers what it needs of the past, and nothing is computed twice.

A padded layer sees to both sides. On pieces of a signal it keeps its left context and holds its output back until the
right one is there; where branches meet, what is ahead waits. So the samples are those of the whole mel, and speech lags
behind it by the sum of all right contexts.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tts_service.glm.device.noise import Purpose, normal
from tts_service.glm.device.precision import tf32
from tts_service.glm.vocoding import hift


class _Conv:
    """A zero-padded convolution of a signal [1, C, n] in pieces."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer = cast(nn.Conv1d, layer)
        self._padding = layer.weight.new_zeros(1, layer.in_channels, int(layer.padding[0]))
        self._held = self._padding
        self._span = layer.dilation[0] * (layer.kernel_size[0] - 1) + 1

    def __call__(self, x: Tensor, final: bool) -> Tensor:
        layer, stride = self._layer, self._layer.stride[0]
        x = torch.cat([self._held, x, self._padding] if final else [self._held, x], dim=2)
        count = max(0, (x.shape[2] - self._span) // stride + 1)
        self._held = x[..., count * stride :]
        if not count:
            return x.new_zeros(1, layer.out_channels, 0)
        return F.conv1d(x, layer.weight, layer.bias, stride, 0, layer.dilation)


class _Up:
    """A transposed convolution in pieces: what reaches beyond a piece is added to the next."""

    def __init__(self, layer: nn.Module) -> None:
        self._layer = layer = cast(nn.ConvTranspose1d, layer)
        self._tail = layer.weight.new_zeros(1, layer.out_channels, layer.kernel_size[0] - layer.stride[0])
        self._cut = self._skip = int(layer.padding[0])

    def __call__(self, x: Tensor, final: bool) -> Tensor:
        layer, overlap = self._layer, self._tail.shape[2]
        y = self._tail
        if x.shape[2]:
            y = F.conv_transpose1d(x, layer.weight, None, layer.stride)
            y[..., :overlap] += self._tail
        ready, self._tail = y.tensor_split([y.shape[2] - overlap], dim=2)
        if final:
            ready = y[..., : y.shape[2] - self._cut]
        begin, self._skip = min(self._skip, ready.shape[2]), max(0, self._skip - ready.shape[2])
        return ready[..., begin:] + cast(Tensor, layer.bias)[:, None]


class _Meeting:
    """Where branches of different lag are brought together."""

    def __init__(self) -> None:
        self._waiting: list[Tensor] = []

    def __call__(self, *branches: Tensor) -> list[Tensor]:
        """What all of them have reached."""
        held = self._waiting or [branch[..., :0] for branch in branches]
        whole = [torch.cat(pair, dim=2) for pair in zip(held, branches, strict=True)]
        count = min(branch.shape[2] for branch in whole)
        self._waiting = [branch[..., count:] for branch in whole]
        return [branch[..., :count] for branch in whole]


class _ResBlock:
    def __init__(self, block: nn.Module) -> None:
        block = cast(hift.ResBlock, block)
        self._steps = [
            (act1, _Conv(conv1), act2, _Conv(conv2), _Meeting())
            for act1, conv1, act2, conv2 in zip(
                block.activations1, block.convs1, block.activations2, block.convs2, strict=True
            )
        ]

    def __call__(self, x: Tensor, final: bool) -> Tensor:
        for act1, conv1, act2, conv2, meeting in self._steps:
            x, y = meeting(x, conv2(act2(conv1(act1(x), final)), final))
            x = x + y
        return x


class _Stage:
    """One up-sampling: the signal, the source's spectrum at its new rate, three residual blocks on their sum."""

    def __init__(self, model: hift.HiFT, number: int) -> None:
        self._up = _Up(model.ups[number])
        self._down, self._shape = _Conv(model.source_downs[number]), _ResBlock(model.source_resblocks[number])
        self._blocks = [_ResBlock(block) for block in model.resblocks[3 * number : 3 * number + 3]]
        self._sum, self._mean = _Meeting(), _Meeting()
        self._reflects = number == hift.REFLECTING

    def __call__(self, x: Tensor, spectrum: Tensor, final: bool) -> Tensor:
        x = self._up(F.leaky_relu(x, 0.1), final)
        if self._reflects and x.shape[2] > 1:
            x, self._reflects = torch.cat([x[..., 1:2], x], dim=2), False
        x, source = self._sum(x, self._shape(self._down(spectrum, final), final))
        x = x + source
        return torch.stack(self._mean(*(block(x, final) for block in self._blocks))).mean(0)


class _Spectrum:
    """The centred STFT of a signal [1, n] in pieces, the first of more than half a window."""

    def __init__(self, window: Tensor) -> None:
        self._window = window
        self._held: Tensor | None = None

    def __call__(self, x: Tensor, final: bool) -> Tensor:
        half = len(self._window) // 2
        if self._held is None:
            if x.shape[1] <= half:
                return x.new_zeros(1, 2 * half + 2, 0)
            self._held = x[:, 1 : half + 1].flip(1)
        x = torch.cat([self._held, x], dim=1)
        if final:
            x = torch.cat([x, x[:, -half - 1 : -1].flip(1)], dim=1)
        count = (x.shape[1] - 2 * half) // hift.STFT_HOP + 1
        self._held = x[:, count * hift.STFT_HOP :]
        if count < 1:
            return x.new_zeros(1, 2 * half + 2, 0)
        spectrum = torch.stft(x, 2 * half, hift.STFT_HOP, window=self._window, center=False, return_complex=True)
        return torch.cat([spectrum.real, spectrum.imag], dim=1)


class _Overlap:
    """The inverse of a centred STFT in pieces: frames are added up, and divided by what their windows add up to."""

    def __init__(self, window: Tensor) -> None:
        self._window = window
        self._tail = window.new_zeros(2, len(window) - hift.STFT_HOP)
        self._skip = len(window) // 2

    def __call__(self, spectrum: Tensor, final: bool) -> Tensor:
        size, overlap = len(self._window), self._tail.shape[1]
        y = self._tail
        if count := spectrum.shape[2]:
            frames = torch.fft.irfft(spectrum, dim=1)[0] * self._window[:, None]
            windows = self._window.square()[:, None].expand(-1, count)
            shape = (1, hift.STFT_HOP * count + overlap)
            y = F.fold(torch.stack([frames, windows]), shape, (1, size), stride=(1, hift.STFT_HOP))[:, 0, 0]
            y[:, :overlap] += self._tail
        ready, self._tail = y.tensor_split([y.shape[1] - overlap], dim=1)
        if final:
            ready = y[:, : y.shape[1] - size // 2]
        begin, self._skip = min(self._skip, ready.shape[1]), max(0, self._skip - ready.shape[1])
        return ready[0, begin:] / ready[1, begin:]


class HiFTStream:
    """One utterance at 24 kHz."""

    LOOKAHEAD = 21
    """Frames that must have arrived after a frame before all of it can be heard."""

    def __init__(self, model: hift.HiFT, seed: int) -> None:
        self._model = model
        place = model.conv_pre.weight
        window = torch.hann_window(hift.N_FFT, device=place.device)
        self._seed = torch.full((), seed, device=place.device)
        self._pitch = [_Conv(layer) if isinstance(layer, nn.Conv1d) else layer for layer in model.f0_predictor.condnet]
        self._f0 = place.new_zeros(1, 0)
        """Of frames whose source is still to be made."""
        self._excited = 0
        """Frames whose source has been made."""
        self._turns: Tensor | None = None
        """Harmonic phases after these; None at the very start."""
        self._spectrum, self._overlap = _Spectrum(window), _Overlap(window)
        self._pre, self._post = _Conv(model.conv_pre), _Conv(model.conv_post)
        self._stages = [_Stage(model, number) for number in range(len(model.ups))]

    @tf32(False)
    @torch.inference_mode()
    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """See `tts_service.glm.vocoding.vocoder.VocoderStream`."""
        spectrum = self._spectrum(self._source(mel, final), final)
        x = self._pre(mel, final)
        for stage in self._stages:
            x = stage(x, spectrum, final)
        x = self._post(F.leaky_relu(x, 0.01), final)
        return self._overlap(hift.polar(x), final).clamp(-hift.LIMIT, hift.LIMIT)

    def _source(self, mel: Tensor, final: bool) -> Tensor:
        """The harmonic source [1, n] of the frames whose neighbours are known."""
        model = self._model
        x = mel
        for layer in self._pitch:
            x = layer(x, final) if isinstance(layer, _Conv) else layer(x)
        f0 = torch.cat([self._f0, model.f0_predictor.read(x)], dim=1)
        count = f0.shape[1] if final else max(0, f0.shape[1] - 1)
        if not count:
            self._f0 = f0
            return mel.new_zeros(1, 0)
        size = hift.HOP * hift.HARMONICS
        index = torch.arange(self._excited * size, (self._excited + f0.shape[1]) * size, device=mel.device)
        noise = normal(self._seed, Purpose.SOURCE, index).view(1, -1, hift.HARMONICS)
        source = model.excite(f0, noise, self._turns)[:, 0, : count * hift.HOP]
        self._turns = model.advance(f0[:, :count], self._turns)
        self._excited += count
        self._f0 = f0[:, count:]
        return source
