"""Make `tts_service/kokoro/normalisation.npz`: every packaged voice's constants, and the forecast that they share.

    python -m tts_service.kokoro.training.measure_voices FOLDER

has the voices say sentences in both languages, some slowly or fast; a quarter of an hour on one core. What a voice said
is kept in the folder as a file of its own, so that a run can be stopped and resumed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from g2p import analyze
from tts_service.cache import cache_directory
from tts_service.engine import StopSignal, SynthesisOptions, Voice
from tts_service.kokoro import KokoroEngine
from tts_service.kokoro.calibrate import LOUDNESS, calibrate, loudness
from tts_service.kokoro.cast import style_table, table_names
from tts_service.kokoro.forecast import NORMALISATION, Forecast
from tts_service.kokoro.matching.matcher import tokens_of
from tts_service.kokoro.rendering import Renderer
from tts_service.kokoro.voice import Normalisation, by_stage, packed, style_row

SENTENCES = (
    "好的。",
    "今天下午三点，我们在火车站门口见面。",
    "科学家发现了一种新的材料，可以大大提高电池的寿命，还能减少污染。",
    "One moment, please.",
    "Please turn left at the next corner and walk two blocks.",
    "Our meeting has been moved to Thursday, because the director is travelling.",
)
"""What every voice says: from two syllables to six seconds."""
MORE_SENTENCES = (
    "嗯。",
    "没问题，马上来。",
    "Sure.",
    "Hello, how can I help you today?",
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
"""Of these every voice says two, one of them at another tempo, so that together they have said everything."""
TEMPI = (0.7, 1.5)
LEVELLED = (*SENTENCES[1:], *(MORE_SENTENCES[place] for place in (7, 8, 12, 23)))
"""By these all are made equally loud."""


def measured(renderer: Renderer, name: str, turn: int) -> dict[str, NDArray]:
    """What one voice's sentences came to: summaries [n, 1024], statistics [n, 18432], and its constants."""
    said = [(text, 1.0) for text in (*SENTENCES, MORE_SENTENCES[turn % len(MORE_SENTENCES)])]
    said.append((MORE_SENTENCES[(5 * turn + 3) % len(MORE_SENTENCES)], TEMPI[turn % 2]))
    renderings = []
    for text, speed in said:
        tokens = tokens_of(text)
        renderings.append(renderer.render(tokens, style_row(style_table(name), len(tokens) - 2), speed))
    found = calibrate(renderings[:-1])
    return found.arrays("voice") | {
        "summaries": np.stack([one.summary for one in renderings]),
        "statistics": np.stack([one.statistics for one in renderings]),
    }


def weights(statistics: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an error counts: a mean in standard deviations, a variance by the factor it puts on its channel."""
    rows = [(np.exp(-log_variance / 2), np.full_like(mean, 0.5)) for mean, log_variance in by_stage(statistics)]
    return np.concatenate([np.concatenate([one.ravel() for one in row]) for row in rows])


def level() -> None:
    """Make all voices equally loud as they stream, which differs from the whole rendering by up to a decibel."""
    engine = KokoroEngine.load()
    with np.load(NORMALISATION) as arrays:
        constants = dict(arrays)
    for place, name in enumerate(constants["names"]):
        voice, stop = Voice(str(name)), StopSignal()
        spoken = [
            [chunk.samples for chunk in engine.synthesize(analyze(text), voice, SynthesisOptions(), stop)]
            for text in LEVELLED
        ]
        heard = loudness([np.concatenate(chunks) for chunks in spoken])
        constants["gains"][place] *= 10 ** ((LOUDNESS - heard) / 20)
        logger.info(f"{name} streamed at {heard:.2f} LUFS")
    np.savez(NORMALISATION, allow_pickle=False, **constants)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing in the folder, and learn from all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(cache_directory(), 1)
    voices, summaries, statistics = {}, [], []
    for turn, name in enumerate(table_names()):
        path = folder / f"{name}.npz"
        if not path.exists():
            np.savez(path, allow_pickle=False, **measured(renderer, name, turn))
            logger.info(f"{name} has spoken")
        with np.load(path) as arrays:
            voices[name] = Normalisation.of("voice", arrays)
            summaries.append(arrays["summaries"])
            statistics.append(arrays["statistics"])
    forecast = Forecast.fit(
        np.concatenate(summaries),
        np.concatenate(statistics),
        weights(np.concatenate(statistics).mean(axis=0)),
        np.repeat(np.arange(len(summaries)), [len(said) for said in summaries]),
    )
    np.savez(NORMALISATION, allow_pickle=False, **forecast.arrays(), **packed(voices))
    level()


if __name__ == "__main__":
    main()
