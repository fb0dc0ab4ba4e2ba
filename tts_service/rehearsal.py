"""Sound for an answer that is still held back, so that it is there when the answer may be spoken.

A speculative answer is written while the user may yet go on. What is told of it makes the voice render its first sound,
and no more. If the answer is spoken, its text arrives as any other does, and what was rendered is its beginning; if
not, it was never heard, and so it is not remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipecat.frames.frames import SystemFrame

from tts_service.engine import SpeechError
from tts_service.speech.spoken import Speech


@dataclass
class HeldAnswerFrame(SystemFrame):
    """Tells how far an answer is written that is not to be spoken yet.

    Parameters:
        text: All of it, from its beginning; empty: it was dropped.
        complete: Whether no more will come.
    """

    text: str
    complete: bool = False


class Rehearsal:
    """At most one answer that is got ready; the service asks whether what it is to say is that."""

    def __init__(self) -> None:
        self._speech: Speech | None = None
        self._text = ""
        """What the speech has been fed."""
        self._complete = False
        self._written = ""
        """What is to be spoken so far, as long as it may still be that."""
        self._asking: str | None = None

    def get_ready(self, held: HeldAnswerFrame, revision: int, begin: Callable[[], Speech]) -> None:
        """Render the first sound of an answer.

        Args:
            held: The answer so far; another one than before takes its place.
            revision: Of the settings that it would be spoken with now.
            begin: Makes a speech that does not play by itself.
        """
        text = held.text.lstrip()
        speech = self._speech
        if speech is not None and not (text and text.startswith(self._text) and speech.revision == revision):
            self.drop()
        if not text or (self._speech is not None and self._speech.begun):
            return
        if self._speech is None:
            try:
                self._speech = begin()
            except SpeechError:  # who speaks it will say so
                return
        self._speech.feed(text[len(self._text) :])
        self._text = text
        if held.complete:
            self._complete = True
            self._speech.end()

    def take(
        self, context_id: str, text: str, revision: int, *, whole: bool = False
    ) -> tuple[Speech | None, str] | None:
        """Whether what is to be spoken is what was got ready.

        Args:
            context_id: Where it is to be spoken.
            text: What has come of it since the last call.
            revision: Of the settings that it is spoken with.
            whole: Whether no more will come.

        Returns:
            The speech, or None if another one has to be begun, and the text that it still lacks; None as long as that
            cannot be told.
        """
        if self._asking not in (None, context_id):
            return None, text
        self._asking = context_id
        self._written += text
        written, speech = self._written, self._speech
        if speech is None or speech.revision != revision:
            return None, self.drop()
        if (whole and written == self._text) if self._complete else written.startswith(self._text):
            self._speech = None
            rest = written[len(self._text) :]
            self.drop()
            return speech, rest
        if self._text.startswith(written) and not whole:
            return None
        return None, self.drop()

    def drop(self) -> str:
        """Forget it; what was to be spoken of it so far is given back."""
        if self._speech is not None:
            self._speech.cancel()
        written = self._written
        self._speech, self._text, self._complete, self._written, self._asking = None, "", False, "", None
        return written

    def is_asked_by(self, context_id: str) -> bool:
        """Whether it cannot be told yet if this is what was got ready."""
        return self._asking == context_id
