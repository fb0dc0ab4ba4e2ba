"""From mel to samples on their way to the host, for several utterances at once where the vocoder can."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tts_service.glm.device.fetch import Fetch
from tts_service.glm.vocoding.hift_graph import HiFTWindow
from tts_service.glm.vocoding.vocoder import Tempo, VocoderStream


@dataclass(frozen=True, slots=True)
class Sounding:
    """What makes one utterance heard."""

    tempo: Tempo
    vocoder: VocoderStream
    stream: torch.cuda.Stream | None
    """The vocoder's own, so that the next chunk of the flow need not wait for it; None on a CPU."""


def sounded(pieces: Sequence[tuple[Sounding, Tensor, bool]]) -> list[Fetch | Exception]:
    """Make the next mels [1, 80, n] of several utterances heard; True: it is an utterance's last.

    Returns:
        Samples of each, or what went wrong with it.
    """
    if not pieces:
        return []
    stream = pieces[0][0].stream
    if stream:
        stream.wait_stream(torch.cuda.current_stream(pieces[0][1].device))
        for _, mel, _ in pieces:
            mel.record_stream(stream)
    heard: list[Fetch | Exception] = [RuntimeError("nothing was made of it")] * len(pieces)
    with torch.cuda.stream(stream):
        together: list[tuple[int, tuple[HiFTWindow, Tensor, bool]]] = []
        for number, (one, mel, last) in enumerate(pieces):
            try:
                stretched = one.tempo.push(mel, last)
                if isinstance(one.vocoder, HiFTWindow) and stretched.shape[2] <= one.vocoder.room:
                    together.append((number, (one.vocoder, stretched, last)))
                else:
                    heard[number] = Fetch(one.vocoder.push(stretched, last))
            except Exception as error:
                heard[number] = error
        try:
            waves = HiFTWindow.push_all([push for _, push in together])
            for (number, _), wave in zip(together, waves, strict=True):
                heard[number] = Fetch(wave)
        except Exception as error:  # nobody can tell whose fault it is, and the windows have moved on
            for number, _ in together:
                heard[number] = error
    return heard
