"""A pronunciation written out for the language model."""

from __future__ import annotations

from g2p.pronunciation import Pronunciation

_MARKS = {"、": "，", "；": "，", "：": "，", "…": "。", "—": "，", "！": "。", "\n": "。"}
"""The training texts know commas, full stops and question marks."""


def written(pronunciation: Pronunciation) -> str:
    """Normalised text: hanzi, lower-case English words apart, one mark where several meet, a mark at the end."""
    text = ""
    for token in pronunciation.tokens:
        if token.kind == "pause":
            text = text.rstrip("，。？") + _MARKS.get(token.text, token.text) if text else ""
        elif token.kind == "english":
            text += (" " if text and text[-1].isascii() else "") + token.text.lower()
        else:
            text += token.text
    return text if text.endswith(("。", "？")) else text.rstrip("，") + "。"
