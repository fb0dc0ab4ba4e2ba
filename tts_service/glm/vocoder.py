"""Mel to speech, chunk by chunk, with the same samples as if the whole mel had been there at once.

Both vocoders look a bounded number of frames to each side. A stream keeps that many frames (and, for HiFT, the phase
of the harmonic source), decodes a window around what is new, and hands out its inner part. Nothing is blended and
nothing is heard twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from tts_service.engine import SpeechError
from tts_service.glm import hift
from tts_service.glm.checkpoint import CheckpointError
from tts_service.glm.noise import Purpose, normal

_MEL_OFFSET = -7.847762537473608
"""-ln 2560: the 32 kHz vocoder's own transform is normalised by its length."""


class VocoderStream(Protocol):
    """One utterance's vocoder."""

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """Take frames [1, 80, n], n >= 0; return the samples [m] that are now certain, after `final` all of them."""
        ...


class HiFTStream:
    """HiFT at 24 kHz."""

    REACH = 15
    """Frames of mel and source on either side that a sample depends on."""
    F0_REACH = 5
    LOOKAHEAD = REACH + F0_REACH
    """Frames that must have arrived after a frame before it can be heard."""

    def __init__(self, model: hift.HiFT, seed: int) -> None:
        self._model = model
        device = next(model.parameters()).device
        self._seed = torch.tensor(seed, device=device)
        self._mel = torch.zeros(1, 80, 0, device=device)
        self._base = 0  # frame number of self._mel's first column
        self._done = 0  # frames handed out
        self._turns: Tensor | None = None  # harmonic phases before the window's first frame; None at the very start

    @torch.inference_mode()
    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """See `VocoderStream`."""
        self._mel = torch.cat([self._mel, mel], dim=2)
        known = self._base + self._mel.shape[2]
        right = known if final else known - self.F0_REACH
        ready = right if final else right - self.REACH
        if ready <= self._done:
            return mel.new_zeros(0)
        left = max(0, self._done - self.REACH)
        f0 = self._model.f0(self._mel)[:, left - self._base : right - self._base]
        index = torch.arange(left * hift.HOP * hift.HARMONICS, right * hift.HOP * hift.HARMONICS, device=mel.device)
        noise = normal(self._seed, Purpose.SOURCE, index).view(1, -1, hift.HARMONICS)
        window = self._mel[:, :, left - self._base : right - self._base]
        audio = self._model.decode(window, self._model.excite(f0, noise, self._turns))
        self._keep_from(max(0, ready - self.REACH), left, f0)
        start, self._done = self._done, ready
        return audio[0, (start - left) * hift.HOP : (ready - left) * hift.HOP]

    def _keep_from(self, left: int, old_left: int, f0: Tensor) -> None:
        """Move the window's left edge, its phases with it."""
        if left > 0:
            turns = self._turns if self._turns is not None else f0.new_zeros(1, hift.HARMONICS, dtype=torch.float64)
            self._turns = self._model.advance(f0[:, : left - old_left], turns)
        base = max(0, left - self.F0_REACH)
        self._mel = self._mel[:, :, base - self._base :]
        self._base = base


class Vocos2D:
    """The 32 kHz vocoder, a TorchScript archive whose inside is not published."""

    RATE = 32000
    HOP = 640
    _LONGEST_REACH = 96

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        try:
            self._module = torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            first_line = str(error).splitlines()[0]
            raise CheckpointError(
                f"{path} is not a TorchScript archive ({first_line}); fetch it with `glm-tts download`"
            ) from error
        self._path, self._device = path, device
        self._reach: int | None = None

    @torch.inference_mode()
    def __call__(self, mel: Tensor) -> Tensor:
        """Speech [B, 640 * T] from a 32 kHz-level log-mel [B, 80, T]; a single frame is doubled first."""
        if mel.shape[2] == 1:
            mel = mel.repeat(1, 1, 2)
        audio = self._module(mel.transpose(1, 2) + _MEL_OFFSET)
        if audio.shape != (len(mel), mel.shape[2] * self.HOP):
            raise CheckpointError(
                f"{self._path} makes {list(audio.shape)} samples of {mel.shape[2]} frames; expected {self.HOP} a frame"
            )
        return audio

    @property
    def reach(self) -> int:
        """Frames on either side that a sample depends on, found by disturbing one frame.

        Raises:
            SpeechError: It is unbounded or too long, so that nothing could be said before the whole utterance is there.
        """
        if self._reach is None:
            middle = 2 * self._LONGEST_REACH
            generator = torch.Generator().manual_seed(0)
            mel = (torch.randn(1, 80, 2 * middle, generator=generator) - 5).to(self._device)
            disturbed = mel.clone()
            disturbed[:, :, middle] += 1
            change = (self(mel) - self(disturbed)).abs()[0].view(-1, self.HOP).amax(1)
            touched = (change > 1e-6).nonzero()[:, 0]
            self._reach = int((touched - middle).abs().max()) + 1 if len(touched) else 1
        if self._reach > self._LONGEST_REACH:
            raise SpeechError(
                f"{self._path} looks more than {self._LONGEST_REACH} frames ahead and cannot stream; use 24000 Hz"
            )
        return self._reach


class Vocos2DStream:
    """Vocos2D at 32 kHz."""

    def __init__(self, model: Vocos2D) -> None:
        self._model, self._reach = model, model.reach
        self._mel: Tensor | None = None
        self._base = self._done = 0

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """See `VocoderStream`."""
        self._mel = mel if self._mel is None else torch.cat([self._mel, mel], dim=2)
        known = self._base + self._mel.shape[2]
        ready = known if final else known - self._reach
        if ready <= self._done:
            return mel.new_zeros(0)
        audio = self._model(self._mel)[0]
        start, self._done = self._done, ready
        samples = audio[(start - self._base) * Vocos2D.HOP : (ready - self._base) * Vocos2D.HOP]
        base = max(0, ready - self._reach)
        self._mel, self._base = self._mel[:, :, base - self._base :], base
        return samples


class Tempo:
    """Changes the tempo of a mel stream by interpolating between frames; the pitch, a value of the frame, stays."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._held: Tensor | None = None
        self._next = 0.0  # where the next output frame lies, in input frames from self._held's first

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """Take frames [1, 80, n], return frames [1, 80, about n / speed]."""
        if self._speed == 1.0:
            return mel
        held = mel if self._held is None else torch.cat([self._held, mel], dim=2)
        length = held.shape[2]
        limit = length if final else length - 1
        count = max(0, -int(-(limit - self._next) // self._speed))
        place = self._next + self._speed * torch.arange(count, dtype=torch.float64)
        left = place.long().clamp(max=max(0, length - 1)).to(mel.device)
        weight = (place.to(mel.device) - left).float()
        padded = F.pad(held, (0, 1), mode="replicate") if length else held
        stretched = torch.lerp(padded[:, :, left], padded[:, :, left + 1], weight) if count else held[:, :, :0]
        self._next += self._speed * count
        keep = min(int(self._next), length)
        self._held, self._next = held[:, :, keep:], self._next - keep
        return stretched
