"""Measuring a voice's normalisation constants, and the tool that made those of the packaged voices.

    python -m tts_service.kokoro.calibrate tts_service/kokoro/normalisation.npz

runs the stock model over sentences in both languages and writes the constants of the five voices and the forecast that
they share; ten minutes on one core. A voice with a new style table needs one pass of `calibrate` and no file.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from loguru import logger
from numpy.typing import NDArray

from g2p.encode.kokoro import encode
from g2p.frontend import analyze
from tts_service.engine import StopSignal
from tts_service.kokoro.derived import derive
from tts_service.kokoro.forecast import Forecast, summary
from tts_service.kokoro.front_graph import FRAMES
from tts_service.kokoro.generator_graph import BLOCKS, GENERATOR
from tts_service.kokoro.model import cache_directory, model_file, style_tables
from tts_service.kokoro.network import StreamingNetwork, open_session, run
from tts_service.kokoro.symbols import Piece
from tts_service.kokoro.voice import KokoroVoice, Normalisation, Styling, by_stage, norms, style_row

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
"""What a voice says to be measured: from one syllable to six seconds."""
MORE_SENTENCES = (
    "对不起。",
    "我知道了，",
    "根据天气预报，",
    "您好，请问有什么可以帮您？",
    "这家餐厅的菜很好吃，就是有点贵。",
    "你最近在忙什么呢？",
    "他说的话你听懂了吗？",
    "太好了，我们终于赢了！",
    "外婆家住在海边，每年夏天我们都去游泳。",
    "第一步打开软件，第二步点击右上角的设置。",
    "从前有座山，山里有座庙，庙里有个老和尚在给小和尚讲故事。",
    "如果您需要退货，请保留好发票和包装，我们会在七个工作日之内为您办理。",
    "六加四等于十。",
    "您的 iPhone 已经修好了，可以来取。",
    "Yes, please.",
    "I see,",
    "According to the weather forecast,",
    "What would you like to drink?",
    "That was the best film of the year!",
    "My favourite colour is blue, but she prefers yellow.",
    "If the machine makes a strange noise, switch it off and call the service number on the back.",
    "Long ago there lived a fisherman who went out every morning before the sun rose above the quiet sea.",
    "He asked me why the shop was closed.",
    "Seven plus five is twelve.",
)
"""What the packaged voices say besides, so that the forecast is learnt from enough."""
TEMPI = (0.7, 1.5)
"""Every fifth sentence is also said slowly or fast."""
CHUNK = 64
"""Frames that the streaming rendering computes at once."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One sentence by the stock model."""

    tokens: NDArray[np.int64]
    summary: NDArray[np.float32]
    """As `tts_service.kokoro.forecast.summary`."""
    statistics: NDArray[np.float32]
    """As `Normalisation.statistics`."""
    samples: NDArray[np.float32]


def statistics_session(stock: Path, threads: int = 1) -> ort.InferenceSession:
    """The stock model, with the front's frames and every norm's mean and variance as further outputs."""
    model = onnx.load(stock)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in [FRAMES, *_statistics()])
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
    return _normalisation(network, styles, [_measure(session, styles, sentence) for sentence in sentences])


def _measure(session: ort.InferenceSession, styles: NDArray[np.float32], sentence: str, speed: float = 1.0) -> Measured:
    symbols = encode(analyze(sentence))
    tokens = Piece(symbols.text, symbols.tokens).tokens()
    style = style_row(styles, len(tokens) - 2)
    feeds = {"tokens": tokens[None], "style": style[None], "speed": np.array([speed], np.float32)}
    samples, frames, *values = run(session, ["audio", FRAMES, *_statistics()], feeds, StopSignal())
    found = {name: value.ravel() for name, value in zip(_statistics(), values, strict=True)}
    rows: list[NDArray[np.float32]] = []
    for stage in (0, 1):
        rows += [found[_name(stage, *norm, variance=False)] for norm in norms(stage)]
        rows += [np.log(np.maximum(found[_name(stage, *norm, variance=True)], 1e-12)) for norm in norms(stage)]
    return Measured(tokens, summary(frames[0]), np.concatenate(rows), samples.ravel())


def _normalisation(
    network: StreamingNetwork, styles: NDArray[np.float32], measured: Sequence[Measured]
) -> Normalisation:
    """The average, and the gain that brings the streaming rendering to the stock's level."""
    found = Normalisation(
        np.mean([one.statistics for one in measured], axis=0), np.mean([one.summary for one in measured], axis=0)
    )
    voice, ours = KokoroVoice(styles, found), []
    for one in measured:
        utterance = network.begin(one.tokens, voice, 1.0, StopSignal())
        frames = 2 * int(utterance.durations.sum())
        # In chunks, as it will be spoken: activations are rounded the more coarsely the more is computed at once.
        ours += [utterance.samples(i, min(i + CHUNK, frames), StopSignal()) for i in range(0, frames, CHUNK)]
    stock = _level([one.samples for one in measured])
    return replace(found, gain=float(10 ** ((stock - _level(ours)) / 20)))


def _weights(statistics: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an error counts: a mean in standard deviations, a variance by the factor it puts on its channel."""
    rows = [(np.exp(-log_variance / 2), np.full_like(mean, 0.5)) for mean, log_variance in by_stage(statistics)]
    return np.concatenate([np.concatenate([one.ravel() for one in row]) for row in rows])


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the constants of the packaged voices."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", type=Path, help="the .npz file to write")
    target = parser.parse_args(arguments).target
    cache = cache_directory()
    stock = model_file(cache)
    session = statistics_session(stock)
    said: dict[str, list[Measured]] = {}
    hurried: list[tuple[str, Measured]] = []
    for name, styles in style_tables().items():
        said[name] = [_measure(session, styles, sentence) for sentence in SENTENCES + MORE_SENTENCES]
        hurried += [
            (name, _measure(session, styles, sentence, speed))
            for sentence, speed in zip((SENTENCES + MORE_SENTENCES)[3::5], itertools.cycle(TEMPI))
        ]
        logger.info(f"{name}: {len(said[name])} sentences measured")
    everything = [(name, one) for name, measured in said.items() for one in measured] + hurried
    statistics = np.stack([one.statistics for _, one in everything])
    forecast = Forecast.fit(
        np.stack([one.summary for _, one in everything]),
        statistics,
        _weights(statistics.mean(axis=0)),
        np.array([list(said).index(name) for name, _ in everything]),
    )
    forecast = Forecast.of(forecast.arrays())  # as it will be read
    derived = derive(lambda: stock, cache, lambda stage, fraction: None)
    front, generator = open_session(derived.front, 1), open_session(derived.generator, 1)
    network = StreamingNetwork(front, generator, Styling.load(derived.styling), forecast)
    arrays = forecast.arrays()
    for name, styles in style_tables().items():
        normalisation = _normalisation(network, styles, said[name])
        arrays |= normalisation.arrays(name)
        logger.info(f"{name}: gain {normalisation.gain:.3f}")
    np.savez(target, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
