"""The voices that come with the embedded engine: all 54 of Kokoro-82M v1.0, and who of them is offered first.

A voice's own name tells language and sex: `zf_` Mandarin, female; `am_` American, male; `b` British, `e` Spanish, `f`
French, `h` Hindi, `i` Italian, `j` Japanese, `p` Portuguese. Whoever it was recorded from, each speaks Mandarin and
English here, its own language without an accent and the others with one. The other languages cannot be read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tts_service.engine import Voice

if TYPE_CHECKING:
    from tts_service.kokoro.voice import KokoroVoice, Normalisation

TABLES = Path(__file__).with_name("voices.npz")
"""Made by `tts_service.kokoro.training.pack_voices`."""


@dataclass(frozen=True, slots=True)
class Role:
    """A voice that is offered."""

    name: str
    """Ours."""
    table: str
    """The model's own."""
    description: str
    """As in `Voice`."""


CAST = (
    Role("lian", "zf_xiaobei", "莲 · 女声，母语普通话 / Lian · female, native Mandarin"),
    Role("bai", "zm_yunjian", "柏 · 低沉的男声，母语普通话 / Bai · low, male, native Mandarin"),
    Role("tao", "zf_xiaoyi", "桃 · 高音女声，母语普通话 / Tao · high, female, native Mandarin"),
    Role("feng", "zm_yunxi", "枫 · 男声，母语普通话 / Feng · male, native Mandarin"),
    Role("rose", "af_heart", "玫瑰 · 女声，母语美式英语 / Rose · female, native American English"),
    Role("rowan", "am_michael", "花楸 · 男声，母语美式英语 / Rowan · male, native American English"),
    Role("ivy", "af_bella", "常春藤 · 女声，母语美式英语 / Ivy · female, native American English"),
    Role("hazel", "bf_emma", "榛 · 女声，母语英式英语 / Hazel · female, native British English"),
)
"""The cast, chosen by measurement (`python -m tests.benchmarks.voices`). The first is the default, and the first of a
language is that language's."""
FORMER = {"mei": "jf_gongitsune", "lan": "jf_alpha", "zhu": "jf_nezumi", "ju": "jf_tebukuro", "song": "jm_kumo"}
"""Names under which Japanese speakers were offered before there were native ones; they keep their sound."""
ENGLISH = {"f": "af_heart", "m": "am_michael"}
"""On whom native speakers of Mandarin lean for an English word, by sex."""
_LANGUAGES = {
    "a": ("美式英语", "American English"),
    "b": ("英式英语", "British English"),
    "e": ("西班牙语", "Spanish"),
    "f": ("法语", "French"),
    "h": ("印地语", "Hindi"),
    "i": ("意大利语", "Italian"),
    "j": ("日语", "Japanese"),
    "p": ("葡萄牙语", "Portuguese"),
    "z": ("普通话", "Mandarin"),
}
_SEXES = {"f": ("女声", "female"), "m": ("男声", "male")}


def packaged_voices() -> list[Voice]:
    """Everybody: the cast, then, unlisted, the former names and all 54 under their own."""
    cast = [Voice(role.name, description=role.description, native=native(role.table)) for role in CAST]
    others = [*FORMER.items(), *((name, name) for name in table_names())]
    return cast + [
        Voice(name, description=_description(name, table), native=native(table), listed=False) for name, table in others
    ]


def native(table: str) -> str:
    """The mother tongue of the speaker as far as it can be read here: `zh`, `en` or nothing."""
    return {"z": "zh", "a": "en", "b": "en"}.get(table[0], "")


def table_names() -> tuple[str, ...]:
    """The model's own names of its voices."""
    return tuple(_tables())


@lru_cache(maxsize=64)
def style_table(name: str) -> NDArray[np.float32]:
    """The style table [510, 256] of that name: row n - 1 serves an utterance of n symbols."""
    mean, directions, rows = _tables()[name]
    table = rows.astype(np.float32) @ directions.astype(np.float32) + mean
    table.flags.writeable = False
    return table


def english_model(table: str) -> KokoroVoice | None:
    """On whom the voice of that table leans for English words inside Mandarin; None for all but its native speakers."""
    return _spoken(ENGLISH[table[1]]) if native(table) == "zh" else None


class Packaged(Mapping[str, "KokoroVoice"]):
    """The packaged voices as they are spoken with, by any of their names; each is made when it is first asked for."""

    def __init__(self) -> None:
        self._tables = {role.name: role.table for role in CAST} | FORMER | {name: name for name in table_names()}

    def __getitem__(self, name: str) -> KokoroVoice:
        return _spoken(self._tables[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)


def _description(name: str, table: str) -> str:
    (zh, en), (person, sex) = _LANGUAGES[table[0]], _SEXES[table[1]]
    return f"{name} · {person}，母语{zh} / {name} · {sex}, native {en}"


@lru_cache(maxsize=64)
def _spoken(table: str) -> KokoroVoice:
    from tts_service.kokoro.voice import KokoroVoice

    return KokoroVoice(style_table(table), _normalisations()[table], english=english_model(table))


@lru_cache(maxsize=1)
def _normalisations() -> dict[str, Normalisation]:
    from tts_service.kokoro.forecast import NORMALISATION
    from tts_service.kokoro.voice import unpacked

    with np.load(NORMALISATION) as arrays:
        return unpacked(arrays)


@lru_cache(maxsize=1)
def _tables() -> dict[str, tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float16]]]:
    with np.load(TABLES) as arrays:
        columns = (arrays[name] for name in ("names", "means", "directions", "rows"))
        return {str(name): (mean, directions, rows) for name, mean, directions, rows in zip(*columns, strict=True)}
