import pytest

import tts_service
from agent.settings import EarsSettings
from agent.stt import Recogniser


@pytest.fixture(scope="session")
def synthesizer():
    with tts_service.load("kokoro") as synthesizer:
        yield synthesizer


@pytest.fixture(scope="session")
def recogniser():
    recogniser = Recogniser(EarsSettings())
    yield recogniser
    recogniser.close()
