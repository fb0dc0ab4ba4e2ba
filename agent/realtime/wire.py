"""Sound as it goes over the wire: base64 of 16-bit samples or of a telephone's codes, and resampled."""

from __future__ import annotations

import audioop
import base64
import binascii

import numpy as np
import soxr

from agent.realtime.asked import Format, Refusal

_DECODE = {"audio/pcmu": audioop.ulaw2lin, "audio/pcma": audioop.alaw2lin}
_ENCODE = {"audio/pcmu": audioop.lin2ulaw, "audio/pcma": audioop.lin2alaw}


class Decoder:
    """Base64 -> 16-bit samples at another rate, in one stream.

    Args:
        format: What the client sends.
        rate: Hz wanted.
    """

    def __init__(self, format: Format, rate: int) -> None:
        self.format = format
        self._resampler = soxr.ResampleStream(format.rate, rate, 1, dtype="int16")

    def decode(self, text: str) -> bytes:
        """The samples that are complete by now.

        Raises:
            Refusal: It is not base64, or half a sample.
        """
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Refusal("the audio is not base64", param="audio") from None
        if self.format.type in _DECODE:
            data = _DECODE[self.format.type](data, 2)
        elif len(data) % 2:
            raise Refusal("the audio has half a sample; audio/pcm has 16 bits each", param="audio")
        resampled: bytes = self._resampler.resample_chunk(np.frombuffer(data, "<i2")).astype("<i2").tobytes()
        return resampled


class Encoder:
    """16-bit samples -> what the client wants, in one stream.

    Args:
        format: What the client wants.
        rate: Hz of the samples.
    """

    def __init__(self, format: Format, rate: int) -> None:
        self.format = format
        self._resampler = soxr.ResampleStream(rate, format.rate, 1, dtype="int16") if format.rate != rate else None

    def encode(self, pcm: bytes) -> bytes:
        """The bytes that are complete by now."""
        if self._resampler is not None:
            pcm = self._resampler.resample_chunk(np.frombuffer(pcm, "<i2")).astype("<i2").tobytes()
        return _ENCODE[self.format.type](pcm, 2) if self.format.type in _ENCODE else pcm
