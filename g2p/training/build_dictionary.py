"""Build `g2p/data/dictionary.npz`: what is known about characters and words.

Sources, all ordinary packages (versions in the file's `sources` entry):

- pypinyin (MIT): 47,000 checked phrases and 41,000 characters.
- pypinyin-dict (MIT): `large_pinyin`, 411,000 phrases; `cc_cedict` and `zdic_cibs` only vote where phrases disagree.
- @pinyin-pro/data (npm, ISC): readings of jieba's 349,000 words, `json/complete.json`.
- jieba (MIT): word frequencies and parts of speech.
- g2pM (Apache-2.0): the candidate readings of 10,752 characters, in the order its classes use.
- wetext (Apache-2.0): traditional to simplified.
- `data/neutral.txt`: words whose last syllable is neutral, which dictionaries print now so, now so.
- `data/words.txt`: words of our own, which win over everything.

Run: `npm pack @pinyin-pro/data && tar xf pinyin-pro-data-*.tgz`, then
`python -m g2p.training.build_dictionary package/json/complete.json`, a minute. Needs the packages above.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import pickle
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from g2p.mandarin import numbered
from g2p.polyphones.dictionary import EDITED, HAND_WRITTEN, MAX_WORD, NEUTRAL, UNSTATED, hash_words

OUTPUT = Path(__file__).parent.parent / "data" / "dictionary.npz"
HAND_WRITTEN_WORDS = OUTPUT.with_name("words.txt")
NEUTRAL_WORDS = OUTPUT.with_name("neutral.txt")
_HAND_WRITTEN_COUNT = 300  # of 60 million: common enough to be kept whole
_WEIGHTS = {"pinyin_pro": 4.0, "cc_cedict": 3.0, "pypinyin": 2.0, "zdic_cibs": 1.5, "large_pinyin": 1.0}
_NEVER_LIGHT = frozenset("是上里在")  # but in the words of neutral.txt: lists differ, speech gives them their tone
_NUMERALS = frozenset("零一二三四五六七八九十百千万亿两半几")
_HANZI = re.compile(r"[㐀-䶿一-鿿]+")


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pinyin_pro", type=Path, help="complete.json of @pinyin-pro/data")
    phrases = json.loads(parser.parse_args().pinyin_pro.read_text(encoding="utf-8"))
    candidates, modelled = _characters()
    words = _words(candidates, {word: pinyin for word, (pinyin, _) in phrases.items()})
    frequency, total, tags = _frequencies()
    _lighten(words, candidates, frequency, total)
    for word, readings in _hand_written():
        for char, reading in zip(word, readings, strict=True):
            if _stated(candidates[char], reading) == UNSTATED and reading not in candidates[char]:
                candidates[char].append(reading)
        words[word] = _pack(word, readings, candidates), HAND_WRITTEN
        frequency[word] = max(frequency.get(word, 0), _HAND_WRITTEN_COUNT)
    syllables = sorted({reading for readings in candidates.values() for reading in readings})
    index = {syllable: i for i, syllable in enumerate(syllables)}
    chars = sorted(candidates)
    packed = sorted((hash_words(word), word) for word in words.keys() | frequency.keys() if 2 <= len(word) <= MAX_WORD)
    simple = _simplified()
    np.savez(
        OUTPUT,
        sources=np.array(
            [f"{name} {version(name)}" for name in ("pypinyin", "pypinyin-dict", "jieba", "g2pM", "wetext")]
        ),
        syllables=np.array(syllables),
        chars=np.array([ord(char) for char in chars], np.uint32),
        offsets=np.cumsum([0, *(len(candidates[char]) for char in chars)]).astype(np.uint32),
        readings=np.array([index[reading] for char in chars for reading in candidates[char]], np.uint16),
        modelled=np.array([char in modelled for char in chars]),
        char_cost=np.array([_cost(frequency.get(char, 0), total) for char in chars], np.uint8),
        word_hashes=np.array([key for key, _ in packed], np.uint64),
        word_readings=np.array([words.get(word, (0xFFFFFFFF, 0))[0] for _, word in packed], np.uint32),
        word_trust=np.array([words.get(word, (0, 0))[1] for _, word in packed], np.uint8),
        word_cost=np.array([_cost(frequency.get(word, 0), total) for _, word in packed], np.uint8),
        char_tag=np.array([ord(tags.get(char, "x")[0]) for char in chars], np.uint8),
        word_tag=np.array([ord(tags.get(word, "x")[0]) for _, word in packed], np.uint8),
        traditional=np.array("".join(simple)),
        simplified=np.array("".join(simple.values())),
    )
    print(f"{len(chars)} characters, {len(packed)} words, {OUTPUT.stat().st_size / 1e6:.1f} MB")


def _characters() -> tuple[dict[str, list[str]], set[str]]:
    """Candidate readings of every character, and the polyphones that the model knows."""
    import g2pM
    from pypinyin.pinyin_dict import pinyin_dict

    with (Path(g2pM.__file__).parent / "digest_cedict.pkl").open("rb") as file:
        cedict = {char: [_plain(reading) for reading in readings] for char, readings in pickle.load(file).items()}
    candidates: dict[str, list[str]] = {}
    for code, joined in pinyin_dict.items():
        readings = [_numbered(reading) for reading in joined.split(",")]
        known = [reading for reading in cedict.get(chr(code), []) if numbered(reading) == reading]
        if known and len(known) < 2:
            # A character CC-CEDICT gives one reading keeps it as the default; others are reachable from phrases.
            readings = known + readings
        elif known:
            readings = known
        candidates[chr(code)] = list(dict.fromkeys(r for r in readings if numbered(r) == r))[: NEUTRAL - 1]
    return candidates, {char for char, readings in cedict.items() if len(readings) > 1}


def _words(candidates: dict[str, list[str]], pinyin_pro: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Word -> reading index of each character, and trust (1: sources disagree, 2: agree, 3: an edited one too)."""
    from pypinyin.phrases_dict import phrases_dict

    sources = {"pypinyin": phrases_dict, "pinyin_pro": {w: [[r] for r in p.split()] for w, p in pinyin_pro.items()}}
    for name in ("large_pinyin", "cc_cedict", "zdic_cibs"):
        sources[name] = importlib.import_module(f"pypinyin_dict.phrase_pinyin_data.{name}").phrases_dict
    words: dict[str, tuple[int, int]] = {}
    for word in sources["large_pinyin"].keys() | sources["pypinyin"].keys() | sources["pinyin_pro"].keys():
        if not 2 <= len(word) <= MAX_WORD or not _HANZI.fullmatch(word) or _NUMERALS.issuperset(word[:-1]):
            continue
        votes: list[Counter[str]] = [Counter() for _ in word]
        for name, phrases in sources.items():
            if len(phrases.get(word, ())) != len(word):
                continue
            for position, (char, readings) in enumerate(zip(word, phrases[word], strict=True)):
                reading = _citation(char, _numbered(readings[0]))
                if reading.endswith("5") and char in _NEVER_LIGHT:
                    reading = candidates[char][0]
                votes[position][reading] += _WEIGHTS[name]  # type: ignore[assignment]
        if not votes[0]:
            continue
        told = [count.most_common(1)[0] for count in votes]
        margin = min(weight / (count.total() - weight + 1e-9) for (_, weight), count in zip(told, votes, strict=True))
        edited = any(word in sources[name] for name in ("cc_cedict", "pypinyin"))
        trust = 1 if margin < 1.5 else 3 if edited else 2
        words[word] = _pack(word, [reading for reading, _ in told], candidates), trust
    return words


