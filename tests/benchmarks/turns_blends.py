"""Blends of two embedded voices: throats that nobody has, for the bench of turn-taking to learn from."""

from __future__ import annotations

import numpy as np

from tts_service.kokoro.cast import Packaged
from tts_service.kokoro.voice import KokoroVoice, Normalisation


class Blends(Packaged):
    """The packaged voices, and blends of two: `zf_xiaobei+af_bella@0.7`."""

    def __getitem__(self, name: str) -> KokoroVoice:
        if "+" not in name:
            return super().__getitem__(name)
        parts = components(name)
        one, other = (super(Blends, self).__getitem__(part) for part in parts)
        share = float(name.partition("@")[2])
        sides = ((one.normalisation, other.normalisation), (share, 1 - share))
        statistics, summary = (
            sum(weight * getattr(side, field) for side, weight in zip(*sides, strict=True))
            for field in ("statistics", "summary")
        )
        gain = float(np.exp(share * np.log(one.normalisation.gain) + (1 - share) * np.log(other.normalisation.gain)))
        styles = share * one.styles + (1 - share) * other.styles
        return KokoroVoice(styles, Normalisation(statistics, summary, gain), english=one.english)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and all(super(Blends, self).__contains__(part) for part in components(name))


def components(voice: str) -> list[str]:
    """Of whom a voice consists."""
    return voice.partition("@")[0].split("+")
