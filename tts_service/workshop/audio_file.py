"""Speech into files and streams, encoded while it is being made, and labelled as machine-made."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self, get_args

import numpy as np
import soxr
from numpy.typing import NDArray

from pipecat_glm_tts.extras import needs
from pipecat_glm_tts.wording import tr
from tts_service.engine import AudioChunk, SpeechError
from tts_service.files import make_folder, published
from tts_service.workshop.label import FIELD, NOTICE, Label

Format = Literal["wav", "pcm", "flac", "mp3", "opus", "aac"]
FORMATS: tuple[str, ...] = get_args(Format)
MEDIA_TYPES = {
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "opus": "audio/ogg; codecs=opus",
    "aac": "audio/aac",
}
SAMPLE_RATES = (8000, 16000, 22050, 24000, 32000, 44100, 48000)
_UNKNOWN = 0xFFFFFFFF  # the size field of a RIFF file whose length is not known yet
_CODECS = {"flac": ("flac", "flac"), "mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus"), "aac": ("adts", "aac")}
BITRATES = {"mp3": (128, range(8, 321)), "opus": (48, range(6, 511)), "aac": (128, range(8, 321))}
"""Of the formats that lose something: the usual kbit/s, and those that can be asked for. Codecs take the nearest that
they know at the sample rate."""
BITRATE_VARIABLES = {"mp3": "GLM_TTS_MP3_KBPS", "opus": "GLM_TTS_OPUS_KBPS", "aac": "GLM_TTS_AAC_KBPS"}
"""Environment variables with another usual bit rate."""
_RATES_OF = {"opus": (8000, 16000, 24000, 48000)}


class SpeechWriter:
    """Encodes chunks into a binary sink as they come.

    A sink that can seek gets correct lengths in its header; for any other the header says that the length is unknown.

    Args:
        sink: Where the bytes go; stays open.
        format: `wav` and `pcm` are 16-bit little-endian mono.
        sample_rate: Hz; chunks of another rate are resampled. Opus takes the next rate that it knows.
        label: Written into the file's metadata (`pcm` has none).
        bitrate: kbit/s of MP3 and Opus; None: the usual one (`BITRATES`). Other formats have none.

    Raises:
        SpeechError: There is no such format, rate or bit rate.
    """

    def __init__(self, sink: BinaryIO, format: str, sample_rate: int, label: Label, bitrate: int | None = None) -> None:
        bitrate = check_format(format, sample_rate, bitrate)
        self.sample_rate = min(rate for rate in _RATES_OF.get(format, SAMPLE_RATES) if rate >= sample_rate)
        self.samples = 0
        """Written so far."""
        self._sink = sink
        self._resampler: soxr.ResampleStream | None = None
        self._encoder: _Raw | _Container = (
            _Container(sink, *_CODECS[format], self.sample_rate, label, bitrate)
            if format in _CODECS
            else _Raw(sink, _riff_header(self.sample_rate, label) if format == "wav" else b"")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()

    def write(self, chunk: AudioChunk) -> None:
        """Encode one chunk; whatever bytes that completes are in the sink afterwards."""
        samples = chunk.samples
        if chunk.sample_rate != self.sample_rate:
            if self._resampler is None:
                self._resampler = soxr.ResampleStream(chunk.sample_rate, self.sample_rate, 1, dtype="float32")
            samples = self._resampler.resample_chunk(samples)
        self._encode(samples)

    def close(self) -> None:
        """Write what the codec holds back, and the lengths."""
        if self._resampler is not None:
            self._encode(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        self._encoder.close()

    def _encode(self, samples: NDArray[np.float32]) -> None:
        if len(samples):
            self._encoder.write((np.clip(samples, -1, 1) * 32767).round().astype("<i2"))
            self.samples += len(samples)


class _Raw:
    """16-bit samples, after a RIFF header or after nothing."""

    def __init__(self, sink: BinaryIO, header: bytes) -> None:
        self._sink = sink
        self._header = len(header)
        self._bytes = 0
        sink.write(header)

    def write(self, samples: NDArray[np.int16]) -> None:
        self._sink.write(samples.tobytes())
        self._bytes += samples.nbytes

    def close(self) -> None:
        if self._header and self._sink.seekable():
            self._sink.seek(4)
            self._sink.write(struct.pack("<I", min(self._header - 8 + self._bytes, _UNKNOWN)))
            self._sink.seek(self._header - 4)
            self._sink.write(struct.pack("<I", min(self._bytes, _UNKNOWN)))
            self._sink.seek(0, os.SEEK_END)


class _Container:
    """A compressed format, through FFmpeg's libraries."""

    def __init__(
        self, sink: BinaryIO, container: str, codec: str, sample_rate: int, label: Label, bitrate: int | None
    ) -> None:
        with needs("files"):
            import av

        # A page of Opus is sent when it is full: without this it waits for a second of speech. AAC has no place for
        # a label of its own, but players skip an ID3 tag in front of it.
        options = {"ogg": {"page_duration": "100000"}, "adts": {"write_id3v2": "1"}}.get(container, {})
        self._file: Any = av.open(
            sink if sink.seekable() else _OnlyWrites(sink), "w", format=container, options=options
        )
        self._file.metadata.update(label.tags())
        stream: Any = self._file.add_stream(codec, rate=sample_rate, layout="mono")
        self._stream = stream
        if bitrate is not None:
            self._stream.bit_rate = bitrate * 1000
        self._rate = sample_rate
        self._samples = 0

    def write(self, samples: NDArray[np.int16]) -> None:
        import av

        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = self._rate
        frame.pts = self._samples
        self._samples += len(samples)
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._file.mux(self._stream.encode(None))
        self._file.close()


