"""What comes between the flow and the ear: the contract of a vocoder's stream, the one at 32 kHz, and the tempo.

Chunks come out with the same samples as if the whole mel had been there at once; nothing is blended and nothing is
heard twice. The 24 kHz vocoder's stream is in `hift_stream`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.glm.device.fetch import sent
from tts_service.glm.published.checkpoint import CheckpointError

_MEL_OFFSET = -7.847762537473608
"""-ln 2560: the 32 kHz vocoder's own transform is normalised by its length."""


class VocoderStream(Protocol):
    """One utterance's vocoder."""

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """Take frames [1, 80, n], n >= 0; return the samples [m] that are now certain, after `final` all of them."""
        ...


class Vocos2D:
    """The 32 kHz vocoder, a TorchScript archive: a program, which torch runs. It is published in no other form."""

    RATE = 32000
    HOP = 640
    _LONGEST_REACH = 96

    def __init__(self, path: Path, device: torch.device | str = "cpu") -> None:
        if not path.is_file():
            raise CheckpointError(
                tr("32000 Hz needs {path}, which is missing; run `glm-tts download` or use 24000 Hz", path=path)
            )
        try:
            self._module = torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            first_line = str(error).splitlines()[0]
            raise CheckpointError(
                tr(
                    "{path} is not a TorchScript archive ({first_line}); fetch it with `glm-tts download`",
                    path=path,
                    first_line=first_line,
                )
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
                tr(
                    "{path} makes {shape} samples of {frames} frames; expected {hop} a frame",
                    path=self._path,
                    shape=list(audio.shape),
                    frames=mel.shape[2],
                    hop=self.HOP,
                )
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
                tr(
                    "{path} looks more than {longest_reach} frames ahead and cannot stream; use 24000 Hz",
                    path=self._path,
                    longest_reach=self._LONGEST_REACH,
                )
            )
        return self._reach


class Vocos2DStream:
    """One utterance at 32 kHz.

    Nothing is known of the layers inside, so `reach` frames on both sides of what is new are decoded again.
    """

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
        before = place.long().clamp(max=max(0, length - 1))
        left = sent(before.tolist(), mel.device)
        weight = sent((place - before).tolist(), mel.device, torch.float32)
        padded = F.pad(held, (0, 1), mode="replicate") if length else held
        stretched = torch.lerp(padded[:, :, left], padded[:, :, left + 1], weight) if count else held[:, :, :0]
        self._next += self._speed * count
        keep = min(int(self._next), length)
        self._held, self._next = held[:, :, keep:], self._next - keep
        return stretched
