"""The file of custom pronunciations: its notation, its lines, and what is wrong with them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from g2p import mandarin
from g2p.mandarin import glm_syllables, numbered
from pipecat_glm_tts.wording import tr

FILE_NAME = "G2P_replace_dict.jsonl"
HANZI = re.compile(f"[{mandarin.HANZI}]")
HAS_TONE = re.compile("[1-5āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜńňǹ]", re.IGNORECASE)
_EXAMPLE = '{"word": "乐高", "phoneme": "lè gāo"}'


class LexiconError(ValueError):
    """An entry that cannot be used; the message says what is wrong and what to write instead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How one word is said: syllables, one per character (None: as usual), a respelling, or IPA."""

    word: str
    syllables: tuple[str | None, ...] = ()
    respelling: str = ""
    phones: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one line of a dictionary file."""

    line: int
    text: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return tr(
            "line {line}: {problem}. {fix} ({text})",
            line=self.line,
            problem=self.problem,
            fix=self.fix,
            text=self.text[:60],
        )


def parse_entry(word: str, phoneme: str) -> Entry:
    """Read one entry.

    Args:
        word: What is written: hanzi, Latin letters or both.
        phoneme: `lè gāo`, `le4 gao1`, `派森` (a respelling) or `<|X|><|IAN2|>`.

    Raises:
        LexiconError: It says nothing that can be spoken.
    """
    word, phoneme = word.strip(), phoneme.strip()
    if not word:
        raise LexiconError(tr("the word is empty; write the characters to replace"))
    if not phoneme:
        raise LexiconError(tr("the reading is empty; write pinyin such as 'lè gāo', or a respelling such as '派森'"))
    if "<|" in phoneme:
        return Entry(word, _aligned(word, glm_syllables(phoneme)))
    parts = re.split(r"[\s'’-]+", phoneme)
    syllables = [numbered(part) for part in parts]
    toned = any(map(HAS_TONE.search, parts))
    if all(syllables) and (toned or len(HANZI.findall(word)) == len(word) == len(parts)):
        return Entry(word, _aligned(word, syllables))
    if toned and not HANZI.search(phoneme) and any(syllables) and not all(syllables):
        wrong = parts[syllables.index(None)]
        raise LexiconError(
            tr("{wrong!r} is not a pinyin syllable; write 'chóng' or 'chong2', one for each character", wrong=wrong)
        )
    if not re.search(r"\w", phoneme):
        raise LexiconError(tr("{phoneme!r} cannot be spoken; write pinyin or a respelling", phoneme=phoneme))
    return Entry(word, respelling=phoneme)


def _aligned(word: str, syllables: list[str | None]) -> tuple[str | None, ...]:
    hanzi = len(HANZI.findall(word))
    if hanzi == len(word) and len(syllables) != len(word):
        raise LexiconError(
            tr(
                "{word} has {word_count} characters but {syllables_count} syllables; write one for each",
                word=word,
                word_count=len(word),
                syllables_count=len(syllables),
            )
        )
    if hanzi != len(word) and not all(syllables):
        raise LexiconError(tr("{word} is not all hanzi; give a syllable for every sound", word=word))
    return tuple(syllables)


def parse_line(line: str) -> list[Entry]:
    """Entries of one line of a dictionary file.

    Raises:
        LexiconError: The line cannot be used.
    """
    try:
        content = json.loads(line)
    except json.JSONDecodeError as error:
        raise LexiconError(
            tr(
                "not JSON ({msg} at column {colno}); write {example}",
                msg=error.msg,
                colno=error.colno,
                example=_EXAMPLE,
            )
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise LexiconError(tr("cannot be read ({error}); write {example}", error=error, example=_EXAMPLE)) from None
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise LexiconError(tr("expected one JSON object with texts only; write {example}", example=_EXAMPLE))
    if "word" in content or "phoneme" in content:
        if content.keys() != {"word", "phoneme"}:
            odd = sorted(content.keys() ^ {"word", "phoneme"})
            raise LexiconError(
                tr(
                    "the fields must be exactly 'word' and 'phoneme' (see {odd}); write {example}",
                    odd=", ".join(odd),
                    example=_EXAMPLE,
                )
            )
        return [parse_entry(content["word"], content["phoneme"])]
    if not content:
        raise LexiconError(tr("the object is empty; write {example}", example=_EXAMPLE))
    return [parse_entry(word, phoneme) for word, phoneme in content.items()]


def check(path: str | os.PathLike[str]) -> list[Problem]:
    """All problems of a dictionary file, in order; empty: the file is good.

    Raises:
        OSError: The file cannot be read.
    """
    return read(path)[1]


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Entry], list[Problem]]:
    """The usable entries of a dictionary file by case-folded word, and its problems in order.

    Raises:
        OSError: The file cannot be read.
    """
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    problems = []
    for number, raw in enumerate(Path(path).read_bytes().split(b"\n"), 1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            problems.append(Problem(number, repr(raw[:40]), tr("not UTF-8"), tr("Save the file as UTF-8.")))
            continue
        if not line:
            continue
        try:
            for entry in parse_line(line):
                key = entry.word.casefold()
                if key in entries and entries[key] != entry:
                    problem = tr("{word} is already defined in line {line}", word=entry.word, line=lines[key])
                    problems.append(Problem(number, line, problem, tr("Keep one of them; the later one is used.")))
                entries[key], lines[key] = entry, number
        except LexiconError as error:
            problem, *fix = re.split("; |；", str(error), maxsplit=1)
            advice = fix[0][:1].upper() + fix[0][1:] + tr(".") if fix else tr("Correct the line.")
            problems.append(Problem(number, line, problem, advice))
    return entries, problems
