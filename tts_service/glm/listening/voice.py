"""A recorded voice as the models know it: its features, worked out once and kept beside the recording."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from loguru import logger
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pipecat_glm_tts.wording import tr
from tts_service.audio import Samples
from tts_service.engine import SpeechError
from tts_service.files import published
from tts_service.glm.listening.acoustics import provider, resample
from tts_service.glm.listening.mel import prompt_mel
from tts_service.glm.listening.speaker import SpeakerEncoder
from tts_service.glm.listening.speech_tokenizer import RATE, SpeechTokenizer
from tts_service.voices.reference import advice, measure

_TOKEN_SECONDS = 0.04
_VERSION = 1
_MEL_RATES = (24000, 32000)


@dataclass(frozen=True, slots=True)
class VoiceFeatures:
    """What is heard in a reference recording, cut to whole tokens of 40 ms."""

    tokens: Tensor
    """Speech tokens, int64 [L]."""
    speaker: Tensor
    """Speaker vector, [192], not normalised."""
    mels: dict[int, Tensor]
    """Mel for each output rate, [2 * L, 80]; the levels differ with the rate."""

    @property
    def seconds(self) -> float:
        """Length of the recording that was used."""
        return len(self.tokens) * _TOKEN_SECONDS


def listen(
    samples: Samples, rate: int, tokenizer: SpeechTokenizer, speaker: SpeakerEncoder, device: torch.device | str = "cpu"
) -> Generator[None, None, VoiceFeatures]:
    """Extract the features of a mono recording, piece by piece: some tenths of a second in all.

    Args:
        samples: [n].
        rate: Hz.
        tokenizer: On the CPU, where it is left again.
        speaker: The speaker encoder.
        device: Where the tokenizer works. It takes 1.4 GB there, and is needed but once a voice.

    Yields:
        Nothing; between two pieces something else may be done.

    Raises:
        SpeechError: It is too short or too long, or there is too little speech in it.
    """
    samples = trim(samples, rate)
    if problems := measure(samples, rate).unusable:
        raise SpeechError(
            tr(
                "no voice can be made of this recording: {problems}. {advice}",
                problems="; ".join(problems),
                advice=advice(),
            )
        )
    yield
    length = int(len(samples) / rate / _TOKEN_SECONDS)
    at = {new: resample(samples, rate, new)[: round(length * _TOKEN_SECONDS * new)] for new in (RATE, *_MEL_RATES)}
    mels = {new: prompt_mel(torch.from_numpy(at[new])[None], new)[0].T.contiguous() for new in _MEL_RATES}
    yield
    vector = torch.from_numpy(speaker.embed(at[RATE]))
    yield
    with torch.inference_mode():
        try:  # in one piece, so that nothing is left on the device if nobody goes on
            tokens = tokenizer.to(device).encode(torch.from_numpy(at[RATE]).to(device)).cpu()
        finally:
            tokenizer.cpu()
    return VoiceFeatures(tokens, vector, mels)


def trim(samples: Samples, rate: int, margin: float = 0.1) -> Samples:
    """Cut off silence (40 dB below the loudest 20 ms) at both ends, leaving `margin` seconds of it."""
    frame = rate // 50
    power = (samples[: len(samples) // frame * frame].reshape(-1, frame).astype(np.float64) ** 2).mean(axis=1)
    loud = np.flatnonzero(power > power.max(initial=0.0) * 1e-4)
    if not len(loud):
        return samples
    keep = round(margin * rate)
    return samples[max(0, loud[0] * frame - keep) : (loud[-1] + 1) * frame + keep]


class FeatureCache:
    """Features beside their recording, under a name that depends on everything they depend on."""

    def __init__(self, folder: Path, recording: Path, model: str) -> None:
        key = hashlib.sha256(f"{_VERSION} {provider()} {model} ".encode() + recording.read_bytes()).hexdigest()[:16]
        self._path = folder / f".glm-{key}.safetensors"

    def read(self) -> VoiceFeatures | None:
        """The features, or None if there are none or the file is damaged."""
        if not self._path.is_file():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                mels = {rate: file.get_tensor(f"mel_{rate}") for rate in _MEL_RATES}
                return VoiceFeatures(file.get_tensor("tokens"), file.get_tensor("speaker"), mels)
        except (SafetensorError, OSError) as error:
            logger.warning(f"{self._path} is damaged ({error}); the features are worked out again")
            return None

    def write(self, features: VoiceFeatures) -> None:
        """Keep features; a folder that cannot be written only costs the time to extract them again."""
        tensors = {f"mel_{rate}": mel for rate, mel in features.mels.items()}
        try:
            with published(self._path) as file:
                file.write(save(tensors | {"tokens": features.tokens, "speaker": features.speaker}))
        except SpeechError as error:
            logger.warning(f"the voice's features are not kept: {error}")
