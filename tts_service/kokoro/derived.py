"""The graphs made from the stock file, built once into the cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
from loguru import logger

from pipecat_glm_tts.wording import tr
from tts_service.cache import prepare
from tts_service.files import published
from tts_service.kokoro.graphs.front import front_model
from tts_service.kokoro.graphs.generator import generator_model
from tts_service.kokoro.graphs.saturation import make_exact
from tts_service.kokoro.graphs.weights import Weights
from tts_service.kokoro.model import MODEL_SHA256
from tts_service.kokoro.voice import Styling

KEPT_DAYS = 30
"""How long files of other versions are kept after their last use."""
_OURS = re.compile(r"\.?kokoro-((front|generator|whole)\.onnx|styling\.npz)-[0-9a-f]{12}(\..+)?")


@dataclass(frozen=True, slots=True)
class Derived:
    """Where the derived files lie."""

    front: Path
    generator: Path
    styling: Path

    def paths(self) -> tuple[Path, Path, Path]:
        """All of them."""
        return self.front, self.generator, self.styling


def derive(stock: Callable[[], Path], cache: Path, progress: Callable[[str, float], None]) -> Derived:
    """Build what is not in the cache yet; about three seconds the first time.

    The names carry a hash of the model and of the code that builds, so that a change of either builds anew. Every use
    freshens the files, so that those of other versions can be told apart by age, and go when something new is built.

    Args:
        stock: Gives the stock file; asked only when something must be built.
        cache: An existing folder.
        progress: Told what is being built and how far it is, 0 to 1.
    """
    recipe = hashlib.sha256(MODEL_SHA256.encode())
    for source in ("graphs/weights", "graphs/front", "graphs/generator", "graphs/saturation", "voice"):
        recipe.update(Path(__file__).parent.joinpath(f"{source}.py").read_bytes())
    key = recipe.hexdigest()[:12]
    derived = Derived(*(cache / f"kokoro-{name}-{key}" for name in ("front.onnx", "generator.onnx", "styling.npz")))
    if all(path.exists() for path in derived.paths()):
        for path in derived.paths():
            with contextlib.suppress(OSError):  # somebody else's cache: they freshen it
                os.utime(path)
        return derived
    prepare(cache)
    _discard_old(cache)
    progress(tr("preparing the Kokoro model, once"), 0.2)
    model = onnx.load(stock())
    weights = Weights(model)
    progress(tr("preparing the Kokoro model, once"), 0.4)
    _write(front_model(model), derived.front)
    progress(tr("preparing the Kokoro model, once"), 0.6)
    _write(generator_model(weights), derived.generator)
    with published(derived.styling) as file:
        Styling.from_weights(weights).save(file)
    return derived


def _write(graph: onnx.ModelProto, path: Path) -> None:
    if changed := make_exact(graph):
        logger.info(
            f"{path.name}: {len(changed)} layers could saturate on some CPUs and got unsigned weights: {changed}"
        )
    with published(path) as file:
        file.write(graph.SerializeToString(deterministic=True))


def _discard_old(cache: Path) -> None:
    """Remove derived files, finished or abandoned, that no version has used for a month."""
    oldest = time.time() - KEPT_DAYS * 86400
    for path in cache.iterdir():
        if _OURS.fullmatch(path.name):
            with contextlib.suppress(OSError):  # another process was quicker, or may what we may not
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    logger.info(f"removed {path}, which has not been used for {KEPT_DAYS} days")
