"""Measuring a voice's normalisation constants, and the tool that made those of the packaged voices.

    python -m tts_service.kokoro.calibrate tts_service/kokoro/normalisation.npz

runs the stock model over sentences in both languages and writes the constants of the five voices. A voice with a new
style table needs one pass of `calibrate` and no file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from loguru import logger
from numpy.typing import NDArray

from g2p.encode.kokoro import encode
from g2p.frontend import analyze
from tts_service.engine import StopSignal
from tts_service.kokoro.derived import derive
from tts_service.kokoro.front_graph import ENERGY
from tts_service.kokoro.generator_graph import BLOCKS, GENERATOR
from tts_service.kokoro.model import cache_directory, model_file, style_tables
from tts_service.kokoro.network import StreamingNetwork, open_session, run, silent_share
from tts_service.kokoro.symbols import Piece
from tts_service.kokoro.voice import KokoroVoice, Normalisation, Styling, norms, style_row

SENTENCES = (
    "嗯。",
    "好的。",
    "没问题，马上来。",
    "今天下午三点，我们在火车站门口见面。",
    "科学家发现了一种新的材料，可以大大提高电池的寿命，还能减少污染。",
    "Sure.",
    "One moment, please.",
    "Hello, how can I help you today?",
    "Please turn left at the next corner and walk two blocks.",
    "Our meeting has been moved to Thursday, because the director is travelling.",
)
"""From one syllable to six seconds, so that the share of silence varies."""


def statistics_session(stock: Path, threads: int = 1) -> ort.InferenceSession:
    """The stock model with the mean and variance that every instance norm of the generator takes as further outputs."""
    model = onnx.load(stock)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in [ENERGY, *_statistics()])
    return open_session(model.SerializeToString(), threads)


def calibrate(
    session: ort.InferenceSession,
    network: StreamingNetwork,
    styles: NDArray[np.float32],
    sentences: Iterable[str] = SENTENCES,
) -> Normalisation:
    """Measure a voice: one pass over the sentences, half a minute on one core.

    Args:
        session: From `statistics_session`.
        network: Speaks the same sentences with the constants found, so that its level can be brought to the stock's.
        styles: The voice's style table, [rows, 256].
        sentences: What it says, in every language it is meant to speak and of very different lengths.
    """
    names = _statistics()
    said, shares, measured, audio = [], [], [], []
    for sentence in sentences:
        symbols = encode(analyze(sentence))
        tokens = Piece(symbols.text, symbols.tokens).tokens()
        feeds = {
            "tokens": tokens[None],
            "style": style_row(styles, len(tokens) - 2)[None],
            "speed": np.ones(1, np.float32),
        }
        samples, energy, *values = run(session, ["audio", ENERGY, *names], feeds, StopSignal())
        said.append(tokens)
        audio.append(samples)
        shares.append(silent_share(energy[0]))
        measured.append(
            [np.log(v.ravel()) if _is_variance(n) else v.ravel() for n, v in zip(names, values, strict=True)]
        )
    line = np.linalg.pinv(np.stack([np.ones(len(shares)), shares], axis=1))  # least squares, [2, sentences]
    fits = {name: line @ np.stack(column) for name, column in zip(names, zip(*measured, strict=True), strict=True)}
    means, variances = (
        [
            np.stack([fits[_name(stage, *norm, variance)] for norm in norms(stage)], axis=1).astype(np.float32)
            for stage in (0, 1)
        ]
        for variance in (False, True)
    )
    found = Normalisation((means[0], means[1]), (variances[0], variances[1]), (min(shares), max(shares)))
    voice = KokoroVoice(styles, found)
    utterances = [network.begin(tokens, voice, 1.0, StopSignal()) for tokens in said]
    ours = [utterance.samples(0, 2 * int(utterance.durations.sum()), StopSignal()) for utterance in utterances]
    # Short replies fit less well and would decide over the level of everything else.
    longer = sorted(range(len(audio)), key=lambda i: len(audio[i]))[len(audio) // 2 :]
    audio, ours = [audio[i] for i in longer], [ours[i] for i in longer]
    return replace(found, gain=float(10 ** ((_level(audio) - _level(ours)) / 20)))


def _level(recordings: list[NDArray[np.float32]]) -> float:
    """Root mean square of the stretches where somebody speaks, dB."""
    power = np.concatenate([np.square(r[: len(r) // 600 * 600].reshape(-1, 600)).mean(1) for r in recordings])
    return float(10 * np.log10(power[power > power.mean() * 0.1].mean()))


def _statistics() -> list[str]:
    names = (_name(stage, *norm, variance) for variance in (False, True) for stage in (0, 1) for norm in norms(stage))
    return list(dict.fromkeys(names))


def _name(stage: int, block: str, i: int, norm: int, variance: bool) -> str:
    """The stock tensor; parallel blocks share the statistics of their common input, computed by the first of them."""
    shared = norm == 1 and i == 0 and block.startswith("resblocks")
    owner = BLOCKS[stage][1][0] if shared else block
    return f"{GENERATOR}/{owner}/adain{norm}.{i}/ReduceMean{'_2' if variance else ''}_output_0"


def _is_variance(name: str) -> bool:
    return name.endswith("_2_output_0")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the constants of the packaged voices."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="the .npz file to write")
    target = parser.parse_args(arguments).target
    cache = cache_directory()
    stock = model_file(cache)
    derived = derive(lambda: stock, cache, lambda stage, fraction: None)
    network = StreamingNetwork(
        open_session(derived.front, 1), open_session(derived.generator, 1), Styling.load(derived.styling)
    )
    session = statistics_session(stock)
    arrays: dict[str, Any] = {}
    for name, styles in style_tables().items():
        normalisation = calibrate(session, network, styles)
        arrays |= normalisation.arrays(name)
        logger.info(f"{name}: gain {normalisation.gain:.3f}")
    np.savez(target, **arrays)


if __name__ == "__main__":
    main()
