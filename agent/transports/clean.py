"""Lines on which the agent would hear itself or the room: what comes in is cleaned by WebRTC's audio processing.

Browsers do it themselves; telephones, speakerphones above all, do not.
"""

from __future__ import annotations

import numpy as np
from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.frames.frames import FilterControlFrame, FilterEnableFrame

from agent.settings import AudioSettings, SettingsError
from agent.transports.resample import Resampler
from pipecat_glm_tts.wording import tr

RESERVE_SECONDS = 0.5
"""How much of what was sent may wait for the sound that comes in meanwhile; beyond, the two have lost each other."""


class CleanLine(BaseAudioFilter):
    """Takes the agent's own voice and noise out of what a line brings.

    The line tells with `sent` what really left, so that what an interruption threw away is not looked for. Sent and
    received sound are lined up by their arrival here; the echo's own delay is found by WebRTC's canceller.
    """

    def __init__(self, settings: AudioSettings) -> None:
        try:
            from pywebrtc_audio import AudioProcessor
        except ImportError as error:
            raise SettingsError(
                tr(
                    "audio.echo_cancellation and audio.noise_suppression need pywebrtc-audio ({error}): "
                    "pip install pywebrtc-audio",
                    error=error,
                )
            ) from None
        self._make = AudioProcessor
        self._settings = settings
        self._enabled = True

    async def start(self, sample_rate: int) -> None:
        """Learn the rate of what comes in, Hz."""
        self._rate = sample_rate
        self._processor = self._make(
            sample_rate=sample_rate,
            echo_cancellation=self._settings.echo_cancellation,
            noise_suppression=self._settings.noise_suppression,
        )
        self._frame = sample_rate // 100
        self._sent = np.zeros(0, np.int16)
        self._heard = np.zeros(0, np.int16)
        self._resampler = Resampler(sample_rate, sample_rate)

    async def stop(self) -> None:
        """Nothing to free."""

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """Switch on or off."""
        if isinstance(frame, FilterEnableFrame):
            self._enabled = frame.enable

    def sent(self, pcm: bytes, rate: int) -> None:
        """Take note of 16-bit mono samples that have just left."""
        if not hasattr(self, "_resampler"):
            return  # before the line was opened
        if rate != self._resampler.rate:
            self._resampler = Resampler(rate, self._rate)
        new = np.frombuffer(self._resampler(pcm), np.int16)
        self._sent = np.concatenate([self._sent, new])[-int(RESERVE_SECONDS * self._rate) :]

    async def filter(self, audio: bytes) -> bytes:
        """Clean 16-bit mono samples; the answer is as long, and up to 10 ms late."""
        if not self._enabled:
            return audio
        self._heard = np.concatenate([self._heard, np.frombuffer(audio, np.int16)])
        n = len(self._heard) // self._frame * self._frame
        if not n:
            return b""
        near, self._heard = self._heard[:n], self._heard[n:]
        far, self._sent = self._sent[:n], self._sent[n:]
        far = np.pad(far, (0, n - len(far)))
        return bytes(self._processor.process(near, far).tobytes())


def clean_line(settings: AudioSettings) -> CleanLine | None:
    """What the settings ask for; None: nothing.

    Raises:
        SettingsError: The library is missing.
    """
    return CleanLine(settings) if settings.echo_cancellation or settings.noise_suppression else None
