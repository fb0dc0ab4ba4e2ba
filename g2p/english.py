"""English words to IPA, through the espeak-ng library that comes inside a package."""

from __future__ import annotations

import ctypes
import threading
from functools import lru_cache

_RETRIEVAL, _UTF8 = 2, 1  # espeak_AUDIO_OUTPUT and espeakCHARS_UTF8 of speak_lib.h
_IPA_WITH_TIES = 0x02 | 0x80 | ord("^") << 8
_lock = threading.Lock()  # the C library keeps its voice and its scratch buffer in globals


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

    The phrase is read as one, so that articles and prepositions are weak; where espeak joins words (`of the`) each is read alone.

    Args:
        words: English words, in order; a single capital letter is its name.
    """
    together = _speak(" ".join(words))
    if len(together) == len(words):
        return tuple(together)
    return tuple("".join(_speak(word)) for word in words)
