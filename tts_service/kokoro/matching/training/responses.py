"""Collect how the model responds to its style: random styles, the sentences they speak, and what is heard in them.

    python -m tts_service.kokoro.matching.training.responses FOLDER [--count 1500]

Timbres are mixtures of one to three packaged voices, drawn towards or away from their middle, with noise in the space
that the voices span and some in all columns, as matches for real people lead out of it. Each batch of 25 is a file of
its own, so that a run can be stopped and resumed. `fit_responses` learns from the folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from tts_service.cache import cache_directory
from tts_service.kokoro.cast import style_table, table_names
from tts_service.kokoro.matching.manner import Manner
from tts_service.kokoro.matching.matcher import PROBES, at_16k, prosody_features, tokens_of
from tts_service.kokoro.matching.space import TIMBRE, prosodies, timbres
from tts_service.kokoro.matching.speaker import SpeakerEncoder
from tts_service.kokoro.rendering import Renderer
from tts_service.kokoro.voice import style_row

BATCH = 25
VOICES = "voices.npz"
SAID = (
    *PROBES[:3],
    "今天下午三点，我们在火车站门口见面。",
    "Our meeting has been moved to Thursday, because the director is travelling.",
)
RANDOM = 3
"""Of these are said in random styles, the others by the packaged voices themselves."""


def random_style(symbols: int, random: np.random.Generator) -> NDArray[np.float32]:
    """A style [256] for an utterance of that many symbols. Women and men take turns to be mixed."""
    sex = random.choice(["f", "m"])
    names = [name for name in table_names() if name[1] == sex]
    chosen = random.choice(names, size=random.integers(1, 4), replace=False)
    weights = random.dirichlet(np.ones(len(chosen)))
    mixed = weights @ np.stack([style_row(style_table(name), symbols) for name in chosen])
    there = timbres()
    steps = there.within(mixed[:TIMBRE]) * random.uniform(0.8, 1.3)
    steps += random.normal(size=len(there.spread)) * there.spread * random.uniform(0.1, 0.7)
    timbre = there.centre + there.length * steps @ there.directions
    timbre += random.normal(size=TIMBRE) * there.unit * random.uniform(0, 1.5)
    prosody = mixed[TIMBRE:] + random.normal(size=len(mixed) - TIMBRE) * prosodies().unit * random.uniform(0, 0.4)
    return np.concatenate([timbre, prosody]).astype(np.float32)


def heard_in(
    renderer: Renderer, encoder: SpeakerEncoder, styles: Iterable[tuple[int, NDArray[np.float32]]]
) -> dict[str, NDArray]:
    """What is heard when sentences are said in styles, given as the number of the sentence and the style [256].

    Said [n], styles [n, 256], `prosody_features` [n, 3], embeddings [n, 256], colours [n, 40].
    """
    sentences = [tokens_of(text) for text in SAID]
    rows: dict[str, list] = {name: [] for name in ("said", "styles", "prosody", "embeddings", "colours")}
    for said, style in styles:
        rendering = renderer.render(sentences[said], style)
        heard = at_16k(rendering)
        if len(heard) < 8000 or not np.isfinite(heard).all():
            continue
        rows["said"].append(said)
        rows["styles"].append(style)
        rows["prosody"].append(prosody_features(np.stack([rendering.pitch, rendering.energy])))
        rows["embeddings"].append(encoder.embed(heard))
        rows["colours"].append(Manner.of(heard).colour)
    return {name: np.array(values) for name, values in rows.items()}


def batch(seed: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Random styles."""
    lengths, random = [len(tokens_of(text)) - 2 for text in SAID[:RANDOM]], np.random.default_rng(seed)
    for i in range(BATCH):
        said = (seed + i) % RANDOM
        yield said, random_style(lengths[said], random)


def voices() -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The packaged voices themselves."""
    for name in table_names():
        for said in range(RANDOM, len(SAID)):
            yield said, style_row(style_table(name), len(tokens_of(SAID[said])) - 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write batches until there are enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1500)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    renderer, encoder = Renderer(cache_directory(), 1), SpeakerEncoder()
    batches = {VOICES: voices()} | {f"{seed:04d}.npz": batch(seed) for seed in range(options.count // BATCH)}
    for name, styles in batches.items():
        if not (options.folder / name).exists():
            np.savez(options.folder / name, allow_pickle=False, **heard_in(renderer, encoder, styles))
            logger.info(name)


if __name__ == "__main__":
    main()