def _lighten(
    words: dict[str, tuple[int, int]], candidates: dict[str, list[str]], frequency: dict[str, int], total: int
) -> None:
    """Give the words of `data/neutral.txt`, and longer ones that end in one, their neutral tone.

    They count as frequent enough to be cut whole where nothing else asks for their characters (自在, 难为).
    """
    lines = [line for line in NEUTRAL_WORDS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    light = {word for line in lines if line[:1] not in ("=", "+") for word in line.split()}
    twice = {word for line in lines if line.startswith("+") for word in line.split()[1:]}
    alone = {word for line in lines if line.startswith("=") for word in line.split()[1:]}
    for word in light | alone | twice:
        packed, _ = words.get(word, (0xFFFFFFFF, 0))
        words[word] = _neutral_last(word, packed, candidates), EDITED
        if word not in alone:
            apart = total * math.prod(max(1, frequency.get(char, 0)) / total for char in word)
            frequency[word] = max(frequency.get(word, 0), math.ceil(1.3 * apart))
    for word, (packed, trust) in list(words.items()):
        if word[:2] in twice and len(word) == 3:  # not 说说笑笑, 比比皆是
            rest = packed & ~0xFF
            words[word] = rest | words[word[:2]][0] & 0xFF, trust
        ending = next((word[-size:] for size in (3, 2) if len(word) > size and word[-size:] in light), None)
        if ending and word not in light:
            words[word] = _neutral_last(word, packed, candidates), trust


def _neutral_last(word: str, packed: int, candidates: dict[str, list[str]]) -> int:
    last, place = word[-1], 4 * (len(word) - 1)
    neutral = next((i for i, r in enumerate(candidates[last]) if r.endswith("5")), NEUTRAL)
    return packed & ~(15 << place) | neutral << place


def _hand_written() -> Iterator[tuple[str, list[str]]]:
    for line in HAND_WRITTEN_WORDS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            word, *readings = line.split()
            yield word, readings


def _pack(word: str, readings: Sequence[str], candidates: dict[str, list[str]]) -> int:
    packed = 0
    for position in range(MAX_WORD):
        stated = _stated(candidates[word[position]], readings[position]) if position < len(word) else UNSTATED
        packed |= stated << 4 * position
    return packed


def _stated(candidates: list[str], reading: str) -> int:
    if reading in candidates:
        return candidates.index(reading) if len(candidates) > 1 else UNSTATED
    if reading == candidates[0][:-1] + "5":
        return NEUTRAL
    return UNSTATED


def _citation(char: str, reading: str) -> str:
    """Phrase lists write 一 and 不 after sandhi; the dictionary form is wanted."""
    return {"一": "yi1", "不": "bu4"}.get(char, reading)


@cache
def _numbered(reading: str) -> str:
    from pypinyin.contrib.tone_convert import to_tone3

    return _plain(to_tone3(reading, neutral_tone_with_five=True, v_to_u=False))


def _plain(reading: str) -> str:
    return {"r5": "er5"}.get(reading, reading.replace("u:", "v").replace("ü", "v"))


def _frequencies() -> tuple[dict[str, int], int, dict[str, str]]:
    """Counts in jieba's corpus, their sum, and the part of speech of each word."""
    import jieba

    jieba.setLogLevel(60)
    jieba.initialize()
    counts = {w: n for w, n in jieba.dt.FREQ.items() if n and len(w) <= MAX_WORD and _HANZI.fullmatch(w)}
    entries = (line.split(" ") for line in (Path(jieba.__file__).parent / "dict.txt").read_text("utf-8").splitlines())
    return counts, jieba.dt.total, {word: tag for word, _, tag in entries if word in counts}


def _cost(count: int, total: int) -> int:
    """Negative log probability in eighths of a nat; 255: not a word."""
    return min(254, round(8 * math.log(total / count))) if count else 255


def _simplified() -> dict[str, str]:
    from wetext.constants import FSTS

    convert = FSTS["preprocess"]["traditional_to_simple"].normalize
    pairs = {chr(code): convert(chr(code)) for code in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000))}
    pairs["閤"] = "阁"  # 閤門, and no 合
    return {old: new for old, new in pairs.items() if old != new and len(new) == 1}


if __name__ == "__main__":
    main()
