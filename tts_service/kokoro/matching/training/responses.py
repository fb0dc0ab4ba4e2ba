"""Collect how the model responds to its style: random styles, the sentences they speak, and what is heard in them.

    python -m tts_service.kokoro.matching.training.responses FOLDER [--count 2000]

Styles lie around the packaged voices: affine mixtures of them plus Gaussian noise. Each batch of 25 is a file of its
own, so that a run can be stopped and resumed. `fit_responses` learns from the folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from tts_service.audio import resample
from tts_service.kokoro.cast import style_table
from tts_service.kokoro.matching.matcher import BASES, PROBES, Matcher, prosody_features, style_spread, tokens_of
from tts_service.kokoro.matching.response import TIMBRE
from tts_service.kokoro.matching.speaker import SpeakerEncoder
from tts_service.kokoro.model import cache_directory
from tts_service.kokoro.rendering import Renderer
from tts_service.kokoro.voice import SAMPLE_RATE, style_row

BATCH = 25
PROSODY, PROSODY_PAIRS = "prosody.npz", 110
MALE = 4
"""Index of the only male table: two styles of five begin near it."""


def random_style(rows: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """A style [256] in the neighbourhood of the voices' rows [5, 256] for one length."""
    weights = random.dirichlet(np.full(len(rows), 0.4))
    if random.random() < 0.4:
        weights = (1 - (share := random.uniform(0.6, 1.0))) * weights + share * np.eye(len(rows))[MALE]
    centre = rows.mean(axis=0)
    mixed = centre + random.uniform(0.8, 1.4) * (weights @ rows - centre)
    noise = random.normal(size=256) * style_spread()[1]
    noise[:128] *= random.uniform(0.2, 1.3)
    noise[128:] *= random.uniform(0.0, 0.7)
    return (mixed + noise).astype(np.float32)


def collect_prosody(target: Path) -> None:
    """How pitch, its range and energy answer to the prosody half: pairs of opposite changes around every voice."""
    matcher, unit = Matcher.load(), style_spread()[1][TIMBRE:]
    random = np.random.default_rng(0)
    changes = 0.4 * random.normal(size=(len(BASES), PROSODY_PAIRS, 256 - TIMBRE))
    answers = np.array(
        [
            [
                prosody_features(matcher.curves(table, change * unit))
                - prosody_features(matcher.curves(table, -change * unit))
                for change in around
            ]
            for table, around in zip(map(style_table, BASES), changes, strict=True)
        ]
    )
    np.savez(target, changes=changes, answers=answers / 2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write batches until there are enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    if not (options.folder / PROSODY).exists():
        collect_prosody(options.folder / PROSODY)
    renderer = Renderer(cache_directory(), 1)
    encoder, tables, probes = (
        SpeakerEncoder(),
        [style_table(name) for name in BASES],
        [tokens_of(text) for text in PROBES],
    )
    for batch in range(options.count // BATCH):
        target = options.folder / f"{batch:04d}.npz"
        if target.exists():
            continue
        random = np.random.default_rng(batch)
        styles, said, embeddings, curves, audio = [], [], [], [], []
        for i in range(BATCH):
            tokens = probes[i % len(PROBES)]
            style = random_style(np.stack([style_row(table, len(tokens) - 2) for table in tables]), random)
            rendering = renderer.render(tokens, style)
            heard = resample(rendering.samples, SAMPLE_RATE, 16000)
            if len(heard) < 8000 or not np.isfinite(heard).all():
                continue
            styles.append(style)
            said.append(i % len(PROBES))
            embeddings.append(encoder.embed(heard))
            curves.append(np.stack([rendering.pitch, rendering.energy]))
            audio.append((np.clip(heard, -1, 1) * 32767).astype(np.int16))
        np.savez(
            target,
            styles=np.stack(styles),
            said=said,
            embeddings=np.stack(embeddings),
            lengths=[c.shape[1] for c in curves],
            curves=np.concatenate(curves, axis=1),
            samples=[len(a) for a in audio],
            audio=np.concatenate(audio),
        )
        logger.info(f"{target.name}: {len(styles)} styles")


if __name__ == "__main__":
    main()
