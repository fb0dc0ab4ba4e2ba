"""Which reading a hanzi has here, and who wins over whom.

1. A word of the cut whose reading an edited dictionary states, or that somebody wrote into `data/words.txt` (but for a
   few expressions that grammar splits: `_WORDS` and `_ANYWHERE` in `grammar.py`).
2. Names and grammar: a surname, or a character that its neighbours and their parts of speech decide (`names.py`,
   `grammar.py`); it wins over words that only unedited lists have.
3. A model, where neither is sure: a bidirectional LSTM over the characters, the words that cover the character, and the
   cut into words, weighed by a small network, the same for all characters. It and the LSTM are one ONNX file;
   `training/train_polyphone.py` tells how it was made and what it scores. It has learnt from an encyclopedia, which
   hardly has the readings of everyday speech; hence its place.
"""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from g2p.polyphones.dictionary import AGREED, EDITED, HAND_WRITTEN, NEUTRAL, UNSTATED, Dictionary, Word, dictionary
from g2p.polyphones.grammar import decided
from g2p.polyphones.names import surnames

if TYPE_CHECKING:
    import onnxruntime

MAX_CANDIDATES = 6
FEATURES = 13
_WINDOW = 200
"""Characters the model sees at once; longer texts are read in windows, so that time stays linear."""


_BREAK = re.compile("[。！？!?；;\\n]|[，,、：:](?=.)")


@dataclass(slots=True)
class Reading:
    """What was decided for a text, one entry per character."""

    readings: list[str | None]
    """Dictionary form with tone number; None where the character is no hanzi or unknown."""
    words: list[int]
    """Index of the dictionary word it belongs to."""
    sources: list[str]
    """`word` (a dictionary states it with certainty), `rule` (grammar or a name), `phrase` (a word says so, but not for
    sure), `model` or `default`; empty where there is no reading."""


def read(text: str) -> Reading:
    """Read every hanzi of a text.

    Args:
        text: Anything. Punctuation helps the model; characters that are no hanzi get None.
    """
    result = Reading([], [], [])
    start = 0
    while start < len(text):
        end = start + _WINDOW
        if end < len(text):  # cut after punctuation where there is some, so that no word is cut
            end = max((m.end() for m in _BREAK.finditer(text, start + 1, end)), default=end)
        window = _read_window(text[start:end])
        offset = result.words[-1] + 1 if result.words else 0
        result.readings += window.readings
        result.words += [word + offset for word in window.words]
        result.sources += window.sources
        start = end
    return result


def _read_window(text: str) -> Reading:
    known = dictionary()
    simple = known.simplify(text)
    words = known.find(simple)
    segments = known.segment(simple, words)
    covering = _covering(len(simple), words)
    spans = {(word.start, word.start + word.length) for word in words}
    told = [
        _from_words(known.candidates(char), above, i, segments, spans, known.is_frequent(char)) if above else None
        for i, (char, above) in enumerate(zip(simple, covering, strict=True))
    ]
    edited = {i for i, what in enumerate(told) if what and what[2] >= EDITED}
    stated = {i for i, what in enumerate(told) if what and what[2]}
    tags = known.tags(simple, words, segments)
    named = decided(simple, segments, tags, edited, stated) | surnames(simple, segments, edited)
    readings: list[str | None] = []
    sources: list[str] = []
    asked: list[int] = []
    for i, char in enumerate(simple):
        candidates = known.candidates(char)
        if not candidates:
            readings.append(None)
            sources.append("")
            continue
        reading, source, trust = told[i] or (candidates[0], "default", 0)
        if i in named:
            reading, source = named[i], "rule"
        elif not trust:
            if char != text[i] and len(own := known.candidates(text[i])) == 1 and own[0] in candidates:
                reading, source = own[0], "default"  # 髮 is unambiguous where 发 is not
            elif known.is_modelled(char) and len(simple) > 1:  # the model needs a context
                asked.append(i)
        readings.append(reading)
        sources.append(source)
    if asked:
        table = features(known, simple, asked, covering, segments)
        for i, choice in zip(asked, _model().choose(simple, asked, table), strict=True):
            readings[i], sources[i] = known.candidates(simple[i])[choice], "model"
    return Reading(readings, segments, sources)


def _covering(size: int, words: list[Word]) -> list[list[Word]]:
    covering: list[list[Word]] = [[] for _ in range(size)]
    for word in words:
        if word.trust:
            for i in range(word.start, word.start + word.length):
                if word.stated(i) != UNSTATED:
                    covering[i].append(word)
    return covering


def _is_segment(word: Word, segments: list[int]) -> bool:
    return segments[word.start] == segments[word.start + word.length - 1] and _fits(word, segments)


def _fits(word: Word, segments: list[int]) -> bool:
    """Whether the word begins and ends where segments do."""
    end = word.start + word.length
    return (word.start == 0 or segments[word.start - 1] != segments[word.start]) and (
        end == len(segments) or segments[end - 1] != segments[end]
    )


def _is_part(word: Word, segments: list[int], spans: set[tuple[int, int]]) -> bool:
    """Whether a longer word begins with it (会计 of 会计准则), or ends with it after a word (行长 of 银行行长)."""
    end = word.start + word.length
    whole = segments[word.start]
    if segments[end - 1] != whole:
        return False
    first = segments.index(whole)
    return first == word.start or ((first, word.start) in spans and (end == len(segments) or segments[end] != whole))


