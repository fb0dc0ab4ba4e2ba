"""Custom pronunciations: a dictionary file that may change while it is used, layers over it, and inline markup."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from g2p.ipa import kokoro_letters
from g2p.lexicon_file import FILE_NAME, HANZI, HAS_TONE, Entry, Problem, parse_entry, read
from g2p.mandarin import numbered
from pipecat_glm_tts.folders import own_folders, user_folder

_ALL_HANZI = re.compile(f"{HANZI.pattern}+")
_BRACKET = re.compile(r"\[([^\[\]\n]{1,80})\]")
_SLASHES = re.compile(
    r"(?<![A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ'’])([A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ]{1,60}(?:['’][A-Za-z]{1,20})?)\[/([^/\[\]\n]{1,80})/\]"
)


@dataclass(frozen=True, slots=True)
class Match:
    """An entry found in a text."""

    start: int
    end: int
    entry: Entry
    source: str = "dictionary"


class Lexicon:
    """Words with pronunciations of their own. Thread-safe; lookups never wait for the disk.

    Args:
        entries: Word to reading, in the notation of the file (`{"乐高": "lè gāo"}`).
        path: A dictionary file, read now and read again, in the background, whenever it has changed; or what says which
            file that is, asked at every lookup, None if there is none.
        base: Looked at after this one: a session's words over the default dictionary.

    Raises:
        LexiconError: An entry of `entries` cannot be used.
        OSError: The file cannot be read.
    """

    def __init__(
        self,
        entries: Mapping[str, str] | None = None,
        *,
        path: str | os.PathLike[str] | Callable[[], Path | None] | None = None,
        base: Lexicon | None = None,
    ) -> None:
        self._own = {word.casefold(): parse_entry(word, phoneme) for word, phoneme in (entries or {}).items()}
        fixed = None if path is None or callable(path) else Path(path)
        self._choose: Callable[[], Path | None] = path if callable(path) else lambda: fixed
        self._path = self._choose()
        self._base = base
        self._loading = threading.Lock()
        self._stamp: tuple[Path, int, int] | None = None
        self._table = _index(self._own)
        self.problems: list[Problem] = []
        """What the last reading of the file found wrong."""
        if self._path:
            self._stamp = self._stat()
            self._load()

    @property
    def path(self) -> Path | None:
        """The file that has been read."""
        return self._path

    def refresh(self) -> None:
        """Read the file again now, if it has changed: whoever has just saved it need not wait for a lookup."""
        with self._loading:
            if (stamp := self._stat()) not in (None, self._stamp):
                self._stamp = stamp
                self._load()

    def find(self, text: str) -> list[Match]:
        """Where entries apply: leftmost first, longest at each place. Latin entries match whole words in any case."""
        self._refresh()
        tables = []
        lexicon: Lexicon | None = self
        while lexicon is not None:
            lexicon._refresh()
            tables.append(lexicon._table)
            lexicon = lexicon._base
        folded = text.casefold()
        if len(folded) != len(text):  # ß and its like grow when folded, and positions would move
            folded = text.lower() if len(text.lower()) == len(text) else text
        found: list[Match] = []
        firsts = "".join({first for table in tables for first in table})
        if not firsts:
            return found
        position = 0
        for start in (m.start() for m in re.finditer(f"[{re.escape(firsts)}]", folded)):
            if start < position:
                continue
            best = max(
                (e for t in tables if (e := _longest(t, folded, start))), key=lambda e: len(e.word), default=None
            )
            if best:
                position = start + len(best.word)
                found.append(Match(start, position, best))
        return found

    def _refresh(self) -> None:
        if (stamp := self._stat()) not in (None, self._stamp) and self._loading.acquire(blocking=False):
            self._stamp = stamp
            threading.Thread(target=self._reload, name="lexicon-reload", daemon=True).start()

    def _reload(self) -> None:
        from loguru import logger  # as costly to import as all of g2p's own modules

        try:
            self._load()
            logger.info(f"read {self._path} again: {sum(map(len, self._table.values()))} entries")
        except OSError as error:
            logger.warning(f"{self._path} changed but cannot be read ({error}); keeping the entries read before")
        finally:
            self._loading.release()

    def _load(self) -> None:
        if self._stamp:
            self._path = self._stamp[0]
        assert self._path
        entries, self.problems = read(self._path)
        if self.problems:
            from loguru import logger

            for problem in self.problems:
                logger.warning(f"{self._path}, {problem}")
        self._table = _index(entries | self._own)

    def _stat(self) -> tuple[Path, int, int] | None:
        if (path := self._choose()) is None:
            return None
        try:
            status = os.stat(path)
        except OSError:
            return None
        return path, status.st_mtime_ns, status.st_size


def _index(entries: Mapping[str, Entry]) -> dict[str, list[tuple[str, Entry]]]:
    """By first character, longest first."""
    table: dict[str, list[tuple[str, Entry]]] = {}
    for key, entry in sorted(entries.items(), key=lambda item: -len(item[0])):
        table.setdefault(key[0], []).append((key, entry))
    return table


def _longest(table: dict[str, list[tuple[str, Entry]]], folded: str, start: int) -> Entry | None:
    for key, entry in table.get(folded[start], ()):
        if folded.startswith(key, start) and _stands_alone(key, folded, start):
            return entry
    return None


def _stands_alone(key: str, folded: str, start: int) -> bool:
    """Latin entries are words, not parts of words: `Python` does not apply in `Pythonic`."""
    end = start + len(key)
    inside_before = start > 0 and _is_latin(key[0]) and _is_latin(folded[start - 1])
    inside_after = end < len(folded) and _is_latin(key[-1]) and _is_latin(folded[end])
    return not inside_before and not inside_after


def _is_latin(char: str) -> bool:
    return char.isascii() and char.isalpha()


def markup(text: str) -> list[tuple[Match, int]]:
    """Inline readings: `重[chóng]庆`, `乐高[lè gāo]`. A bracket with n syllables reads the n hanzi before it.

    With slashes it reads the Latin word before it, in IPA or in pinyin: `Metformin[/mɛtˈfɔɹmɪn/]`, `LEGO[/lè gāo/]`.
    Brackets that hold anything else are left alone.

    Returns:
        What is forced, and where its bracket ends.
    """
    found = []
    for match in _BRACKET.finditer(text):
        syllables = [numbered(part) for part in match[1].split()]
        start, end = match.start() - len(syllables), match.start()
        if all(syllables) and 0 <= start < end and _ALL_HANZI.fullmatch(text, start, end) and HAS_TONE.search(match[1]):
            found.append((Match(start, end, Entry(text[start:end], tuple(syllables)), "markup"), match.end()))
    for match in _SLASHES.finditer(text):
        syllables = [numbered(part) for part in match[2].split()]
        if all(syllables) and HAS_TONE.search(match[2]):
            entry = Entry(match[1], tuple(syllables))
        elif kokoro_letters(match[2]):
            entry = Entry(match[1], phones=match[2])
        else:
            continue
        found.append((Match(*match.span(1), entry, "markup"), match.end()))
    return sorted(found, key=lambda one: one[0].start)


@lru_cache(maxsize=1)
def default_lexicon() -> Lexicon:
    """The first dictionary file that there is, at every moment anew; empty when there is none.

    They are looked for in `$GLM_TTS_CONFIGS`, in ./configs, in the user's folder for settings, and beside the package.
    """
    return Lexicon(path=_first_dictionary)


def own_dictionary() -> Path:
    """The dictionary file that is the user's to edit, there or not: what is saved in it is what is heard.

    That is the one that is read, but never the packaged one, which the next upgrade replaces.
    """
    read = _first_dictionary()
    if read is not None and (read.parent != _BESIDE or (_BESIDE.parent / "pyproject.toml").is_file()):
        return read
    if os.environ.get("GLM_TTS_CONFIGS") or Path("configs").is_dir():
        return next(own_folders()).absolute() / FILE_NAME
    return user_folder() / FILE_NAME


_BESIDE = Path(__file__).absolute().parents[1] / "configs"
"""Beside the package: what came with it, or, in a checkout, what belongs to whoever works there."""


def _first_dictionary() -> Path | None:
    folders = (*own_folders(), user_folder(), _BESIDE)
    return next((path for folder in folders if (path := folder.absolute() / FILE_NAME).is_file()), None)
