"""What of an answer has been heard: which text each spoken word stands for, and what else goes with it.

Pipecat remembers and shows the `TTSTextFrame`s that its sequencer makes of word times. Its own one matches words with
sentences and, token by token, holds them back until the next sentence begins; an interruption before that forgets what
was heard. This one is told places in the text, so it has nothing to match and nothing to hold back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from pipecat.frames.frames import (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    Frame,
    TextType,
    TTSTextFrame,
)
from pipecat.utils.context.aggregated_frame_sequencer import AggregatedFrameSequencer

LONG = 1000
"""Characters; more are compared off the event loop, and less exactly."""


@dataclass(slots=True)
class _Line:
    """One rendering of a text, and where each place of the spoken one is in it."""

    text: str = ""
    at: list[int] = field(default_factory=lambda: [0])

    def add(self, text: str, places: list[int]) -> None:
        begin = len(self.text)
        self.text += text
        self.at.extend(begin + place for place in places)

    def between(self, start: int, end: int) -> str:
        return self.text[self.at[start] : self.at[end]]


@dataclass(slots=True)
class _Segment:
    """What clients see as one piece: a sentence, or what the engine says in one breath."""

    id: int
    start: int
    end: int
    type: TextType | str


@dataclass(slots=True)
class _Text:
    """The text of one audio context."""

    remembered: bool
    type: TextType | str = TextType.SENTENCE
    spoken: str = ""
    written: _Line = field(default_factory=_Line)
    """As the LLM wrote it, which is what is remembered."""
    shown: _Line = field(default_factory=_Line)
    """As the user is meant to see it: without the marks of patterns."""
    fed: int = 0
    told: int = 0
    settled: int = 0
    lost: deque[tuple[int, int]] = field(default_factory=deque)
    segments: list[_Segment] = field(default_factory=list)
    skipped: deque[tuple[int, AggregatedTextFrame]] = field(default_factory=deque)

    @property
    def all_told(self) -> bool:
        return not any(char.isalnum() for char in self.spoken[self.told :])


class Transcript(AggregatedFrameSequencer):
    """Makes the frames of words as they are heard, exactly as they were written, with all their spaces.

    Places are counted in the text of an audio context as the engine gets it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._texts: dict[str, _Text] = {}
        self._noted = ""

    # What the service adds

    def note(self, written: str) -> None:
        """The LLM wrote this; aggregated, it will come again without the spaces between sentences."""
        self._noted += written

    def unfed(self, context_id: str) -> str:
        """The text that has come since the last call, for the engine."""
        text = self._texts.get(context_id)
        if text is None:
            return ""
        begin, text.fed = text.fed, len(text.spoken)
        return text.spoken[begin:]

    def announce(self, context_id: str, start: int, end: int) -> AggregatedTextFrame | None:
        """The frame that says what will be spoken now; None if a sentence has been announced that holds it."""
        text = self._texts.get(context_id)
        if text is None or not text.shown.between(start, end).strip() or _segment(text, start):
            return None
        frame = AggregatedTextFrame(
            text.shown.between(start, end), text.type, raw_text=text.written.between(start, end)
        )
        frame.context_id, frame.will_be_spoken, frame.append_to_context = context_id, True, False
        text.segments.append(_Segment(frame.id, start, end, text.type))
        return frame

    def lose(self, context_id: str, start: int, end: int) -> None:
        """The engine failed to say this."""
        if text := self._texts.get(context_id):
            text.lost.append((start, end))

    def settle(self, context_id: str) -> None:
        """The engine has said all there is: what was given no time (an emoji, an unknown script) counts as heard."""
        if text := self._texts.get(context_id):
            text.settled = len(text.spoken)

    # What Pipecat calls

    async def register_spoken(
        self,
        frame: AggregatedTextFrame,
        context_id: str,
        tts_text: str,
        append_to_context: bool,
        build_tracker: bool = True,
        includes_inter_frame_spaces: bool = False,
        *,
        language: str | None = None,
    ) -> list[Frame]:
        """Add text that the engine will be given next."""
        text = self._texts.setdefault(context_id, _Text(append_to_context))
        whole = frame.text_type != TextType.TOKEN
        if whole:
            text.type = frame.text_type
            if gap := self._gap(text.written.text, frame.raw_text or frame.text):
                text.spoken += gap
                text.written.add(gap, places := list(range(1, len(gap) + 1)))
                text.shown.add(gap, places)
        start = len(text.spoken)
        text.spoken += tts_text
        written = frame.raw_text or frame.text
        text.written.add(written, await _aligned(tts_text, written))
        text.shown.add(frame.text, await _aligned(tts_text, frame.text))
        if frame.will_be_spoken and whole:
            text.segments.append(_Segment(frame.id, start, len(text.spoken), frame.text_type))
        return []

    async def register_skipped(
        self, frame: AggregatedTextFrame, context_id: str, transport_destination: str | None
    ) -> list[Frame]:
        """Add text that is shown and remembered at its place, but not spoken."""
        frame.context_id = context_id
        frame.transport_destination = transport_destination
        text = self._texts.setdefault(context_id, _Text(True))
        text.skipped.append((len(text.spoken), frame))
        return self.flush()

    async def finalize(self, context_id: str | None) -> list[Frame]:
        """The turn's text is complete; none was held back."""
        self._noted = ""
        return []

    def process_word(
        self, word: str, pts: int, context_id: str | None, includes_inter_frame_spaces: bool = False
    ) -> list[Frame]:
        """The next word has begun to sound.

        Args:
            word: The text from the end of the word before up to the end of this one; what was lost between is left out.
            pts: For the frames, which the service takes away again.
            context_id: Whose.
            includes_inter_frame_spaces: They always do.
        """
        text = self._texts.get(context_id) if context_id is not None else None
        if text is None or context_id is None:
            return []
        while text.lost and text.lost[0][0] <= text.told:
            text.told = max(text.told, text.lost.popleft()[1])
        return self._tell(text, context_id, min(text.told + len(word), len(text.spoken)), pts)

    def complete_spoken_slot(self) -> list[Frame]:
        """Nothing: words complete their text."""
        return []

    def flush(self, last_word_pts: int | None = None) -> list[Frame]:
        """What was not to be spoken, as far as all before it has been heard."""
        frames: list[Frame] = []
        for context_id, text in list(self._texts.items()):
            frames += self._unblocked(text, last_word_pts)
            if not text.all_told or text.skipped:
                break
            if not text.spoken:
                del self._texts[context_id]
        return frames

    def force_complete(self, context_id: str, last_word_pts: int) -> list[Frame]:
        """The context has ended: what sounds with nothing of its own (a last full stop, an emoji) has been heard."""
        text = self._texts.get(context_id)
        if text is None:
            return []
        frames: list[Frame] = []
        while text.told < len(text.spoken):
            if text.lost and text.lost[0][0] <= text.told:
                text.told = max(text.told, text.lost.popleft()[1])
                continue
            end = min((start for start, _ in text.lost), default=len(text.spoken))
            silent = next((at for at in range(text.told, end) if text.spoken[at].isalnum()), end)
            end = max(min(text.settled, end), silent)
            if end == text.told:
                break
            frames += self._tell(text, context_id, end, last_word_pts)
        frames += self._unblocked(text, last_word_pts, ended=True)
        self._texts.pop(context_id, None)
        return frames + self.flush(last_word_pts)

    def clear(self, *, keep_contexts: set[str] | None = None) -> None:
        """Forget all contexts but these: they were interrupted."""
        self._texts = {key: text for key, text in self._texts.items() if key in (keep_contexts or ())}
        self._noted = ""

    # Inside

    def _gap(self, before: str, after: str) -> str:
        """The space that an aggregator took from between two sentences: as it was noted, or as their script has it."""
        gap, found, rest = self._noted.partition(after)
        if found:
            self._noted = rest
            if not gap.strip():
                return gap if before else ""
        if not before or not after or before[-1].isspace() or after[0].isspace():
            return ""
        return " " if _is_spaced(before[-1]) and _is_spaced(after[0]) else ""

    def _tell(self, text: _Text, context_id: str, end: int, pts: int) -> list[Frame]:
        """The frames that carry the text from what has been told up to there."""
        frames: list[Frame] = []
        while text.told < end:
            frames += self._unblocked(text, pts)
            start = text.told
            text.told = stop = min(end, text.skipped[0][0]) if text.skipped else end
            if written := text.written.between(start, stop):
                segment = _segment(text, start)
                word = TTSTextFrame(
                    text.shown.between(start, stop) or written,
                    TextType.WORD,
                    raw_text=written,
                    segment_id=segment.id if segment else None,
                )
                word.pts, word.context_id, word.append_to_context = pts, context_id, text.remembered
                word.includes_inter_frame_spaces = True
                frames.append(word)
                if segment:
                    frames.append(_progress(text, segment, context_id, pts))
        return frames

    def _unblocked(self, text: _Text, pts: int | None, *, ended: bool = False) -> list[Frame]:
        frames: list[Frame] = []
        while text.skipped and (ended or text.skipped[0][0] <= text.told):
            frame = text.skipped.popleft()[1]
            frame.append_to_context = True
            if pts:
                frame.pts = pts
            frames.append(frame)
        return frames


