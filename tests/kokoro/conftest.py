import pytest

from tests.kokoro import mel
from tts_service.cache import cache_directory
from tts_service.kokoro import KokoroEngine
from tts_service.kokoro.model import model_file


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
    return mel.mel_distance
