"""A record of a call, for those who ask for one: both voices as a stereo WAV, what was said and when as JSON.

Both files are good at any moment: the sound is written as it is heard and its header brought up to date every second,
and the JSON is replaced as a whole. A process that is killed loses a second at most. A full disk ends the record, not
the call.
"""

from __future__ import annotations

import json
import os
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport

from agent.transports.resample import Resampler
from tts_service.files import cannot_write

RATE = 16000
"""Hz of the recording."""
SETTLE_SECONDS = 1.0
"""Sound is written once it is this old, so that both voices of a moment are there."""
SLACK = 0.25
"""Seconds by which a voice may run late against the clock before the gap counts as silence."""


class CallRecord(BaseObserver):
    """Records one call into a folder of its own: `audio.wav` (left the caller, right the agent) and `call.json`.

    It is a Pipecat observer for the sound and is told the rest through `note`, which takes the events of
    `agent.pipeline.Event`.

    Args:
        folder: Where the call's folder is made.
        line: What the call came in by, such as `sip`.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path, line: str) -> None:
        super().__init__()
        began = datetime.now(UTC)
        self.folder = folder / f"{began:%Y%m%dT%H%M%SZ}-{line}-{uuid.uuid4().hex[:6]}"
        self.folder.mkdir(parents=True)
        self._began = time.monotonic()
        self._call: dict[str, Any] = {"line": line, "began": began.isoformat(), "ended": False, "events": []}
        self._wav = (self.folder / "audio.wav").open("wb")
        self._wav.write(_header(0))
        self._voices = (_Voice(), _Voice())
        self._written = 0
        self._save()

    @classmethod
    def begun(cls, folder: Path, line: str) -> CallRecord | None:
        """A record, or None with a line in the log where none can be kept: a caller matters more."""
        try:
            return cls(folder, line)
        except OSError as error:
            logger.error(f"no record of this call: {cannot_write(folder, error)}")
            return None

    def note(self, event: str, data: dict[str, Any]) -> None:
        """Write down something that happened: who said what, and how long the answer took."""
        if self._wav.closed:
            return
        self._call["events"].append({"at": round(self._now(), 3), "event": event, **data})
        with self._ending_with_the_disk():
            self._save()
        if event == "finished":
            self.close()

    async def on_push_frame(self, data: FramePushed) -> None:
        """Keep what comes out of the transport's ear and what its mouth has sent."""
        frame = data.frame
        if data.direction is not FrameDirection.DOWNSTREAM or self._wav.closed:
            return
        if isinstance(frame, InputAudioRawFrame) and isinstance(data.source, BaseInputTransport):
            self._voices[0].add(frame.audio, frame.sample_rate, self._now())
        elif isinstance(frame, OutputAudioRawFrame) and isinstance(data.source, BaseOutputTransport):
            self._voices[1].add(frame.audio, frame.sample_rate, self._now())
        if self._now() - self._written / RATE > 2 * SETTLE_SECONDS:
            with self._ending_with_the_disk():
                self._write(self._now() - SETTLE_SECONDS)

    def close(self) -> None:
        """Write what is left. Idempotent."""
        if not self._wav.closed:
            with self._ending_with_the_disk():
                self._write(max(self._now(), *(voice.end / RATE for voice in self._voices)))
                self._wav.close()
                self._call["ended"] = True
                self._save()

    @contextmanager
    def _ending_with_the_disk(self) -> Iterator[None]:
        """What has been written stays as it is; no more is tried."""
        try:
            yield
        except OSError as error:
            logger.error(f"the record of this call ends here: {cannot_write(self.folder, error)}")
            with suppress(OSError):
                self._wav.close()

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _write(self, until: float) -> None:
        count = int(until * RATE) - self._written
        both = np.stack([voice.take(self._written, count) for voice in self._voices], axis=1)
        self._wav.write(both.astype("<i2").tobytes())
        self._written += count
        self._wav.seek(0)
        self._wav.write(_header(self._written * 4))
        self._wav.seek(0, os.SEEK_END)
        self._wav.flush()

    def _save(self) -> None:
        self._call["seconds"] = round(self._now(), 3)
        draft = self.folder / "call.json.new"
        draft.write_text(json.dumps(self._call, ensure_ascii=False, indent=1), encoding="utf-8")
        draft.replace(self.folder / "call.json")


class _Voice:
    """One side of a call on the time line of the record."""

    def __init__(self) -> None:
        self.end = 0
        """Samples from the beginning of the call to the end of what has been added."""
        self._pieces: list[tuple[int, NDArray[np.int16]]] = []
        self._resampler = Resampler(RATE, RATE)

    def add(self, pcm: bytes, rate: int, now: float) -> None:
        """Add sound that has just been heard: where the last one ended, or at `now` after a pause."""
        if self._resampler.rate != rate:
            self._resampler = Resampler(rate, RATE)
        samples = np.frombuffer(self._resampler(pcm), np.int16)
        began = int(now * RATE) - len(samples)
        if began - self.end > SLACK * RATE:
            self.end = began
        self._pieces.append((self.end, samples))
        self.end += len(samples)

    def take(self, start: int, count: int) -> NDArray[np.int16]:
        """Sound from sample `start` on, silence where there was none, and forget what lies before its end."""
        out = np.zeros(count, np.int16)
        kept = []
        for at, samples in self._pieces:
            first, last = max(at, start), min(at + len(samples), start + count)
            if first < last:
                out[first - start : last - start] = samples[first - at : last - at]
            if at + len(samples) > start + count:
                kept.append((at, samples))
        self._pieces = kept
        return out


def _header(size: int) -> bytes:
    """RIFF header of 16-bit stereo with `size` bytes of sound."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, RATE, RATE * 4, 4, 16)
    return struct.pack("<4sI4s", b"RIFF", size + 36, b"WAVE") + form + struct.pack("<4sI", b"data", size)
