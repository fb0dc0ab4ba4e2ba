"""English words: their pieces, and their sounds.

Names are in `data/names.tsv`; words in the pronouncing dictionary, those written alike and said differently told apart
by `heteronyms`; what neither has is read by the espeak-ng library that comes inside a package.
"""

from __future__ import annotations

import ctypes
import re
import threading
from functools import lru_cache

from g2p import heteronyms, pronouncing
from g2p.normalization.units import rows

_RETRIEVAL, _UTF8 = 2, 1  # espeak_AUDIO_OUTPUT and espeakCHARS_UTF8 of speak_lib.h
_IPA_WITH_TIES = 0x02 | 0x80 | ord("^") << 8
_lock = threading.Lock()  # the C library keeps its voice and its scratch buffer in globals

# Capitals that are said as a word. Other all-capital words of up to five letters are spelt.
_SAID_ACRONYMS = frozenset(
    (
        "NASA NATO UNESCO UNICEF OPEC ASEAN APEC LASER RADAR SONAR JPEG JSON GIF RAM ROM PIN SIM LAN WAN SAAS PAAS "
        "COVID AIDS SARS MERS TOEFL ASCII YAML TOML LATEX CAPTCHA RAID BIOS CMOS DOS NVIDIA ASUS IKEA LEGO SONY NIKE "
        "INTEL CUDA RAG LORA BERT ZARA DIOR GUCCI PRADA VANS FILA PUMA FIFA NAFTA SWOT OLED MIDI SIRI WIFI HIFI"
    ).split()
)
_SPELT_ACRONYMS = frozenset("ASAP IEEE ABCD AAAA IOSA MOOC IUCN".split())