def _is_confirmed(word: Word, covering: list[Word], i: int) -> bool:
    """Whether an edited word within it says the same."""
    return any(other.trust >= EDITED and other.stated(i) == word.stated(i) for other in covering)


def _as_stated(candidates: list[str], stated: int) -> str:
    return candidates[0][:-1] + "5" if stated == NEUTRAL else candidates[stated]


def _from_words(
    candidates: list[str], covering: list[Word], i: int, segments: list[int], spans: set[tuple[int, int]], common: bool
) -> tuple[str, str, int]:
    """Reading, source, and the trust of the word that says so, 0 where a second opinion is needed.

    The usual reading where no word is whole. Sure is what a person wrote down, what an edited dictionary says about a
    word of the cut, what sources agree on about a longer one with a common character, what a longer one says like a
    shorter edited word in it (调解 of 调解纠纷), and the light 子 of any: the model has learnt the rare ones, in
    names, better than the lists. In two characters that no editor has seen, the second may belong to what follows.
    """
    whole = None
    for word in reversed(covering):
        if not _fits(word, segments):
            continue
        is_segment = segments[word.start] == segments[word.start + word.length - 1]
        agreed = word.length > 2 and ((word.trust == AGREED and common) or _is_confirmed(word, covering, i))
        agreed = agreed or _as_stated(candidates, word.stated(i)) == "zi5"
        if word.trust == HAND_WRITTEN or (is_segment and (word.trust == EDITED or agreed)):
            return _as_stated(candidates, word.stated(i)), "word", word.trust
        if is_segment and whole is None:
            whole = word
    if whole:
        return _as_stated(candidates, whole.stated(i)), "phrase", 0
    for word in reversed(covering):
        # A neutral tone belongs to the short word only: 东西 but 东西方.
        if word.trust == HAND_WRITTEN and word.stated(i) != NEUTRAL and _is_part(word, segments, spans):
            return _as_stated(candidates, word.stated(i)), "word", word.trust
    return candidates[0], "default", 0


def features(
    known: Dictionary, text: str, asked: list[int], covering: list[list[Word]], segments: list[int]
) -> NDArray[np.float32]:
    """What the words say about each candidate of each asked character, [asked, candidate, feature]."""
    table = array("f", bytes(4 * len(asked) * MAX_CANDIDATES * FEATURES))
    for row, i in enumerate(asked):
        above = covering[i]
        candidates = known.candidates(text[i])
        alone = (i == 0 or segments[i - 1] != segments[i]) and (i + 1 == len(text) or segments[i + 1] != segments[i])
        first = row * MAX_CANDIDATES * FEATURES
        places = range(first, first + FEATURES * min(len(candidates), MAX_CANDIDATES), FEATURES)
        table[first + 11] = 1
        for place in places:
            table[place + 10] = bool(above)
            table[place + 12] = alone
        for word in above:
            stated = word.stated(i)
            if stated == NEUTRAL and (neutral := candidates[0][:-1] + "5") in candidates:
                stated = candidates.index(neutral)
            length, trust = min(word.length, 4) - 2, min(word.trust, EDITED) / EDITED
            is_segment, frequency = _is_segment(word, segments), 1 - min(word.cost, 160) / 160
            for k, place in enumerate(places):
                side = place if stated == k else place + 5  # for or against
                table[side + length] = max(table[side + length], trust)
                table[side + 4] = max(table[side + 4], frequency)
                if is_segment:
                    table[side + 3] = trust
    return np.frombuffer(table, np.float32).reshape(len(asked), MAX_CANDIDATES, FEATURES)


class _Model:
    """The ONNX network and its alphabet."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        network = (Path(__file__).parents[1] / "data" / "polyphone.onnx").read_bytes()
        self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
            network, options, providers=["CPUExecutionProvider"]
        )
        meta = self._session.get_modelmeta().custom_metadata_map
        self._alphabet = {char: i for i, char in enumerate(meta["alphabet"].split("\t"))}
        self._classes = {syllable: i for i, syllable in enumerate(meta["classes"].split(" "))}
        self._remembered: dict[str, list[int]] = {}
        self._unknown, self._begin, self._end = (int(i) for i in meta["unknown begin end"].split())

    def ids(self, text: str) -> NDArray[np.int64]:
        """Character ids with the marks for begin and end, [1, n + 2]."""
        inner = [self._alphabet.get(char, self._unknown) for char in text]
        return np.array([[self._begin, *inner, self._end]], np.int64)

    def _classes_of(self, char: str) -> list[int]:
        """Class of each candidate, -1 where there is none; remembered, for there are under a thousand polyphones."""
        classes = self._remembered.get(char)
        if classes is None:
            known = [self._classes.get(syllable, -1) for syllable in dictionary().candidates(char)[:MAX_CANDIDATES]]
            classes = self._remembered[char] = known + [-1] * (MAX_CANDIDATES - len(known))
        return classes

    def choose(self, text: str, asked: list[int], table: NDArray[np.float32]) -> list[int]:
        """The best candidate for each asked position."""
        classes = np.array([self._classes_of(text[i]) for i in asked], np.int64)
        scores = self._session.run(
            ["scores"], {"text": self.ids(text), "asked": np.array(asked) + 1, "classes": classes, "words": table}
        )[0]
        return scores.argmax(axis=1).tolist()


@lru_cache(maxsize=1)
def _model() -> _Model:
    return _Model()