def _segment(text: _Text, at: int) -> _Segment | None:
    """The announced piece that holds a place."""
    return next((piece for piece in reversed(text.segments) if piece.start <= at < piece.end), None)


def _progress(text: _Text, segment: _Segment, context_id: str, pts: int) -> AggregatedTextProgressFrame:
    told = min(text.told, segment.end)
    frame = AggregatedTextProgressFrame(
        segment_id=segment.id,
        context_id=context_id,
        text=text.shown.between(segment.start, segment.end),
        text_type=segment.type,
        accumulated_text=text.shown.between(segment.start, told),
        remaining_text=text.shown.between(told, segment.end),
    )
    frame.pts = pts
    return frame


def _is_spaced(char: str) -> bool:
    return char < "\u2e80" and char not in "“”‘’—…·"


async def _aligned(spoken: str, other: str) -> list[int]:
    """For each spoken character, how much of the other text is out once it has begun."""
    if spoken == other:
        return list(range(1, len(spoken) + 1))
    if max(len(spoken), len(other)) > LONG:
        return await asyncio.to_thread(_compared, spoken, other)
    return _compared(spoken, other)


def _compared(spoken: str, other: str) -> list[int]:
    places: list[int] = []
    for kind, first, last, begin, end in SequenceMatcher(None, spoken, other, len(other) > LONG).get_opcodes():
        # What was rewritten ("$24", said as "twenty four dollars") is out with its first character.
        places += range(begin + 1, end + 1) if kind == "equal" else [end] * (last - first)
    if places:
        places[-1] = len(other)
    return places