@lru_cache(maxsize=1)
def _names() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name in small letters -> what is said in English, syllables in Chinese."""
    table = rows("names.tsv")
    return {row[0].lower(): (row[1], tuple(row[2].split()) if len(row) > 2 else ()) for row in table}


def chinese_name(written: str) -> tuple[str, ...]:
    """The syllables of a name that Chinese speakers say in Chinese: `Huawei` -> hua2, wei2; else none."""
    return _names().get(written.lower(), ("", ()))[1]


_CAMEL = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z]|(?![A-Za-z]))|[A-Z]+(?![a-z])|[A-Z]?[a-zÀ-ɏḀ-ỿ]+|[A-ZÀ-ɏḀ-ỿ]+|[À-ɏḀ-ỿ]+")
_WORD = re.compile("(?P<body>.+?)(?P<suffix>(?:['’][A-Za-z]+)*)")
_SYLLABLES = re.compile("(?:[B-DF-HJ-NP-TV-Z][AEIOUY]){2,}")
_VOWEL = re.compile("[aeiouyAEIOUYÀ-ɏḀ-ỿ]")


@lru_cache(maxsize=8192)
def pieces(written: str) -> tuple[tuple[str, int, int], ...]:
    """How a written word is said: letters of an acronym, humps of a camel, else the word itself.

    Args:
        written: Letters, perhaps with an apostrophe and what follows: `ChatGPT`, `APIs`, `NASA's`.

    Returns:
        Spoken words, each with its place in `written`. A letter of the alphabet is a capital: `APIs` -> A, P, I's.
    """
    body, suffix = _WORD.fullmatch(written).groups()  # type: ignore[union-attr]
    suffix = suffix.replace("’", "'")
    if suffix and _names().get(body.lower() + suffix):  # McDonald's
        body, suffix = body + suffix, ""
    if said := _names().get(body.lower(), ("", ()))[0]:
        parts = [body] if said.startswith("/") else said.split()
        return _with_suffix([(part, 0, len(body)) for part in parts], suffix, len(written))
    if not body[:-1].isupper() and _CAMEL.fullmatch(body) is None and pronouncing.forms(body):  # McDonald
        return ((body + suffix, 0, len(written)),)
    if body.endswith("s") and body[:-1].isupper() and len(body) > 2 and not suffix:
        body, suffix = body[:-1], "'s"
    pieces_: list[tuple[str, int, int]] = []
    humps = [match.span() for match in _CAMEL.finditer(body)] or [(0, len(body))]
    for start, end in humps:
        pieces_ += _hump(body[start:end], start, len(humps) > 1)
    return _with_suffix(pieces_, suffix, len(written))


def _hump(text: str, start: int, in_camel: bool) -> list[tuple[str, int, int]]:
    end = start + len(text)
    if in_camel and (said := _names().get(text.lower(), ("", ()))[0]):
        return [(part, start, end) for part in ([text] if said.startswith("/") else said.split())]
    if text.isupper() and len(text) > 1 and not _is_word_in_capitals(text):
        return [(letter, start + i, start + i + 1) for i, letter in enumerate(text)]
    if (
        len(text) > 1
        and not _VOWEL.search(text)
        and len(text) <= 5
        and text.lower() not in ("hmm", "shh", "pst", "brr")
    ):
        return [(letter.upper(), start + i, start + i + 1) for i, letter in enumerate(text)]
    return [(text if len(text) == 1 else text.lower() if text.isupper() else text, start, end)]


def _is_word_in_capitals(text: str) -> bool:
    """Whether capitals shout or name something that is said as a word (HELLO, NASA, NAYA), and are no letters apart."""
    if text in _SAID_ACRONYMS or (len(text) > 5 and _VOWEL.search(text)):
        return True
    if len(text) < 4 or text in _SPELT_ACRONYMS or not _VOWEL.search(text):
        return False
    return pronouncing.forms(text.lower()) is not None or _SYLLABLES.fullmatch(text) is not None


def _with_suffix(parts: list[tuple[str, int, int]], suffix: str, end: int) -> tuple[tuple[str, int, int], ...]:
    if suffix:
        last, start, _ = parts[-1]
        parts = [*parts[:-1], (last + suffix, start, end)]
    return tuple(parts)


@lru_cache(maxsize=1)
def _espeak() -> ctypes.CDLL:
    import espeakng_loader

    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    if library.espeak_Initialize(_RETRIEVAL, 0, str(espeakng_loader.get_data_path()).encode(), 0) < 0:
        raise RuntimeError("espeak-ng did not start; reinstall the package espeakng-loader")
    library.espeak_SetVoiceByName(b"en-us")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
    return library


def _speak(text: str) -> list[str]:
    """IPA of each word as espeak sees words; the two halves of an affricate or diphthong are tied with `^`."""
    with _lock:
        espeak = _espeak()
        cursor, spoken = ctypes.c_char_p(text.encode()), []
        while cursor.value is not None:
            phones = espeak.espeak_TextToPhonemes(ctypes.byref(cursor), _UTF8, _IPA_WITH_TIES)
            if phones:
                spoken += phones.decode().split()
    return spoken


@lru_cache(maxsize=4096)
def phones(words: tuple[str, ...]) -> tuple[str, ...]:
    """The sounds of each word of a phrase, American English: Kokoro's letters, or IPA where espeak-ng read it.

    Args:
        words: English words, in order; a single capital letter is its name.
    """
    spoken = [""] * len(words)
    for i in range(len(words) - 1, -1, -1):  # backwards, for articles go by the sound that follows
        following = spoken[i + 1] if i + 1 < len(words) else ""
        spoken[i] = "".join(_speak(words[i])) if _is_letter(words, i) else _word(words, i, following)
    return tuple(spoken)


def _word(words: tuple[str, ...], i: int, following: str) -> str:
    word = words[i].replace("’", "'")
    if weak := _weak(word.lower(), following):
        return weak
    said = _names().get(word.lower(), ("", ()))[0]
    if said.startswith("/"):
        return said.strip("/")
    if said := heteronyms.choose(words, i, pronouncing.forms(word)) or "":
        return said
    stem, apostrophe, ending = word.rpartition("'")
    if apostrophe and ending.lower() == "s" and len(stem) > 1:
        return _possessive(_word((stem,), 0, ""))
    return "".join(_speak(word)) or "".join(_speak(word.lower()))


def _weak(word: str, following: str) -> str:
    """Articles and `to` before a vowel and before a consonant."""
    vowel = bool(following) and following.lstrip("ˈˌ")[:1] in "aæɑɒəɛeɪiɔouʊʌɜɐAIOWYᵊᵻ"
    if word == "the":
        return "ði" if vowel else "ðə"
    if word == "to":
        return "tʊ" if vowel else "tə" if following else "tˈu"
    return {"a": "ɐ", "an": "ən"}.get(word, "") if following or word == "an" else ""


def _possessive(stem: str) -> str:
    if stem[-1:] in "szʃʒʧʤ":
        return stem + "ᵻz"
    return stem + ("s" if stem[-1:] in "ptkfθ" else "z")


def _is_letter(words: tuple[str, ...], i: int) -> bool:
    """Whether this is the name of a letter, not the article or the pronoun of a phrase."""
    if not re.fullmatch("[A-Z](?:'s)?", words[i]):
        return False
    if i and re.fullmatch("[A-Z]", words[i - 1]):  # U S A today
        return True
    following = words[i + 1] if i + 1 < len(words) else ""
    return words[i] not in ("A", "I") or len(following) < 2 or not following.islower()
