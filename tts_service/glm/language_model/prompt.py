"""What the models are told about the voice, and how the segments of one text hang together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HISTORY_TOKENS = 750
"""Speech tokens of history and expected answer together: 30 s."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Something said, as the language model knows it: the reference first, then each finished segment."""

    text: tuple[int, ...]
    speech: tuple[int, ...]


def recall(turns: Sequence[Turn], text_ids: int, budget: int = HISTORY_TOKENS) -> list[Turn]:
    """The turns that the next segment's prompt has room for.

    The reference always stays; the oldest segments go until the rest and the expected answer (by the history's own
    ratio of speech to text) fit the budget.

    Args:
        turns: The reference, then the segments in order.
        text_ids: Length of the text to say.
        budget: In speech tokens.
    """
    speech = sum(len(turn.speech) for turn in turns)
    expected = int(speech / max(1, sum(len(turn.text) for turn in turns)) * text_ids)
    kept = list(turns)
    while len(kept) > 1 and sum(len(turn.speech) for turn in kept) + expected > budget:
        del kept[1]
    return kept


def prompt_ids(turns: Sequence[Turn], text: Sequence[int], begin: int, first: int) -> list[int]:
    """The language model's prompt: all texts, the text to say, begin of audio, all speech so far."""
    told = [index for turn in turns for index in turn.text]
    heard = [first + token for turn in turns for token in turn.speech]
    return [*told, *text, begin, *heard]
