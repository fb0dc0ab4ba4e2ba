"""GPU memory: what the networks take, and the room beside them that is lent by the byte to voices and speech."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator

from pipecat_glm_tts.wording import tr
from tts_service.engine import QUEUED, AudioChunk, SpeechError, StopSignal

_FRAME = 10 * 18 * 2 * 2 * 768 * 2  # keys and values: 10 ODE steps, 18 layers, 2 guidance branches, 16 bits
_POSITION = 28 * 2 * 4 * 128 * 2  # keys and values: 28 layers, 4 heads, 16 bits
SLOT = 4104 * _POSITION
"""Of the language model's cache, for everyone whose tokens are being drawn."""
STREAM = 710 * _FRAME
"""Of the flow, for everyone who speaks, at most: 30 frames of prompt, 600 of window, 80 of a chunk. A segment that is
shorter than the window takes less."""
SPEAKER = SLOT + STREAM
VOICE = 220 * _FRAME
"""Of a voice: the prompt of a reference of 5 s, shared by all who speak with it."""
NETWORKS = 1_552_009_216 * 2 + 32769 * 2048 * 4 + 225_299_792 * 4 + 20_821_295 * 4
"""The language model in 16 bits and what of its head speaks in 32, the flow, the vocoder. The speech tokenizer is on
the GPU only while a voice is heard, if there is room for it just then."""
WORK = 1_700_000_000
"""The CUDA process itself, and what computations need for a moment: a gigabyte of it by reckoning in the graphs, for
eight chunks with the longest past at once."""
_MOST_SLOTS = 16


def slots(free: int) -> int:
    """How many may speak at once on a GPU with so much free memory; sixteen are plenty for 32 conversations."""
    return max(1, min(_MOST_SLOTS, (free - NETWORKS - VOICE - WORK) // SPEAKER))


class Room:
    """Memory that is lent by the byte, to those who wait for it in the order of their arrival.

    Args:
        size: Bytes; infinite for no bound.
    """

    def __init__(self, size: float) -> None:
        self.size = size
        self.taken = 0
        self._line: deque[object] = deque()

    def line_up(self, ahead: bool) -> object:
        """A place in the line: at its end, or before all who are not speaking yet."""
        place = object()
        (self._line.appendleft if ahead else self._line.append)(place)
        return place

    def is_first(self, place: object) -> bool:
        """Whether it is the turn of whoever has this place."""
        return self._line[0] is place

    def leave(self, place: object) -> None:
        """Give the place in the line up."""
        self._line.remove(place)

    @property
    def free(self) -> float:
        """Bytes that nobody has."""
        return self.size - self.taken

    def take(self, size: int) -> bool:
        """Take so many bytes; False if they are not there."""
        if size > self.free:
            return False
        self.taken += size
        return True

    def give(self, size: int) -> None:
        """Give bytes back."""
        self.taken -= size

    def lent(
        self, most: int, has_room: Callable[[], bool], ahead: bool, should_stop: StopSignal
    ) -> Generator[AudioChunk, None, bool]:
        """Wait in line until `has_room`, for `most` bytes at most; False if that was stopped."""
        if most > self.size:
            raise SpeechError(
                tr(
                    "this voice and a segment of this length take {size:,.1f} MB beside the networks; there are "
                    "{room:,.1f} MB. Use a shorter reference or shorter sentences",
                    size=most / 1e6,
                    room=self.size / 1e6,
                )
            )
        place = self.line_up(ahead)
        try:
            while not (self.is_first(place) and has_room()):
                if should_stop():
                    return False
                yield QUEUED
        finally:
            self.leave(place)
        return True
