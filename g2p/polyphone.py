"""Which reading a hanzi has here."""

from __future__ import annotations


def read(run: str) -> tuple[list[str], list[int], list[str]]:
    """Dictionary readings, word indices and reasons for a run of hanzi.

    Args:
        run: Hanzi only.
    """
    from pypinyin import Style, lazy_pinyin
    from pypinyin.contrib.mmseg import seg

    base, words, sources = [], [], []
    for number, word in enumerate(seg.cut(run)):
        syllables = lazy_pinyin(
            word, style=Style.TONE3, neutral_tone_with_five=True, v_to_u=False, errors=lambda unknown: [""] * len(unknown)
        )
        base += syllables
        words += [number] * len(word)
        sources += ["phrase" if len(word) > 1 else "default"] * len(word)
    return base, words, sources
