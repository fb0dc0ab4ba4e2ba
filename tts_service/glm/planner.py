"""What to do next: a pure function from a picture of all segments to a decision with its reason.

Whose sound ends first comes first. Among those who still wait for their first sound, so many begin at once as can have
their second chunk before the first has been heard, and as the others can spare; who has time is no company then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from tts_service.glm.language_model.decode import GROUP

FIRST_LEAD = 0.195
"""Seconds of sound that the first chunk leaves: the vocoder holds some twenty frames of thirty back."""
SECOND_BLOCK = 26
"""Tokens that the second chunk needs beyond the first: its block, and six of future that the first did without."""
PATIENCE = 2.0
"""A newcomer who has waited so many seconds is treated as if his sound had ended."""
MARGIN = 0.02
"""Seconds by which everything should be early."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that the device takes."""

    group: float = 0.014
    """For a group of decoding steps, whoever takes part."""
    chunk: float = 0.008
    """For a chunk of the flow, alone."""
    further: float = 0.002
    """For each further one in its batch."""
    push: float = 0.002
    """For the vocoder to make it heard."""

    def chunks(self, count: int) -> float:
        """For so many chunks as one batch, until all of them can be heard."""
        return self.chunk + self.further * (count - 1) + self.push * count

    def tokens(self, count: int) -> float:
        """For so many tokens."""
        return -(-count // GROUP) * self.group


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment stands."""

    number: int
    """Which; smaller ones came first."""
    lead: float | None
    """Seconds of sound that its listener has left, negative if it has run dry; None while he has heard nothing."""
    length: int | None
    """Of its next chunk, as it is padded, if that can be worked on; those of one length go together."""
    missing: int = 0
    """Tokens that its next chunk still needs."""
    waited: float = 0.0
    """Seconds since it came."""


@dataclass(frozen=True, slots=True)
class Picture:
    """All that a decision depends on."""

    places: tuple[Place, ...]
    costs: Costs = Costs()
    together: int = 8
    """Chunks in a batch, at most."""


class Work(Enum):
    """What can be done."""

    TOKENS = "tokens"
    CHUNK = "chunk"


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done next, for whom, and why."""

    work: Work
    members: tuple[int, ...]
    """Numbers of places whose chunk is worked on; tokens are drawn for everyone."""
    reason: str


def plan(picture: Picture) -> Decision:
    """Decide what is done next."""
    costs = picture.costs

    def left(place: Place) -> float:
        """Seconds that his next sound can be put off."""
        lead = place.lead if place.lead is not None else 0.0
        return lead - MARGIN - costs.chunks(1) - costs.tokens(place.missing)

    heard = sorted((p for p in picture.places if p.lead is not None or p.waited > PATIENCE), key=left)
    pressed = [p for p in heard if p.length is not None or p.missing]
    fresh = [p for p in picture.places if p.lead is None and p.waited <= PATIENCE]
    beginning = [p for p in fresh if p.length is not None]
    soon = costs.chunks(picture.together) + costs.group
    if pressed and left(pressed[0]) < soon:
        first = pressed[0]
        if first.length is None:
            return Decision(Work.TOKENS, (), f"{first.number}, whose sound ends first, lacks {first.missing} tokens")
        company = [p for p in pressed[1:] if p.length == first.length and (not fresh or left(p) < soon)]
        count = max(1, _most(picture, len(company) + 1, costs.chunks(1) + max(0.0, left(first))))
        members = [first, *company][:count]
        return Decision(Work.CHUNK, _numbers(members), f"the sound of {first.number} ends first")
    if beginning:
        length = beginning[0].length
        alike = [p for p in beginning if p.length == length]
        spare = min((left(p) for p in pressed), default=float("inf"))
        second = FIRST_LEAD - MARGIN - costs.tokens(SECOND_BLOCK)
        count = max(1, _most(picture, len(alike), min(spare, second)))
        why = "they" if count > 1 else "he"
        return Decision(
            Work.CHUNK,
            _numbers(alike[:count]),
            f"{why} can begin now, and go on before the first {1e3 * FIRST_LEAD:.0f} ms have been heard",
        )
    if any(p.missing for p in fresh):
        return Decision(Work.TOKENS, (), "somebody has not heard anything yet, and nobody's sound ends soon")
    if ready := [p for p in heard if p.length is not None]:
        members = [p for p in ready if p.length == ready[0].length][: picture.together]
        return Decision(Work.CHUNK, _numbers(members), "there is time, and as many as are due go together")
    return Decision(Work.TOKENS, (), "no chunk can be worked on yet")


def _most(picture: Picture, wanted: int, seconds: float) -> int:
    """How many chunks fit into so many seconds, at most those wanted."""
    fitting = [n for n in range(1, min(wanted, picture.together) + 1) if picture.costs.chunks(n) <= seconds]
    return max(fitting, default=0)


def _numbers(places: Iterable[Place]) -> tuple[int, ...]:
    return tuple(place.number for place in places)
