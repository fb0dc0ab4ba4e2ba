"""Does a voice speak tones? The model's own pitch curve of every syllable, told apart into the four tones.

A linear discriminant learns the curves of the native voices; the one that is judged is left out. What it learns from
and is asked about is the tone that is said: after sandhi, neutral syllables left out. A syllable's height is counted
from the speaker's own middle and in his own range; that it stands last, where the voice falls, is one of the features,
and so are its neighbours: where the pitch comes from and where it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g2p.encode.kokoro import Symbols, encode
from g2p.frontend import analyze
from g2p.pronunciation import Pronunciation
from tts_service.kokoro.cast import native, style_table, table_names
from tts_service.kokoro.rendering import Renderer, Rendering
from tts_service.kokoro.symbols import Piece
from tts_service.kokoro.voice import VOICED, style_row

POINTS = 8
"""Of a curve."""
SHRINKAGE = 0.05
"""Of the covariance towards a multiple of the identity."""
Curves = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Features [syllables, n] and tones 1 to 4 [syllables]."""


def curves(
    renderer: Renderer, table: NDArray[np.float32], texts: Sequence[str], each: Callable[..., Iterable] = map
) -> Curves:
    """The syllables of a voice with that style table [510, 256], as the front alone tells them; `each` is a `map`."""

    def said(text: str) -> tuple[Pronunciation, Symbols, Rendering]:
        pronunciation = analyze(text)
        symbols = encode(pronunciation)
        tokens = Piece(symbols.text, symbols.tokens).tokens()
        return pronunciation, symbols, renderer.prosody(tokens, style_row(table, len(tokens) - 2))

    found: list[tuple[list[float], int]] = []
    for pronunciation, symbols, spoken in each(said, texts):
        ends = 2 * np.cumsum(spoken.durations)[1:-1] - spoken.begin
        begins = np.concatenate([[2 * int(spoken.durations[0]) - spoken.begin], ends[:-1]])
        octaves = np.where(spoken.pitch > VOICED, np.log2(np.maximum(spoken.pitch, 1)), np.nan)
        hanzi = [i for i, token in enumerate(pronunciation.tokens) if token.kind == "hanzi"]
        spans = []
        for i in hanzi:
            own = [
                position
                for position, owner in enumerate(symbols.tokens)
                if owner == i and symbols.text[position] != " "
            ]
            curve = octaves[max(0, begins[own[0]]) : max(0, ends[own[-1]])]
            curve = curve[~np.isnan(curve)]
            spans.append(
                np.interp(np.linspace(0, len(curve) - 1, POINTS), range(len(curve)), curve) if len(curve) > 2 else None
            )
        for position, (i, span) in enumerate(zip(hanzi, spans, strict=True)):
            tone = int((pronunciation.tokens[i].reading or "5").rstrip("r")[-1])  # erhua stands behind it: na3r
            if span is None or tone == 5:
                continue
            before = spans[position - 1] if position else None
            after = spans[position + 1] if position + 1 < len(spans) else None
            last = i + 1 == len(pronunciation.tokens) or pronunciation.tokens[i + 1].kind == "pause"
            around = [before[-1] if before is not None else span[0], after[0] if after is not None else span[-1]]
            found.append(([*span, *around, float(last), float(position / len(hanzi))], tone))
    features = np.array([row for row, _ in found])
    heights = features[:, : POINTS + 2]
    low, middle, high = np.quantile(heights[:, :POINTS], [0.1, 0.5, 0.9])
    features[:, : POINTS + 2] = (heights - middle) / (high - low)
    return features, np.array([tone for _, tone in found])


class Teachers:
    """The native speakers, by whose syllables tones are told.

    Args:
        taught: Of each what `curves` found.
    """

    def __init__(self, taught: Mapping[str, Curves]) -> None:
        self._taught = dict(taught)

    @classmethod
    def heard(cls, renderer: Renderer, texts: Sequence[str]) -> Teachers:
        """Let them say something."""
        names = [name for name in table_names() if native(name) == "zh"]
        return cls({name: curves(renderer, style_table(name), texts) for name in names})

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray]) -> Teachers:
        """Out of what `arrays` gave."""
        names, owners = arrays["teachers"], arrays["teacher_of"]
        found = arrays["syllables"].astype(np.float64), arrays["tones"].astype(np.int64)
        return cls({str(name): (found[0][owners == i], found[1][owners == i]) for i, name in enumerate(names)})

    def arrays(self) -> dict[str, NDArray]:
        """As named arrays."""
        features, tones = zip(*self._taught.values(), strict=True)
        return {
            "teachers": np.array(list(self._taught)),
            "teacher_of": np.repeat(np.arange(len(tones), dtype=np.int8), list(map(len, tones))),
            "syllables": np.concatenate(features).astype(np.float16),
            "tones": np.concatenate(tones).astype(np.int8),
        }

    def clarity(self, name: str, syllables: Curves | None = None) -> float:
        """The share of syllables whose tone is rightly told by those teachers who are not called `name`.

        Args:
            name: Of the voice.
            syllables: What it said; None: what this teacher said.
        """
        features, tones = self._taught[name] if syllables is None else syllables
        others = [taught for teacher, taught in self._taught.items() if teacher != name]
        return float((_told(features, others) == tones).mean())


def _told(features: NDArray[np.float64], learnt: list[Curves]) -> NDArray[np.int64]:
    """Fisher's linear discriminant."""
    x, tones = np.concatenate([f for f, _ in learnt]), np.concatenate([t for _, t in learnt])
    means = np.stack([x[tones == tone].mean(axis=0) for tone in range(1, 5)])
    centred = x - means[tones - 1]
    covariance = centred.T @ centred / len(x)
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    solved = np.linalg.solve(covariance, means.T)
    prior = np.log(np.bincount(tones, minlength=5)[1:] / len(tones))
    return np.argmax(features @ solved - 0.5 * np.einsum("ij,ji->i", means, solved) + prior, axis=1) + 1
