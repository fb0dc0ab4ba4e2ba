"""Make `tts_service/kokoro/voices.npz` from the packaged voices of Kokoro-82M v1.0.

    npm pack kokoro-js@1.2.1
    python -m tts_service.kokoro.training.pack_voices kokoro-js-1.2.1.tgz

A voice is a table of 510 style vectors of 256 numbers. The tables are all but two-dimensional: mean and six directions
in half precision give every number back to 0.0023 (a typical one is 0.15), in a fiftieth of the space.
"""

from __future__ import annotations

import argparse
import hashlib
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from tts_service.kokoro.cast import TABLES

ARCHIVE_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
VOICES = 54
DIRECTIONS = 6


def tables_of(archive: Path) -> dict[str, NDArray[np.float32]]:
    """The style tables [510, 256] in the npm package, by name.

    Raises:
        SystemExit: It is not the expected package.
    """
    if (found := hashlib.sha256(archive.read_bytes()).hexdigest()) != ARCHIVE_SHA256:
        raise SystemExit(f"{archive}: SHA-256 is {found}, expected {ARCHIVE_SHA256}; npm pack kokoro-js@1.2.1")
    tables = {}
    with tarfile.open(archive) as package:
        for member in package:
            path = PurePath(member.name)
            if path.parent.name == "voices" and path.suffix == ".bin" and (file := package.extractfile(member)):
                tables[path.stem] = np.frombuffer(file.read(), "<f4").reshape(510, 256)
    assert len(tables) == VOICES
    return dict(sorted(tables.items()))


def packed(tables: dict[str, NDArray[np.float32]]) -> dict[str, NDArray]:
    """What the file holds: names [n], means [n, 256], directions [n, 6, 256] and rows [n, 510, 6]."""
    stacked = np.stack(list(tables.values()))
    means = stacked.mean(axis=1)
    left, sizes, right = np.linalg.svd(stacked - means[:, None], full_matrices=False)
    return {
        "names": np.array(list(tables)),
        "means": means.astype(np.float16),
        "directions": right[:, :DIRECTIONS].astype(np.float16),
        "rows": (left * sizes[:, None])[:, :, :DIRECTIONS].astype(np.float16),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, pack, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="kokoro-js-1.2.1.tgz")
    arrays = packed(tables_of(parser.parse_args(arguments).archive))
    np.savez_compressed(TABLES, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
