"""HiFT over windows of a few lengths, for several utterances at once: a push is a handful of launches.

Every sample depends on some twenty frames to each side, fewer where the pitch is known. So a window of what is new with
as much before it is worked on as if it were all there is, and of the result only what neither edge can reach is kept.
Nothing is remembered but the mel, the pitch and the phase at the window's beginning. Behind the last frame every layer
is given zeros, as if the padding began there: windows of a few lengths serve all, and cuDNN never meets a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from tts_service.glm.device.fetch import sent
from tts_service.glm.device.graphs import Graphs, Recorder
from tts_service.glm.device.noise import Purpose, normal
from tts_service.glm.device.precision import tf32
from tts_service.glm.vocoding import hift

AHEAD = 9720
"""Samples before the end of the mel that may still change: what `hift_stream` holds back."""
_BEFORE = 16
"""Frames of the past that a window begins with."""
_PITCH_AHEAD = 5
"""Frames of the future that the pitch of a frame depends on."""
_KEPT = 40
"""Frames whose pitch is kept, at least `_BEFORE` and those of `AHEAD`."""
_NUMBERS = ("frames", "first", "kept", "passed", "seed")


class HiFTGraphs:
    """The network with its buffers.

    Args:
        model: The network.
        together: Utterances in a batch, at most.
        record: How graphs are recorded; None: everything is done as usual.
        windows: Lengths of windows in frames; the longest holds `_BEFORE`, `AHEAD` and a chunk.
    """

    def __init__(
        self,
        model: hift.HiFT,
        together: int,
        record: Recorder | None = None,
        windows: Sequence[int] = (32, 64, 88),
    ) -> None:
        self._model, self._windows, self.together = model, sorted(windows), together
        self._rows = [1 << power for power in range((together - 1).bit_length() + 1)]
        self._graphs = Graphs(record)
        device, rows, longest = model.conv_pre.weight.device, self._rows[-1], self._windows[-1]
        self._device = device
        self._mel = torch.zeros(rows, 80, longest, device=device)
        self._numbers = torch.zeros(rows, len(_NUMBERS), dtype=torch.long, device=device)
        self._f0 = torch.zeros(rows, longest + _KEPT, device=device)
        self._next_f0 = torch.zeros_like(self._f0)
        self._turns = torch.zeros(rows, hift.HARMONICS, device=device, dtype=torch.float64)
        self._next_turns = torch.zeros_like(self._turns)
        self._wave = torch.zeros(rows, longest * hift.HOP, device=device)
        self._hann = torch.hann_window(hift.N_FFT, device=device)

    @property
    def kinds(self) -> list[tuple[int, int]]:
        """Rows and frames of all that can come."""
        return [(rows, frames) for frames in self._windows for rows in self._rows]

    @torch.inference_mode()
    def rehearse(self, rows: int, frames: int) -> None:
        """Record a graph."""
        self._numbers.zero_()
        self._graphs((rows, frames), partial(self._decode, rows, frames))

    @property
    def room(self) -> int:
        """Frames that a push may have, at most."""
        return self._windows[-1] - _BEFORE - _up(AHEAD) - 1

    @torch.inference_mode()
    def push(self, pushes: Sequence[tuple[HiFTWindow, Tensor, bool]]) -> list[Tensor]:
        """Push some frames, `room` at most, to each of several utterances; see `vocoder.VocoderStream`."""
        for wave, mel, _ in pushes:
            wave.add(mel)
        longest = max((wave.frames for wave, _, _ in pushes), default=0)
        frames = next(size for size in self._windows if size >= longest)
        rows = next(size for size in self._rows if size >= len(pushes))
        numbers = [
            (wave.frames, wave.first, wave.kept, wave.passing(final), wave.seed) for wave, _, final in pushes
        ] + [(1, 0, 0, 0, 0)] * (rows - len(pushes))
        self._numbers[:rows].copy_(sent(numbers, self._device), non_blocking=True)
        for row, (wave, _, _) in enumerate(pushes):
            at = 0
            for piece in wave.mels:
                self._mel[row, :, at : at + piece.shape[2]].copy_(piece[0])
                at += piece.shape[2]
            self._f0[row, :_KEPT].copy_(wave.f0)
            self._turns[row].copy_(wave.turns)
        self._graphs((rows, frames), partial(self._decode, rows, frames))
        made = self._wave[: len(pushes), : frames * hift.HOP].clone()
        return [wave.settle(self, row, made[row], final) for row, (wave, _, final) in enumerate(pushes)]

    def keep(self, row: int, passed: int, f0: Tensor, turns: Tensor) -> None:
        """Give back pitch and phase from the frame on with which the next window begins."""
        f0.copy_(self._next_f0[row, passed : passed + _KEPT])
        turns.copy_(self._next_turns[row])

    @tf32(False)
    def _decode(self, rows: int, frames: int) -> None:
        model, device = self._model, self._device
        count, first, kept, passed, seed = self._numbers[:rows, :, None].unbind(1)  # [rows, 1] each
        frame = torch.arange(frames, device=device)
        real = (frame < count).float()[:, None]
        mel = self._mel[:rows, :, :frames] * real
        f0 = torch.where(frame < kept, self._f0[:rows, :frames], self._pitch(mel, real)) * real[:, 0]
        self._next_f0[:rows, :frames] = f0
        steps = model.turns(f0)
        turns = self._turns[:rows]
        self._next_turns[:rows] = (turns + (steps * (frame < passed)[..., None]).sum(1)).frac()
        centre = turns[:, None] + steps.cumsum(1)
        before = torch.where(first[..., None] == 0, centre[:, :1], turns[:, None])  # the phase stands still at first
        sample = torch.arange(frames * hift.HOP, device=device) + first * hift.HOP
        index = sample[..., None] * hift.HARMONICS + torch.arange(hift.HARMONICS, device=device)
        source = model.voice(f0, centre, before, normal(seed[..., None], Purpose.SOURCE, index))[:, 0]
        spectrum = self._spectrum(source, count)
        speech = model.shape(mel, spectrum, count)
        self._wave[:rows, : frames * hift.HOP] = self._overlap(speech, count)

    def _pitch(self, mel: Tensor, real: Tensor) -> Tensor:
        x, predictor = mel, self._model.f0_predictor
        for layer in predictor.condnet:
            x = layer(x * real) if isinstance(layer, torch.nn.Conv1d) else layer(x)
        return predictor.read(x)

    def _real(self, count: Tensor, longest: int) -> Tensor:
        """1 for what is before `count` [rows, 1], else 0: [rows, 1, longest]."""
        return (torch.arange(longest, device=self._device) < count).float()[:, None]

    def _spectrum(self, source: Tensor, count: Tensor) -> Tensor:
        """The centred STFT of what is real of a source [rows, n], mirrored at its ends."""
        half, end = hift.N_FFT // 2, count * hift.HOP - 1
        place = torch.arange(-half, source.shape[1] + half, device=self._device).abs()
        place = torch.where(place <= end, place, (2 * end - place).clamp(min=0))
        windows = source.gather(1, place).unfold(1, hift.N_FFT, hift.STFT_HOP) * self._hann
        bins = torch.fft.rfft(windows, dim=-1).transpose(1, 2)
        spectra = hift.HOP // hift.STFT_HOP * count + 1
        return torch.cat([bins.real, bins.imag], dim=1) * self._real(spectra, bins.shape[2])

    def _overlap(self, speech: Tensor, count: Tensor) -> Tensor:
        """The inverse of the centred STFT: samples of spectra [rows, 9, n]."""
        size, hop = hift.N_FFT, hift.STFT_HOP
        real = self._real(hift.HOP // hop * count + 1, speech.shape[2])
        windows = torch.fft.irfft(speech, dim=1) * self._hann[:, None] * real
        weights = (self._hann.square()[:, None] * real).expand_as(windows)
        length = hop * (speech.shape[2] - 1) + size
        summed = F.fold(torch.cat([windows, weights]), (1, length), (1, size), stride=(1, hop))[:, 0, 0]
        wave, weight = summed[:, size // 2 : length - size // 2].chunk(2)
        return (wave / weight.clamp(min=1e-8)).clamp(-hift.LIMIT, hift.LIMIT)


class HiFTWindow:
    """One utterance at 24 kHz (a `vocoder.VocoderStream`)."""

    def __init__(self, graphs: HiFTGraphs, seed: int) -> None:
        device = graphs._device
        self._graphs, self.seed = graphs, seed
        self.mels: list[Tensor] = []
        """Of the window, in pieces [1, 80, n]."""
        self.first = self.frames = self.kept = 0
        """The window's first frame; how many there are; of how many the pitch is known."""
        self.f0 = torch.zeros(_KEPT, device=device)
        self.turns = torch.zeros(hift.HARMONICS, device=device, dtype=torch.float64)
        self._said = 0
        """Samples, from the first of the utterance."""

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """See `VocoderStream`."""
        pieces = mel.split(self._graphs.room, dim=2)
        ends = [False] * (len(pieces) - 1) + [final]
        waves = [self._graphs.push([(self, piece, end)])[0] for piece, end in zip(pieces, ends, strict=True)]
        return waves[0] if len(waves) == 1 else torch.cat(waves)

    @property
    def room(self) -> int:
        """Frames that one of several pushes may have, at most."""
        return self._graphs.room

    @staticmethod
    def push_all(pushes: Sequence[tuple[HiFTWindow, Tensor, bool]]) -> list[Tensor]:
        """Push frames, `room` at most, to each of several utterances of one network, as one batch where it can."""
        graphs = pushes[0][0]._graphs if pushes else None
        waves: list[Tensor] = []
        for first in range(0, len(pushes), graphs.together if graphs else 1):
            assert graphs is not None
            waves += graphs.push(pushes[first : first + graphs.together])
        return waves

    def add(self, mel: Tensor) -> None:
        """Take frames into the window."""
        self.mels.append(mel)
        self.frames += mel.shape[2]

    def passing(self, final: bool) -> int:
        """How many frames the next window has no need of."""
        return 0 if final else max(0, self.frames - _up(AHEAD) - _BEFORE)

    def settle(self, graphs: HiFTGraphs, row: int, wave: Tensor, final: bool) -> Tensor:
        """What is certain of a window's samples [n] and new; the window moves on."""
        end = (self.first + self.frames) * hift.HOP - (0 if final else AHEAD)
        begin, passed, base = self._said, self.passing(final), self.first * hift.HOP
        self._said = max(begin, end)
        graphs.keep(row, passed, self.f0, self.turns)
        self.kept = max(0, self.frames - _PITCH_AHEAD - passed)
        self.first, self.frames = self.first + passed, self.frames - passed
        while passed:
            gone = min(passed, self.mels[0].shape[2])
            self.mels[0], passed = self.mels[0][:, :, gone:], passed - gone
            if not self.mels[0].shape[2]:
                self.mels.pop(0)
        return wave[begin - base : self._said - base]


def _up(samples: int) -> int:
    return -(-samples // hift.HOP)
