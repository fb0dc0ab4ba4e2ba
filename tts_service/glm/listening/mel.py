"""Log-mel spectrograms: the 50 Hz one that conditions the flow and the 100 Hz one that the speech tokenizer hears."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def slaney_mel_filters(rate: int, n_fft: int, bands: int, top: float = 8000.0) -> Tensor:
    """Triangular filters on Slaney's mel scale with area normalisation, [bands, n_fft // 2 + 1], float32."""
    return _slaney_mel_filters(rate, n_fft, bands, top)


@lru_cache(maxsize=8)
def _slaney_mel_filters(rate: int, n_fft: int, bands: int, top: float) -> Tensor:
    # linear below 1 kHz (15 mel), logarithmic above
    step = math.log(6.4) / 27
    top_mel = 15 + math.log(top / 1000) / step
    mel = torch.linspace(0, top_mel, bands + 2, dtype=torch.float64)
    edges = torch.where(mel < 15, mel * (200 / 3), 1000 * torch.exp(step * (mel - 15)))
    frequency = torch.linspace(0, rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (frequency - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequency) / (edges[2:] - edges[1:-1])[:, None]
    area = 2 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp(min=0) * area[:, None]).to(torch.float32)


def prompt_mel(audio: Tensor, rate: int) -> Tensor:
    """Natural-log magnitude mel at 50 Hz, the flow's own domain.

    The transform is not normalised, so the same sound is ln(4/3) louder at 32 kHz than at 24 kHz, and each vocoder
    expects its own level.

    Args:
        audio: [B, n] in -1..1, more than `0.03 * rate` samples.
        rate: 24000 or 32000 Hz.

    Returns:
        [B, 80, n // (rate / 50)].
    """
    window, hop = rate * 2 // 25, rate // 50
    margin = (window - hop) // 2
    padded = F.pad(audio[:, None], (margin, margin), mode="reflect")[:, 0]
    hann = torch.hann_window(window, device=audio.device)
    spectrum = torch.stft(padded, window, hop, window, hann, center=False, return_complex=True)
    magnitude = torch.view_as_real(spectrum).pow(2).sum(-1).add(1e-9).sqrt()
    filters = slaney_mel_filters(rate, window, 80).to(audio.device)
    return (filters @ magnitude).clamp(min=1e-5).log()


def whisper_mel(audio: Tensor, bands: int) -> Tensor:
    """Whisper's log-mel at 100 Hz, with the dynamic range of each piece limited to 8 decades of power.

    Args:
        audio: [B, n] at 16 kHz; n a multiple of 160.
        bands: 80 or 128.

    Returns:
        [B, bands, n / 160].
    """
    hann = torch.hann_window(400, device=audio.device)
    power = torch.stft(audio, 400, 160, 400, hann, center=True, return_complex=True)[..., :-1].abs().pow(2)
    mel = (slaney_mel_filters(16000, 400, bands).to(audio.device) @ power).clamp(min=1e-10).log10()
    floor = mel.amax(dim=(1, 2), keepdim=True) - 8
    return (torch.maximum(mel, floor) + 4) / 4
