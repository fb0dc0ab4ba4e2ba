"""Subtitles of speech while it is made: one cue a clause, as SubRip (.srt) or WebVTT (.vtt)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tts_service.engine import AudioChunk
from tts_service.files import published
from tts_service.speech.captions import Caption, Captions

FORMS = ("srt", "vtt")
_CLAUSE_END = re.compile(r"[。！？!?；;，,、：:…—\n]|\.(?=\s|$)")
_CLOSING = re.compile(r"""[。！？!?；;，,、：:…—.”’」』）》】〉)\]"'*~\s]*""")


@dataclass(frozen=True, slots=True)
class Cue:
    """A clause on the screen."""

    start: float
    """Seconds from the first sample."""
    end: float
    """When the next one begins, or the speech ends."""
    text: str


class Subtitles:
    """Listens in on one utterance: pass its text through `reading` and its speech through `hearing`.

    Args:
        text: What is known of the text beforehand.

    Example:
        >>> subtitles = Subtitles()
        >>> chunks = subtitles.hearing(voice.stream(subtitles.reading(["你好，世界。"])))
    """

    def __init__(self, text: str = "") -> None:
        self._captions = Captions(text)
        self._heard: list[Caption] = []

    def reading(self, pieces: Iterable[str]) -> Iterator[str]:
        """The text, in pieces, on its way to the engine."""
        for piece in pieces:
            self._captions.text += piece
            yield piece

    def hearing(self, chunks: Iterable[AudioChunk]) -> Iterator[AudioChunk]:
        """The speech on its way to the listener."""
        for chunk in chunks:
            self._heard += self._captions.push(chunk)
            yield chunk
        self._heard += self._captions.end()

    def cues(self) -> list[Cue]:
        """What has been heard so far, clause by clause."""
        text, cues = self._captions.text, []
        first: Caption | None = None
        for caption, following in zip(self._heard, [*self._heard[1:], None], strict=True):
            first = first or caption
            upto = caption.offset + len(caption.text)
            between = text[upto : following.offset if following else len(text)]
            if following is None or _CLAUSE_END.search(between):
                closing = _CLOSING.match(text, upto)
                end = closing.end() if closing else upto
                opening = self._opening(first.offset)
                cues.append(Cue(first.start, caption.end, " ".join(text[opening:end].split())))
                first = None
        return cues

    def written(self, form: str) -> str:
        """The file.

        Args:
            form: One of `FORMS`.
        """
        if form == "vtt":
            parts = [f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{cue.text}\n" for cue in self.cues()]
            return "\n".join(["WEBVTT\n", *parts])
        parts = [
            f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n"
            for number, cue in enumerate(self.cues(), 1)
        ]
        return "\n".join(parts)

    def save(self, audio: Path, form: str) -> Path:
        """Write the file beside an audio file, under its name; whole or not at all.

        Args:
            audio: The audio file.
            form: One of `FORMS`.
        """
        beside = audio.with_suffix(f".{form}")
        with published(beside) as file:
            file.write(self.written(form).encode())
        return beside

    def _opening(self, offset: int) -> int:
        """Where a clause begins that is heard from `offset` on: its opening quotes and brackets belong to it."""
        text = self._captions.text
        while offset and text[offset - 1] in "“‘「『（《【〈([":
            offset -= 1
        return offset


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
