import numpy as np
import pytest

from tts_service.kokoro import KokoroEngine
from tts_service.kokoro.model import cache_directory, model_file


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return cache_directory(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def stock(cache):
    return model_file(cache)


@pytest.fixture(scope="session")
def engine(cache):
    engine = KokoroEngine.load(cache_dir=cache)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def whole(cache):
    engine = KokoroEngine.load(cache_dir=cache, whole=True)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def mel_distance():
    """Mean absolute difference of two signals' log-mel spectra: 80 bands, natural logarithm, as the model's own."""
    frequencies = np.fft.rfftfreq(2048, 1 / 24000)
    points = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 12000 / 700), 82) / 2595) - 1)
    low, middle, high = (points[i : i + 80, None] for i in range(3))
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    filters = np.clip(np.minimum(rising, falling), 0, None)

    def log_mel(samples):
        frames = np.lib.stride_tricks.sliding_window_view(samples, 1200)[::300] * np.hanning(1200)
        return np.log(np.maximum(np.abs(np.fft.rfft(frames, 2048)) @ filters.T, 1e-5))

    return lambda one, other: float(np.abs(log_mel(one) - log_mel(other)).mean())
