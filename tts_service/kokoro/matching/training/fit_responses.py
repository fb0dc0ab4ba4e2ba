"""Make `tts_service/kokoro/matching/response.npz` from what `responses` collected.

    python -m tts_service.kokoro.matching.training.fit_responses FOLDER

Chooses the kernel on a fifth of the timbres that it does not learn from, and prints how well they are foretold.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from tts_service.cache import cache_directory
from tts_service.kokoro.matching.intelligibility import MANDARIN
from tts_service.kokoro.matching.response import STEP, Response
from tts_service.kokoro.matching.space import TIMBRE, prosodies, timbres
from tts_service.kokoro.matching.training.responses import RANDOM, SAID, VOICES
from tts_service.kokoro.rendering import Renderer
from tts_service.kokoro.tones import Teachers

RIDGE = 0.1
"""Of the regression of the prosody, as a share of the mean variance."""
SENTENCES = len(SAID) - RANDOM
"""That the packaged voices say."""
TARGET = Path(__file__).parents[1] / "response.npz"


def collected(folder: Path) -> dict[str, NDArray]:
    """All that `responses` heard."""
    paths = [folder / VOICES, *sorted(folder.glob("[0-9]*.npz"))]
    batches = [dict(np.load(path)) for path in paths]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def prosody_directions(data: dict[str, NDArray]) -> NDArray:
    """The least changes [3, 128] that move one of the features by one and leave the others, by ridge."""
    x, y = prosodies().within(data["styles"][:, TIMBRE:]), data["prosody"].copy()
    for sentence in np.unique(data["said"]):
        some = data["said"] == sentence
        x[some] -= x[some].mean(axis=0)
        y[some] -= y[some].mean(axis=0)
    slopes = np.linalg.solve(x.T @ x + RIDGE * np.trace(x.T @ x) / len(x.T) * np.eye(len(x.T)), x.T @ y)
    return np.linalg.pinv(slopes) @ (prosodies().length * prosodies().directions)


def packaged(folder: Path) -> dict[str, NDArray]:
    """What the packaged voices sound like: embeddings [54, 256] and pitches in octaves [54]."""
    with np.load(folder / VOICES) as found:
        embeddings = found["embeddings"].reshape(-1, SENTENCES, 256).mean(axis=1)
        return {
            "packaged": (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float16),
            "pitches": found["prosody"][:, 0].reshape(-1, SENTENCES).mean(axis=1),
        }


def foretold(response: Response, data: dict[str, NDArray], rows: NDArray, average: NDArray) -> tuple[float, float]:
    """Mean cosine between what was foretold and heard, and root mean square error of the colour."""
    cosines, errors = [], []
    for i in rows:
        heard = response.predict(data["coordinates"][i], data["prosody"][i, 0])
        output = data["outputs"][i] + average
        cosines.append(heard.embedding @ output[:256] / np.linalg.norm(output[:256]))
        errors.append(np.square(heard.colour - output[256:]).mean())
    return float(np.mean(cosines)), float(np.sqrt(np.mean(errors)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Choose, learn, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args(arguments).folder
    data = collected(folder)
    outputs = np.concatenate([data["embeddings"], data["colours"]], axis=1).astype(np.float64)
    average = outputs.mean(axis=0)
    biases = np.stack([outputs[data["said"] == i].mean(axis=0) for i in range(len(SAID))]) - average
    outputs -= average + biases[data["said"]]
    spread = np.concatenate([np.full(256, outputs[:, :256].std()), np.full(40, outputs[:, 256:].std())])
    data |= {"outputs": outputs, "coordinates": timbres().coordinates(data["styles"][:, :TIMBRE])}
    teachers = Teachers.heard(Renderer(cache_directory(), 1), MANDARIN)
    arrays = {
        "prosody": prosody_directions(data).astype(np.float32),
        **packaged(folder),
        **teachers.arrays(),
        "output_mean": average.astype(np.float32),
        "output_spread": spread.astype(np.float32),
    }
    rows = np.arange(len(outputs))
    kept, asked = rows[rows % 5 > 0], rows[rows % 5 == 0]

    def learnt(kernel: tuple[float, ...], rows: NDArray) -> dict[str, NDArray]:
        return arrays | {
            "kernel": np.array(kernel),
            "timbres": data["styles"][rows, :TIMBRE].astype(np.float16),
            "octaves": data["prosody"][rows, 0].astype(np.float16),
            "outputs": np.clip(np.round(outputs[rows] / spread / STEP), -127, 127).astype(np.int8),
        }

    best, chosen = np.inf, (0.0,) * 5
    for kernel in itertools.product((1.0,), (1.0,), (0.8, 1.0), (0.3, 0.5), (1.0,)):
        cosine, error = foretold(Response(learnt(kernel, kept)), data, asked, average)
        logger.info(f"{kernel}: cosine {cosine:.4f}, colour {error:.3f}")
        if (score := -cosine + 0.1 * error) < best:
            best, chosen = score, kernel
    logger.info(f"{len(rows)} timbres, kernel {chosen}")
    np.savez_compressed(TARGET, allow_pickle=False, **learnt(chosen, rows))


if __name__ == "__main__":
    main()
