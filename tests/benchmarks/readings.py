"""How often hanzi are read wrong: scores of any reader on labelled text.

A reader takes a text and returns one syllable with tone number (`chong2`, 5: neutral) for each character, None for all
but hanzi. The files are not part of the project; each function says which it reads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Reader = Callable[[str], Sequence[str | None]]

_HANZI = re.compile("[〇㐀-䶿一-鿿]")
_MARKED = re.compile(r"(.)\[([^\]]*)\]")
_ALIKE = {"谁": {"shei2", "shui2"}, "这": {"zhe4", "zhei4"}}


@dataclass(slots=True)
class Score:
    """What a reader got wrong."""

    sentences: int = 0
    wrong_sentences: int = 0
    syllables: int = 0
    wrong: int = 0
    """Another syllable or another full tone."""
    neutral: int = 0
    """A full tone for the neutral one, or the reverse."""
    errors: list[tuple[str, int, str, str]] = field(default_factory=list)
    """Text, position, what was said, what was wanted; wrong syllables and neutral tones both."""

    def line(self) -> str:
        """For people."""
        return (
            f"{self.wrong / self.syllables:.2%} of {self.syllables} syllables wrong ({self.wrong}), "
            f"{self.wrong_sentences / self.sentences:.1%} of {self.sentences} sentences, "
            f"neutral tone {self.neutral / self.syllables:.2%} ({self.neutral})"
        )

    def by_character(self, most: int = 60) -> str:
        """The most frequent confusions, as `为 wei2→wei4 128`: said, then wanted."""
        counts = Counter((text[i], said, wanted) for text, i, said, wanted in self.errors)
        return "\n".join(f"{char} {said}→{wanted} {n}" for (char, said, wanted), n in counts.most_common(most))


def everyday(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Sentences and the syllables of their hanzi: a sentence, a tab, pinyin as spoken, `v` for ü.

    Sentences with Latin letters, digits or erhua are left out, for their syllables do not stand one to a hanzi.
    """
    for line in path.read_text(encoding="utf-8").splitlines():
        text, labels = line.split("\t")
        syllables = labels.split()
        plain = not re.search("[A-Za-zＡ-Ｚａ-ｚ0-9]", text)
        if plain and len(_HANZI.findall(text)) == len(syllables) and all(s[-1:] in "12345" for s in syllables):
            yield text, syllables


def score_sentences(cases: Iterator[tuple[str, list[str]]], read: Reader) -> Score:
    """Score dictionary readings on whole sentences labelled as spoken.

    一 and 不 are left out; a label in the second tone is right for a third tone before another.
    """
    score = Score()
    for text, labels in cases:
        read_as = read(text)
        places = [i for i, char in enumerate(text) if _HANZI.match(char)]
        score.sentences += 1
        failed = False
        for k, (i, wanted) in enumerate(zip(places, labels, strict=True)):
            if text[i] in "一不":
                continue
            score.syllables += 1
            said = read_as[i] or ""
            if said == wanted or {said, wanted} <= _ALIKE.get(text[i], set()):
                continue
            if said[:-1] == wanted[:-1] and said[-1:] == "3" and wanted[-1] == "2":
                following = [read_as[j] or "" for j in places[k + 1 : k + 2]] + labels[k + 1 : k + 2]
                if any("3" in other for other in following) or (following and "5" in following[-1]):
                    continue
            score.errors.append((text, i, said, wanted))
            if said[:-1] == wanted[:-1] and "5" in (said[-1:], wanted[-1]):
                score.neutral += 1
            else:
                score.wrong += 1
                failed = True
        score.wrong_sentences += failed
    return score


def reported(path: Path) -> Iterator[tuple[str, str, dict[int, str]]]:
    """Kind, text, and the wanted syllable at some places: a kind, a tab, a sentence such as `银行[hang2]的`."""
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, marked = line.split("\t")
        wanted: dict[int, str] = {}
        text, last = "", 0
        for match in _MARKED.finditer(marked):
            text += marked[last : match.start()] + match[1]
            wanted[len(text) - 1] = match[2]
            last = match.end()
        yield kind, text + marked[last:], wanted


def score_places(
    cases: Iterator[tuple[str, str, dict[int, str]]], read: Reader, spoken: Reader
) -> dict[str, tuple[int, int, list[str]]]:
    """For each kind: inputs read right, inputs, and what went wrong; kind `spoken` is judged after sandhi."""
    results: dict[str, tuple[int, int, list[str]]] = {}
    for kind, text, wanted in cases:
        said = (spoken if kind == "spoken" else read)(text)
        misses = [f"{text[i]} {said[i]}→{w}" for i, w in wanted.items() if said[i] != w]
        right, total, told = results.get(kind, (0, 0, []))
        results[kind] = right + (not misses), total + 1, told + ([f"{text}: {', '.join(misses)}"] if misses else [])
    return results


def score_polyphones(sentences: Path, labels: Path, read: Reader) -> Score:
    """Score one marked character a sentence: the `.sent` and `.lb` files of the CPP data set."""
    score = Score()
    for marked, label in zip(
        sentences.read_text(encoding="utf-8").splitlines(), labels.read_text(encoding="utf-8").splitlines(), strict=True
    ):
        i = marked.index("▁")
        text = marked.replace("▁", "")
        wanted = {"r5": "er5"}.get(label.strip(), label.strip().replace("u:", "v"))
        said = read(text)[i] or ""
        score.sentences += 1
        score.syllables += 1
        if said != wanted:
            score.wrong += 1
            score.wrong_sentences += 1
            score.errors.append((text, i, said, wanted))
    return score