class _OnlyWrites:
    """A sink without `seek`: PyAV would take its presence for the ability."""

    def __init__(self, sink: BinaryIO) -> None:
        self.write = sink.write


def _riff_header(sample_rate: int, label: Label) -> bytes:
    info = b"INFO" + b"".join(
        _chunk(name, text.encode() + b"\0")
        for name, text in (
            (b"ICMT", NOTICE),
            (b"ISFT", label.generator),
            (b"IART", label.voice),
            (b"ICRD", label.made),
        )
    )
    chunks = (
        _chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, sample_rate, 2 * sample_rate, 2, 16))
        + _chunk(FIELD.encode(), label.aigc().encode())
        + _chunk(b"LIST", info)
    )
    return struct.pack("<4sI4s", b"RIFF", _UNKNOWN, b"WAVE") + chunks + struct.pack("<4sI", b"data", _UNKNOWN)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


def save(
    path: Path,
    chunks: Iterable[AudioChunk],
    sample_rate: int,
    label: Label,
    format: str | None = None,
    bitrate: int | None = None,
) -> float:
    """Write speech to a file that appears only when it is complete, or into a pipe or device while it is made.

    Args:
        path: Its final place, see `tts_service.files.published`; the folder is made.
        chunks: The speech.
        sample_rate: Hz.
        label: Written into it.
        format: One of `FORMATS`; None: by the suffix.
        bitrate: As for `SpeechWriter`.

    Returns:
        Seconds of speech.

    Raises:
        SpeechError: The format is unknown, the place cannot be written, or there was nothing to say.
    """
    format = format or path.suffix.lstrip(".").lower()
    check_format(format, sample_rate, bitrate)
    chunks = iter(chunks)
    # What fails at once leaves not even a folder behind.
    first = next(chunks, None)
    if first is None:
        raise SpeechError(tr("there was nothing to say in the text"))
    make_folder(path.parent)
    with published(path) as file, SpeechWriter(file, format, sample_rate, label, bitrate) as writer:
        for chunk in chain([first], chunks):
            writer.write(chunk)
    return writer.samples / writer.sample_rate


def check_format(format: str, sample_rate: int, bitrate: int | None = None) -> int | None:
    """The bit rate in kbit/s that a file of that kind gets; None for formats that have none.

    Raises:
        SpeechError: There is no such format, sample rate or bit rate.
    """
    if format not in FORMATS:
        raise SpeechError(tr("there is no format {format!r}; use one of ", format=format) + ", ".join(FORMATS))
    if sample_rate not in SAMPLE_RATES:
        known = ", ".join(map(str, SAMPLE_RATES))
        raise SpeechError(
            tr(
                "a sample rate of {sample_rate} Hz cannot be written; use one of {known}",
                sample_rate=sample_rate,
                known=known,
            )
        )
    return _bitrate(format, bitrate)


def _bitrate(format: str, asked: int | None) -> int | None:
    if format not in BITRATES:
        return None
    usual, known = BITRATES[format]
    given = os.environ.get(BITRATE_VARIABLES[format]) if asked is None else str(asked)
    if not given:
        return usual
    if not given.isdecimal() or int(given) not in known:
        where = BITRATE_VARIABLES[format] if asked is None else "--bitrate"
        raise SpeechError(
            tr(
                "{where}: {format} takes {lowest} to {highest} kbit/s, not {given!r}",
                where=where,
                format=format,
                lowest=known[0],
                highest=known[-1],
                given=given[:20],
            )
        )
    return int(given)


def read_label(path: Path) -> str | None:
    """The value of a file's `AIGC` field; None if it has none or cannot be read."""
    try:
        with path.open("rb") as file:
            if file.read(4) == b"RIFF":
                return _read_riff(file)
        with needs("files"):
            import av

        with av.open(str(path)) as container:
            tags = {**container.metadata, **container.streams[0].metadata}
            return tags.get(FIELD)
    except (OSError, ValueError, IndexError):
        return None


def _read_riff(file: BinaryIO) -> str | None:
    file.seek(12)
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == FIELD.encode():
            return file.read(min(size, 1 << 16)).decode(errors="replace")
        if name == b"data":
            return None
        file.seek(size + size % 2, os.SEEK_CUR)
    return None
