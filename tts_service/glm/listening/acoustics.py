"""Resampling and Kaldi filter banks, as a voice's features need them.

The published model was fed by torchaudio, so torchaudio does both where it can be imported. It often cannot: the wheels
on PyPI link CUDA and fail beside a CPU build of torch. There soxr and kaldi-native-fbank stand in. The filter banks
agree to 5e-4. The resamplers agree to 1e-3 up to 0.8 of the lower Nyquist frequency; above, torchaudio rolls off early
and soxr late. `exact.resample` is the published arithmetic on every machine.
"""

from __future__ import annotations

from functools import lru_cache
from types import ModuleType

import numpy as np
import torch
from loguru import logger

from tts_service import audio
from tts_service.audio import Samples

_RATE, _BANDS = 16000, 80


@lru_cache(maxsize=1)
def _torchaudio() -> ModuleType | None:
    try:
        import torchaudio.compliance.kaldi
        import torchaudio.functional
    except (ImportError, OSError, RuntimeError) as error:  # absent, linked against another torch, or another CUDA
        logger.debug(f"soxr and kaldi-native-fbank are used: torchaudio cannot be imported ({error})")
        return None
    return torchaudio


def provider() -> str:
    """Who does the work here: `torchaudio` or `soxr + kaldi-native-fbank`."""
    return "torchaudio" if _torchaudio() else "soxr + kaldi-native-fbank"


def resample(samples: Samples, rate: int, new_rate: int) -> Samples:
    """Resample [..., n] from `rate` to `new_rate` Hz."""
    if rate == new_rate:
        return samples
    if torchaudio := _torchaudio():
        return torchaudio.functional.resample(torch.from_numpy(samples), rate, new_rate).numpy()
    return audio.resample(samples, rate, new_rate)


def kaldi_fbank(samples: Samples) -> Samples:
    """Log mel energies of Kaldi's `compute-fbank-feats`: 25 ms Povey windows every 10 ms, no dither, no energy.

    Args:
        samples: [n] in -1..1 (not scaled to 16 bits), at 16 kHz, at least 400.

    Returns:
        [1 + (n - 400) // 160, 80].
    """
    if torchaudio := _torchaudio():
        wave = torch.from_numpy(samples)[None]
        return torchaudio.compliance.kaldi.fbank(wave, num_mel_bins=_BANDS, sample_frequency=_RATE, dither=0.0).numpy()
    return native_fbank(samples)


def native_fbank(samples: Samples) -> Samples:
    """`kaldi_fbank` by kaldi-native-fbank."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = _RATE
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = _BANDS
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(_RATE, samples)
    bank.input_finished()
    return np.stack([bank.get_frame(frame) for frame in range(bank.num_frames_ready)])
