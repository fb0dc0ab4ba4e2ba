"""Many utterances on one model: who is worked on together, who waits, who leaves.

Every utterance's generator pulls, and what it pulls is made for all who can share it: a group of decoding steps for
all that are running, a chunk of the flow for all whose chunk of that length is due. The others find theirs when it is
their turn. What is done next is the planner's decision, from what each listener has left to hear.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from torch import Tensor

from pipecat_glm_tts.wording import tr
from tts_service.engine import Busy
from tts_service.glm.device.fetch import Fetch
from tts_service.glm.flow_matching.stream import FlowStream, work_through
from tts_service.glm.language_model.decode import GROUP, Decoder, Limits, SpeechHead
from tts_service.glm.planner import Costs, Picture, Place, Work, plan
from tts_service.glm.vocoding.sounding import Sounding, sounded

_HELD_BACK = 0.405
"""Seconds of mel that the vocoder does not make heard yet."""
TOGETHER = 8
"""Chunks of the flow in one batch, at most."""


class Segment:
    """One segment's way through the models, from `Scheduler.join` to `Scheduler.leave`."""

    def __init__(
        self,
        prompt: Sequence[int],
        limits: Limits,
        method: str,
        seed: int,
        stream: FlowStream | None,
        should_stop: Callable[[], bool],
        sounding: Sounding | None = None,
    ) -> None:
        self.prompt, self.limits, self.method, self.seed = prompt, limits, method, seed
        self.stream, self.should_stop = stream, should_stop
        """None: only the tokens are wanted."""
        self.sounding = sounding
        """None: only the mel is wanted."""
        self.tokens: list[int] = []
        """All speech tokens so far."""
        self.spoken = False
        """Whether these are all."""
        self.waited: float | None = None
        """Seconds until there was a slot; None while it waits."""
        self.error: Exception | None = None
        self.made: deque[tuple[int, Tensor | Fetch]] = deque()
        """Frames, and the mel or the samples of them, made along with somebody else's and not yet asked for."""
        self._handed = 0
        """Frames handed out."""
        self._heard: float | None = None
        """When the first of them were."""
        self.scheduled = 0
        """Tokens drawn or being drawn."""
        self.born = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether all of its mel has been handed out."""
        return self.spoken and not self.made and not (self.stream and self.stream.pending)

    @property
    def is_new(self) -> bool:
        """Whether somebody waits for the first of its sound, and its tokens are still being drawn."""
        return self._heard is None and not self.made and not self.spoken and self.stream is not None

    @property
    def lacking(self) -> int:
        """Tokens that its next chunk needs beyond those that are being drawn."""
        return (self.stream.missing if self.stream else 0) - (self.scheduled - len(self.tokens))

    def hand_out(self) -> Tensor | Fetch:
        """What was made next, which its listener begins to hear now if it is the first."""
        frames, made = self.made.popleft()
        self._heard, self._handed = self._heard or time.monotonic(), self._handed + frames
        return made

    def place(self, number: int, now: float) -> Place | None:
        """Where it stands; None if nothing has to be done for it."""
        stream = self.stream
        if self.made or (self.spoken and not (stream and stream.pending)):
            return None
        lead = None if self._heard is None else self._handed / 50 - _HELD_BACK - (now - self._heard)
        if stream is None:
            return Place(number, lead, None, 1, now - self.born)
        return Place(number, lead, stream.frames if stream.ready else None, stream.missing, now - self.born)

    def take(self, tokens: Sequence[int]) -> None:
        """Note drawn tokens, up to the end or to the greatest length."""
        tokens = tokens[: self.limits.longest - len(self.tokens)]
        ended = SpeechHead.END in tokens
        if ended:
            tokens = tokens[: tokens.index(SpeechHead.END)]
        self.tokens += tokens
        if self.stream:
            self.stream.add(tokens)
        if ended or len(self.tokens) == self.limits.longest:
            self.say_no_more()

    def say_no_more(self) -> None:
        """There will be no more tokens."""
        self.spoken = True
        if self.stream:
            self.stream.end()


class Scheduler:
    """The slots of one decoder and the segments that fill them.

    Args:
        decoder: Its rows are the slots.
        waiting: Segments that may wait for a slot; more are refused.
        together: Chunks of the flow in one batch, at most.
        flight: Groups that are launched before the oldest is looked at, so that the device need not wait for the host.
        costs: What the planner reckons with.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        waiting: int = 64,
        together: int = TOGETHER,
        flight: int = 0,
        costs: Costs | None = None,
    ) -> None:
        self._costs = costs or Costs()
        self._decoder, self._waiting_limit, self._together, self._flight = decoder, waiting, together, flight
        self._running: list[Segment] = []
        """The segment in each slot, without gaps."""
        self._waiting: deque[Segment] = deque()
        self._present: list[Segment] = []
        self._flying: deque[tuple[list[Segment], list[int], Fetch]] = deque()

    @property
    def slots(self) -> int:
        """Sequences that can be decoded at once."""
        return self._decoder.rows

    @property
    def running(self) -> int:
        """Slots in use."""
        return len(self._running)

    @property
    def present(self) -> int:
        """Segments that have joined and not left."""
        return len(self._present)

    def join(self, segment: Segment) -> None:
        """Take a segment in; it gets a slot as soon as one is free, in the order of arrival.

        One whose tokens are all there already needs none.

        Raises:
            Busy: Too many are waiting already.
        """
        if segment.spoken:
            segment.waited = 0.0
            self._present.append(segment)
            return
        if len(self._waiting) >= self._waiting_limit:
            raise Busy(
                tr(
                    "{slots} segments are being spoken and {waiting_limit} wait; try again in a moment",
                    slots=self.slots,
                    waiting_limit=self._waiting_limit,
                )
            )
        self._present.append(segment)
        self._waiting.append(segment)

    def leave(self, segment: Segment) -> None:
        """Let go of a segment, finished or not. Its slot is free at once."""
        self._release(segment)
        if segment in self._present:
            self._present.remove(segment)

    def advance(self, segment: Segment) -> Tensor | Fetch | None:
        """Do the unit of work that is due next, unless something of the segment is there already.

        Returns:
            The segment's next mel [1, 80, frames], or its samples if it has a `sounding`; None if it is not there yet,
            or if it was stopped.

        Raises:
            Exception: What went wrong with this segment.
        """
        if not segment.made and segment.error is None:
            decision = plan(self.picture(time.monotonic()))
            if decision.work is Work.CHUNK:
                self._work_through([self._present[number] for number in decision.members])
            else:
                self.step()
        if segment.error is not None:
            raise segment.error
        return segment.hand_out() if segment.made else None

    def picture(self, now: float) -> Picture:
        """How everybody stands but those for whom there is no slot: nothing can be done for them."""
        slotless = [*self._waiting][max(0, self.slots - len(self._running)) :]
        places = (s.place(number, now) for number, s in enumerate(self._present) if s not in slotless)
        return Picture(tuple(place for place in places if place), self._costs, self._together)

    def step(self) -> None:
        """Draw a group of tokens for everyone who has a slot; newcomers get theirs first."""
        for segment in [segment for segment in self._present if segment.should_stop()]:
            self._release(segment)
        while self._waiting and len(self._running) < self.slots:
            self._admit(self._waiting.popleft())
        while len(self._flying) <= self._flight and (steps := self._wanted()) and self._launch(steps):
            pass
        if self._flying:
            self._land(*self._flying.popleft())

    def _admit(self, segment: Segment) -> None:
        segment.waited = time.monotonic() - segment.born
        try:
            self._decoder.prefill(len(self._running), segment.prompt, segment.limits, segment.method, segment.seed)
        except Exception as error:
            self._fail(segment, error)
        else:
            self._running.append(segment)

    def _release(self, segment: Segment) -> None:
        if segment in self._waiting:
            self._waiting.remove(segment)
        if segment in self._running:
            slot, last = self._running.index(segment), self._running.pop()
            if last is not segment:
                self._running[slot] = last
                self._decoder.move(len(self._running), slot, len(last.prompt) + last.scheduled)

    def _wanted(self) -> int:
        """Steps of the next group: no more than a newcomer lacks, none while his first chunk waits for those that fly.

        For that chunk has the device to itself then.
        """
        lacking = [segment.lacking for segment in self._running if segment.is_new]
        if any(count <= 0 for count in lacking):
            return 0 if self._flying else GROUP
        return min([GROUP, *lacking])

    def _launch(self, steps: int) -> bool:
        """Send a group of steps off; False if nobody has need of one."""
        needy = [segment for segment in self._running if segment.scheduled < segment.limits.longest]
        try:
            if needy:
                self._draw(needy, steps)
        except Exception:  # somebody's fault: whoever fails alone as well is to blame
            for segment in needy:
                try:
                    self._draw([segment], steps)
                except Exception as error:
                    self._fail(segment, error)
        return bool(needy)

    def _draw(self, segments: list[Segment], steps: int) -> None:
        slots = [self._running.index(segment) for segment in segments]
        length = max(len(segment.prompt) + segment.scheduled for segment in segments) + steps
        tokens = self._decoder.run(slots, length, steps)
        for segment in segments:
            segment.scheduled += steps
        self._flying.append((segments, slots, tokens))

    def _land(self, segments: list[Segment], slots: list[int], drawn: Fetch) -> None:
        tokens = drawn.result().tolist()
        for segment, slot in zip(segments, slots, strict=True):
            if not segment.spoken:
                segment.take(tokens[slot])
            if segment.spoken:
                self._release(segment)

    def _work_through(self, group: Sequence[Segment]) -> None:
        """Make the next mel of segments whose chunks are of one length."""
        try:
            self._solve(group)
        except Exception:  # as in `_launch`
            for member in group:
                try:
                    self._solve([member])
                except Exception as error:
                    self._fail(member, error)

    def _solve(self, segments: Sequence[Segment]) -> None:
        streams = [segment.stream for segment in segments if segment.stream]
        mels = work_through(streams, [segment.should_stop for segment in segments])
        pieces: list[tuple[Segment, Sounding, Tensor, bool]] = []
        for segment, mel in zip(segments, mels, strict=True):
            if mel is None:
                continue
            if segment.sounding is None:
                segment.made.append((mel.shape[2], mel))
            else:
                pieces.append((segment, segment.sounding, mel, not (segment.stream and segment.stream.pending)))
        heard = sounded([(sounding, mel, last) for _, sounding, mel, last in pieces])
        for (segment, _, mel, _), wave in zip(pieces, heard, strict=True):
            if isinstance(wave, Exception):
                self._fail(segment, wave)
            else:
                segment.made.append((mel.shape[2], wave))

    def _fail(self, segment: Segment, error: Exception) -> None:
        """Keep an error for the moment at which its segment is advanced."""
        segment.error = error
        self.leave(segment)
