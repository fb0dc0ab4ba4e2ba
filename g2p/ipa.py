"""IPA as people write it -> the letters in which Kokoro reads English."""

from __future__ import annotations

import re
import unicodedata

# Longest first, so that a diphthong is not taken for its parts.
_LETTERS = (
    ("əʊ", "O"), ("oʊ", "O"), ("eɪ", "A"), ("aɪ", "I"), ("ɑɪ", "I"), ("aʊ", "W"), ("ɑʊ", "W"), ("ɔɪ", "Y"),
    ("dʒ", "ʤ"), ("dʓ", "ʤ"), ("tʃ", "ʧ"), ("ɝ", "ɜɹ"), ("ɚ", "əɹ"), ("ɪə", "iə"), ("eə", "ɛ"),
    ("ʍ", "w"), ("ɫ", "l"), ("ɬ", "l"), ("r", "ɹ"), ("ɻ", "ɹ"), ("ʀ", "ɹ"), ("ʁ", "ɹ"), ("g", "ɡ"), ("x", "k"),
    ("χ", "k"), ("ç", "k"), ("ʔ", "t"), ("ɾ", "T"), ("ɐ", "ə"), ("ɘ", "ə"), ("ɵ", "ə"), ("ɒ", "ɑ"), ("a", "ɑ"),
    ("ɨ", "ɪ"), ("ʉ", "u"), ("y", "u"), ("ø", "ɜ"), ("œ", "ɜ"), ("e", "A"), ("o", "O"), ("ɱ", "m"), ("ɲ", "nj"),
    ("β", "v"), ("'", "ˈ"),
)  # fmt: skip
_KNOWN = frozenset("AIOWYbdfhijklmnpstuvwzæðŋɑɔəɛɜɡɪɹʃʊʌʒʤʧˈˌθTᵊ")
_SILENT = frozenset("ːˑ.ʰʲʷˠ͜͡‿ \u200b/[]")
"""Length, syllables, aspiration, ties: nothing that Kokoro tells apart."""


_STRESS = re.compile("([ˈˌ])([^ˈˌAIOWYiuæɑɔəɛɜɪʊʌᵊ]*)(?=[AIOWYiuæɑɔəɛɜɪʊʌᵊ])")
_VOWEL = re.compile("[AIOWYiuæɑɔɛɜɪʊʌ]")


def kokoro_letters(ipa: str) -> str | None:
    """What Kokoro reads for a word's IPA, American or British, with or without ties, stress and slashes.

    Args:
        ipa: Such as `mɛtˈfɔɹmɪn` or `/d͡ʒɪf/`.

    Returns:
        None if there is nothing in it, or a sign that no English sound has (a tone, say).
    """
    said = "".join(c for c in unicodedata.normalize("NFC", ipa) if c not in _SILENT)
    letters = ""
    while said:
        if said[1:2] == "\u0329":  # a syllabic consonant
            letters, said = letters + "ᵊ" + said[0], said[2:]
            continue
        for written, letter in _LETTERS:
            if said.startswith(written):
                letters, said = letters + letter, said[len(written) :]
                break
        else:
            if unicodedata.category(said[0]) != "Mn":  # marks of nasality and the like
                letters += said[0]
            said = said[1:]
    letters = _STRESS.sub(r"\2\1", letters)  # Kokoro's stands before the vowel
    if not any(mark in letters for mark in "ˈˌ"):
        letters = _VOWEL.sub(lambda vowel: f"ˈ{vowel[0]}", letters, count=1)
    return letters if letters.strip("ˈˌ") and _KNOWN.issuperset(letters) else None
