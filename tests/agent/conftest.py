import pytest

import tts_service
from tts_service.voices.recogniser import Recogniser


@pytest.fixture(scope="session")
def synthesizer():
    with tts_service.load("kokoro") as synthesizer:
        yield synthesizer


@pytest.fixture(scope="session")
def recogniser():
    recogniser = Recogniser()
    yield recogniser
    recogniser.close()
