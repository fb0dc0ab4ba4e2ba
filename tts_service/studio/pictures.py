"""What the studio shows of speech: pinyin over the text, a spectrogram, numbers."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pypinyin.contrib.tone_convert import tone3_to_tone

import g2p
from pipecat_glm_tts.wording import tr
from tts_service.speech.utterance import Report

MAX_RUBY = 2000
"""Characters of a text that pinyin is shown for."""
# Dark to bright: ink, indigo, cinnabar, gold, paper.
_COLOURS = np.array([[18, 20, 33], [52, 60, 120], [190, 74, 62], [240, 176, 80], [255, 250, 235]], np.float32)


def ruby(text: str, lexicon: g2p.Lexicon | None = None) -> str:
    """HTML of a text with its pinyin, as spoken, over every hanzi and over numbers that are read as hanzi."""
    shown = text[:MAX_RUBY]
    pronunciation = g2p.analyze(shown, lexicon=lexicon)
    readings: dict[tuple[int, int], list[str]] = {}
    for token in pronunciation.tokens:
        if token.kind == "hanzi" and token.reading:
            erhua = "r" if token.reading.endswith("r") and token.reading[-2:-1].isdigit() else ""
            syllable = tone3_to_tone(token.reading.removesuffix(erhua).replace("5", "").replace("v", "ü")) + erhua
            readings.setdefault((token.start, token.end), []).append(syllable)
    pieces, position = [], 0
    for (start, end), syllables in readings.items():
        if start < position:
            continue
        pieces.append(escape(shown[position:start]))
        pieces.append(f"<ruby>{escape(shown[start:end])}<rt>{escape(' '.join(syllables))}</rt></ruby>")
        position = end
    pieces.append(escape(shown[position:]))
    more = " …" if len(text) > MAX_RUBY else ""
    return f'<div class="ruby" lang="zh">{"".join(pieces)}{more}</div>'.replace("\n", "<br>")


def mel_picture(samples: NDArray[np.float32], rate: int, width: int = 900) -> Image.Image:
    """Spectrogram with a mel-like frequency axis, low frequencies at the bottom.

    Args:
        samples: [n].
        rate: Hz.
        width: Pixels.
    """
    size, rows = 1024, 160
    starts = np.linspace(0, max(1, len(samples) - size), width).astype(int)
    padded = np.pad(samples, (0, size))
    frames = np.stack([padded[start : start + size] for start in starts]) * np.hanning(size)
    power = 10 * np.log10(np.abs(np.fft.rfft(frames)) ** 2 + 1e-7)
    mel = np.linspace(0, 1127 * np.log(1 + rate / 2 / 700), rows)
    hertz = 700 * (np.exp(mel / 1127) - 1)
    image = power[:, np.minimum((hertz / (rate / size)).astype(int), size // 2)].T[::-1]
    level = np.clip((image - image.max() + 80) / 80, 0, 1) * (len(_COLOURS) - 1)
    low = np.minimum(level.astype(int), len(_COLOURS) - 2)
    colour = _COLOURS[low] + (level - low)[..., None] * (_COLOURS[low + 1] - _COLOURS[low])
    return Image.fromarray(colour.astype(np.uint8))


def numbers(report: Report, engine: str) -> str:
    """First audio, length and real-time factor, as Markdown."""
    first = "–" if report.first_audio is None else f"{report.first_audio:.2f} s"
    factor = "–" if report.real_time_factor is None else f"{report.real_time_factor:.2f}"
    return (
        tr(
            "First audio **{first}** · length **{length:.1f} s** · RTF **{factor}**",
            first=first,
            length=report.audio,
            factor=factor,
        )
        + f" · {engine} / {report.voice}"
    )
