"""Measuring a voice's normalisation constants, and the tool that made those of the packaged voices.

    python -m tts_service.kokoro.calibrate tts_service/kokoro/normalisation.npz

runs the stock model over sentences in both languages and writes the constants of the five voices. A voice with a new
style table needs one pass of `calibrate` and no file.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
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
from tts_service.kokoro.generator_graph import BLOCKS, GENERATOR
from tts_service.kokoro.model import cache_directory, model_file, style_tables
from tts_service.kokoro.network import open_session, run
from tts_service.kokoro.symbols import Piece
from tts_service.kokoro.voice import Normalisation, norms

LOUDNESS = -18.0
"""Root mean square of speech without its pauses, dB below full scale, that every voice is brought to."""
SENTENCES = (
    "好的。",
    "你好，我是你的语音助手，很高兴认识你。",
    "今天下午三点，我们在火车站门口见面，不要迟到。",
    "北京大学位于海淀区，是中国最著名的大学之一。",
    "如果明天下雨，比赛就推迟到星期六举行。",
    "他昨天去图书馆借了三本书，晚上就读完了。",
    "这家餐厅的红烧肉非常好吃，价格也不贵！",
    "请问您需要什么帮助吗？",
    "科学家发现了一种新的材料，可以大大提高电池的寿命，还能减少污染。",
    "春天来了，公园里的花都开了，孩子们在草地上奔跑，老人们坐在树下聊天。",
    "Sure, one moment.",
    "Hello, how can I help you today?",
    "The weather will be cloudy with a chance of rain in the afternoon.",
    "Please turn left at the next corner and walk two blocks.",
    "Our meeting has been moved to Thursday, because the director is travelling.",
    "I would like to book a table for four people tonight.",
    "Scientists have discovered a new kind of battery that charges in five minutes.",
    "Can you tell me where the nearest train station is?",
    "She sells fresh vegetables and home-made bread at the market every Saturday morning.",
    "Thank you very much for your patience, and have a great day!",
)


def statistics_session(stock: Path, threads: int = 1) -> ort.InferenceSession:
    """The stock model with the mean and variance that every instance norm of the generator takes as further outputs."""
    model = onnx.load(stock)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in _statistics())
    return open_session(model.SerializeToString(), threads)


def calibrate(
    session: ort.InferenceSession, styles: NDArray[np.float32], sentences: Iterable[str] = SENTENCES
) -> Normalisation:
    """Measure a voice: one pass over the sentences, about two seconds each on one core.

    Args:
        session: From `statistics_session`.
        styles: The voice's style table, [rows, 256].
        sentences: What it says meanwhile, in every language it is meant to speak.
    """
    names = _statistics()
    sums: dict[str, NDArray[np.float64]] = {}
    powers: list[NDArray[np.float32]] = []
    count = 0
    for sentence in sentences:
        symbols = encode(analyze(sentence))
        tokens = Piece(symbols.text, symbols.tokens).tokens()
        feeds: dict[str, Any] = {"tokens": tokens[None], "speed": np.ones(1, np.float32)}
        feeds["style"] = styles[min(len(tokens) - 2, len(styles)) - 1][None]
        audio, *values = run(session, ["audio", *names], feeds, StopSignal())
        for name, value in zip(names, values, strict=True):
            flat = value.ravel().astype(np.float64)
            sums[name] = sums.get(name, 0) + (np.log(flat) if _is_variance(name) else flat)
        powers.append(np.square(audio[: len(audio) // 600 * 600].reshape(-1, 600)).mean(1))
        count += 1
    power = np.concatenate(powers)
    level = 10 * np.log10(power[power > power.mean() * 0.1].mean())
    tables: list[list[NDArray[np.float32]]] = [[], []]
    for variance in (False, True):
        for stage in (0, 1):
            rows = [sums[_name(stage, *norm, variance)] / count for norm in norms(stage)]
            table = np.stack(rows)
            tables[variance].append((np.exp(table) if variance else table).astype(np.float32))
    mean, spread = tables
    return Normalisation((mean[0], mean[1]), (spread[0], spread[1]), float(10 ** ((LOUDNESS - level) / 20)))


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
    session = statistics_session(model_file(cache_directory()))
    arrays: dict[str, Any] = {}
    for name, styles in style_tables().items():
        normalisation = calibrate(session, styles)
        arrays |= normalisation.arrays(name)
        logger.info(f"{name}: gain {normalisation.gain:.3f}")
    np.savez(target, **arrays)


if __name__ == "__main__":
    main()
