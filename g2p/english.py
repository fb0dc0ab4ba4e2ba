"""English words: their pieces, and their IPA through the espeak-ng library that comes inside a package."""

from __future__ import annotations

import ctypes
import re
import threading
from functools import lru_cache

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
# Names whose spelling misleads espeak-ng; words apart by spaces, single capitals are letters.
_RESPELT = {
    "wifi": "why fie", "hifi": "high fie", "ios": "I O S", "macos": "mac O S", "iphone": "I phone", "ipad": "I pad",
    "ipod": "I pod",
    "imac": "I mac", "ebay": "E bay", "github": "git hub", "gitlab": "git lab", "youtube": "you tube",
    "openai": "open A I", "chatgpt": "chat G P T",
    "mysql": "my S Q L", "postgresql": "postgres Q L", "nginx": "engine X", "pytorch": "pie torch",
    "numpy": "num pie", "pypi": "pie P I",
    "scipy": "sigh pie", "vscode": "V S code", "javascript": "java script", "typescript": "type script",
    "whatsapp": "what's app",
    "facebook": "face book", "paypal": "pay pal", "qwen": "chwen", "deepseek": "deep seek", "huawei": "hwah way",
    "xiaomi": "shao me",
    "tiktok": "tick tock", "bilibili": "billy billy", "kubernetes": "cooper netties", "redis": "reddis",
    "sqlite": "S Q lite", "oauth": "O auth",
    "webrtc": "web R T C", "latex": "lay tech", "api": "A P I", "url": "U R L", "pdf": "P D F", "cpu": "C P U",
    "gpu": "G P U", "vip": "V I P",
    "ceo": "C E O", "usb": "U S B", "html": "H T M L", "css": "C S S", "http": "H T T P", "https": "H T T P S",
    "sql": "S Q L", "xml": "X M L",
    "tts": "T T S", "asr": "A S R", "llm": "L L M", "ppt": "P P T", "dna": "D N A", "rna": "R N A", "gdp": "G D P",
    "cpi": "C P I", "ktv": "K T V",
    "km": "K M", "kg": "K G", "gpt": "G P T", "mp": "M P", "db": "D B", "id": "I D", "tv": "T V", "pc": "P C",
    "diy": "D I Y", "ai": "A I", "ui": "U I",
    "vpn": "V P N", "ip": "I P", "app": "app", "vs": "versus", "etc": "et cetera", "mr": "mister", "mrs": "missus",
    "dr": "doctor",
}  # fmt: skip
_CAMEL = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z]|(?![A-Za-z]))|[A-Z]+(?![a-z])|[A-Z]?[a-zÀ-ɏ]+|[A-ZÀ-ɏ]+|[À-ɏ]+")
_WORD = re.compile("(?P<body>.+?)(?P<suffix>(?:['’][A-Za-z]+)*)")
_VOWEL = re.compile("[aeiouyAEIOUYÀ-ɏ]")


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
    if respelt := _RESPELT.get(body.lower()):
        return _with_suffix([(part, 0, len(body)) for part in respelt.split()], suffix, len(written))
    if body.endswith("s") and body[:-1].isupper() and len(body) > 2 and not suffix:
        body, suffix = body[:-1], "'s"
    parts: list[tuple[str, int, int]] = []
    humps = [match.span() for match in _CAMEL.finditer(body)] or [(0, len(body))]
    for start, end in humps:
        parts += _hump(body[start:end], start, len(humps) > 1)
    return _with_suffix(parts, suffix, len(written))


def _hump(text: str, start: int, in_camel: bool) -> list[tuple[str, int, int]]:
    end = start + len(text)
    if in_camel and (respelt := _RESPELT.get(text.lower())):
        return [(part, start, end) for part in respelt.split()]
    if text.isupper() and len(text) > 1 and text not in _SAID_ACRONYMS and (len(text) <= 5 or not _VOWEL.search(text)):
        return [(letter, start + i, start + i + 1) for i, letter in enumerate(text)]
    if (
        len(text) > 1
        and not _VOWEL.search(text)
        and len(text) <= 5
        and text.lower() not in ("hmm", "shh", "pst", "brr")
    ):
        return [(letter.upper(), start + i, start + i + 1) for i, letter in enumerate(text)]
    return [(text if len(text) == 1 else text.lower() if text.isupper() else text, start, end)]


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
    """IPA for each word of a phrase, American English.

    The phrase is read as one, so that articles and prepositions are weak; where espeak-ng joins or splits words, each
    is read alone.

    Args:
        words: English words, in order; a single capital letter is its name.
    """
    spoken = [""] * len(words)
    phrase: list[int] = []
    for i in range(len(words) + 1):
        if i < len(words) and not _is_letter(words, i):
            phrase.append(i)
            continue
        together = _speak(" ".join(words[k] for k in phrase)) if len(phrase) > 1 else []
        for n, k in enumerate(phrase):
            spoken[k] = together[n] if len(together) == len(phrase) else "".join(_speak(words[k]))
        phrase = []
        if i < len(words):
            spoken[i] = "".join(_speak(words[i]))
    return tuple(spoken)


def _is_letter(words: tuple[str, ...], i: int) -> bool:
    """Whether this is the name of a letter, not the article or the pronoun of a phrase."""
    if not re.fullmatch("[A-Z](?:'s)?", words[i]):
        return False
    following = words[i + 1] if i + 1 < len(words) else ""
    return words[i] not in ("A", "I") or len(following) < 2 or not following.islower()
