"""When each character or word of a text is heard, from its beginning to its end, while the speech is made."""

from __future__ import annotations

from dataclasses import dataclass

from tts_service.engine import AudioChunk, CharTiming


@dataclass(frozen=True, slots=True)
class Caption:
    """A character, or an English word, or whatever else is read as one."""

    text: str
    """As it stands in the original text."""
    offset: int
    """Its first character in that text."""
    start: float
    """Seconds from the first sample."""
    end: float
    """Where the next one begins, or the speech ends."""


class Captions:
    """Turns the timings of an utterance's chunks, which tell only beginnings, into captions.

    Args:
        text: The text that the timings refer to.

    Attributes:
        text: Longer by what has been written since; what is not spoken yet need not be there.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text
        self._open: CharTiming | None = None
        self.seconds = 0.0
        """Of speech, so far."""

    def push(self, chunk: AudioChunk) -> list[Caption]:
        """Take a chunk and give what has ended by the beginning of the last character in it."""
        ended = []
        for timing in chunk.timings:
            ended += self._until(timing.seconds)
            self._open = timing
        self.seconds += chunk.seconds
        return ended

    def end(self) -> list[Caption]:
        """The last one, when no chunk will follow."""
        return self._until(self.seconds)

    def _until(self, second: float) -> list[Caption]:
        timing, self._open = self._open, None
        if timing is None:
            return []
        return [Caption(self.text[timing.start : timing.end], timing.start, timing.seconds, second)]
