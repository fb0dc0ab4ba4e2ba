"""Make `tts_service/kokoro/matching/response.npz` from what `responses` collected.

    python -m tts_service.kokoro.matching.training.fit_responses FOLDER

Chooses the kernel on a fifth of the styles that it does not learn from, and prints how well they are foretold.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from tts_service.kokoro.cast import style_table
from tts_service.kokoro.matching.manner import Manner
from tts_service.kokoro.matching.matcher import BASES, Matcher, prosody_features, style_spread
from tts_service.kokoro.matching.response import TIMBRE, Response
from tts_service.kokoro.matching.training.responses import PROSODY

RIDGE = 0.3
"""Of the regression, as a share of the mean variance."""
TARGET = Path(__file__).parents[1] / "response.npz"


def collected(folder: Path) -> dict[str, NDArray]:
    """All batches: styles [n, 256], said [n], embeddings [n, 256], colours [n, 40], prosody [n, 3]."""
    rows: dict[str, list[NDArray]] = {}
    for path in sorted(folder.glob("[0-9]*.npz")):
        with np.load(path) as batch:
            curves = np.split(batch["curves"], np.cumsum(batch["lengths"])[:-1], axis=1)
            audio = np.split(batch["audio"], np.cumsum(batch["samples"])[:-1])
            found = {
                "styles": batch["styles"],
                "said": batch["said"],
                "embeddings": batch["embeddings"],
                "colours": np.stack([Manner.of((a / 32767).astype(np.float32)).colour for a in audio]),
                "prosody": np.stack([prosody_features(c) for c in curves]),
            }
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    return {name: np.concatenate(values) for name, values in rows.items()}


def prosody_directions(folder: Path) -> NDArray:
    """Per voice the least changes [5, 3, 128] that move one of the features by one and leave the others, by ridge."""
    with np.load(folder / PROSODY) as collected:
        changes, answers = collected["changes"], collected["answers"]
    found = []
    for x, y in zip(changes, answers, strict=True):
        slopes = np.linalg.solve(x.T @ x + RIDGE * np.trace(x.T @ x) / len(x.T) * np.eye(len(x.T)), x.T @ y)
        found.append(np.linalg.pinv(slopes))
    return np.stack(found)


def main() -> None:
    """Choose, learn, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    data = collected(folder)
    centre, unit = style_spread()
    z = (data["styles"] - centre) / unit
    outputs = np.concatenate([data["embeddings"], data["colours"]], axis=1)
    for sentence in np.unique(data["said"]):
        outputs[data["said"] == sentence] -= outputs[data["said"] == sentence].mean(axis=0)
    average = np.concatenate([data["embeddings"], data["colours"]], axis=1).mean(axis=0)
    spread = np.concatenate([np.full(256, outputs[:, :256].std()), np.full(40, outputs[:, 256:].std())])
    arrays = {
        "centre": centre.astype(np.float32),
        "unit": unit.astype(np.float32),
        "prosody": prosody_directions(folder).astype(np.float32),
        **packaged(),
        "output_mean": average.astype(np.float32),
        "output_spread": spread.astype(np.float32),
    }
    pitch = data["prosody"][:, 0]
    kept = np.arange(len(z)) % 5 > 0
    best, chosen = np.inf, None
    grid = itertools.product((0.1, 0.3), (1.0,), (1.0,), (0.3, 0.6), (6.0,))
    for kernel in grid:
        inputs = np.concatenate([z[:, :TIMBRE], kernel[4] * (pitch[:, None] - 7.5)], axis=1)
        learnt = arrays | {"kernel": np.array(kernel), "inputs": inputs[kept], "outputs": outputs[kept] / spread}
        response = Response(learnt)
        cosines, error = foretold(response, z[~kept], pitch[~kept], outputs[~kept] + average)
        logger.info(f"{kernel}: cosine {cosines:.4f}, colour {error:.3f}")
        if (score := -cosines + 0.1 * error) < best:
            best, chosen = score, kernel
    assert chosen is not None
    inputs = np.concatenate([z[:, :TIMBRE], chosen[4] * (pitch[:, None] - 7.5)], axis=1)
    logger.info(f"{len(z)} styles, kernel {chosen}")
    np.savez_compressed(
        TARGET,
        kernel=np.array(chosen),
        inputs=inputs.astype(np.float16),
        outputs=(outputs / spread).astype(np.float16),
        **arrays,
    )


def packaged() -> dict[str, NDArray]:
    """What the packaged voices sound like: embeddings [5, 256], pitches in octaves [5], dynamics in dB [5]."""
    matcher = Matcher.load()
    heard = [matcher.probe(table, np.zeros(256)) for table in map(style_table, BASES)]
    return {
        "dynamics": np.array([Manner.of(np.concatenate(said)).dynamics for _, said in heard]),
        "packaged": np.stack([one.embedding for one, _ in heard]),
        "pitches": np.array([prosody_features(matcher.curves(t, np.zeros(128)))[0] for t in map(style_table, BASES)]),
    }


def foretold(response: Response, z: NDArray, pitch: NDArray, outputs: NDArray) -> tuple[float, float]:
    """Mean cosine between what was foretold and heard, and root mean square error of the colour."""
    cosines, errors = [], []
    for row, octaves, output in zip(z, pitch, outputs, strict=True):
        heard = response.predict(row[:TIMBRE], octaves)
        cosines.append(heard.embedding @ output[:256] / np.linalg.norm(output[:256]))
        errors.append(np.square(heard.colour - output[256:]).mean())
    return float(np.mean(cosines)), float(np.sqrt(np.mean(errors)))


if __name__ == "__main__":
    main()
