"""Golden data, and the closed-form noise and audio it was made with (see golden/README.md)."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `glm` is not installed")
from safetensors import safe_open  # noqa: E402

torch.set_num_threads(1)
GOLDEN = Path(__file__).parent / "golden"
CHECKPOINT = GOLDEN / "ckpt"
CASES = GOLDEN / "cases"


class Case(dict):
    """Tensors of one golden file, with its metadata."""

    def __init__(self, name):
        with safe_open(CASES / f"{name}.safetensors", framework="pt") as file:
            super().__init__({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
            self.meta = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}


def golden_json(name):
    return json.loads((CASES / f"{name}.json").read_text())


def wuniform64(seed, n):
    with np.errstate(over="ignore"):
        z = np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64((seed * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) / 2.0**53


def wuniform(seed, shape):
    return torch.from_numpy(wuniform64(seed, int(np.prod(shape))).astype(np.float32).reshape(shape))


def wnormal(seed, shape):
    n = int(np.prod(shape))
    u = wuniform64(seed, 2 * n)
    normal = np.sqrt(-2 * np.log(1 - u[:n])) * np.cos(2 * np.pi * u[n:])
    return torch.from_numpy(normal.astype(np.float32).reshape(shape))


def rounding(compute, values):
    """How far from `compute(values)` another processor's float32 may be, for every number of the result.

    Processors sum in different orders, which changes the last bits in every layer. So the last bits of `values` are
    changed, which shows what a single layer's do to the result; 64 layers that round independently do eight times that.
    """
    chance = torch.Generator().manual_seed(0)
    exact = compute(values)
    errors = []
    for _ in range(2):
        bits = torch.randint(-1, 2, values.shape, generator=chance) * torch.finfo(torch.float32).eps
        errors.append((compute(values * (1 + bits)) - exact).abs())
    return 8 * torch.stack(errors).amax(0)


def assert_same_sound(ours, theirs, limit):
    """Equal but for the rounding, `limit`, for every sample.

    HiFT turns the pitch's last bits into phase, the more the longer: a little everywhere, much in single samples.
    """
    assert limit.mean() < 0.1 * theirs.abs().mean(), "so much rounding that another sound would pass"
    torch.testing.assert_close(ours, theirs, atol=float(limit.max()), rtol=0)
    assert (ours - theirs).abs().mean() <= limit.mean()


def make_audio(seed, rate, seconds, f0=140):
    n = round(rate * seconds)
    t = np.arange(n) / rate
    phase = 2 * np.pi * np.cumsum(f0 * (1 + 0.25 * np.sin(2 * np.pi * 0.7 * t + seed))) / rate
    y = (
        0.18
        * sum(np.sin(h * phase) / h for h in range(1, 9))
        * (0.55 + 0.45 * np.sin(2 * np.pi * 2.3 * t + 0.5 * seed))
    )
    y += 0.02 * (wuniform64(seed + 999, n) - 0.5)
    y[(t % 1.9) > 1.6] *= 0.02
    return y.astype(np.float32)
