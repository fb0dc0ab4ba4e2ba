import base64
import io
import json
import threading

import av
import httpx
import numpy as np
import openai
import pytest
from fastapi import FastAPI

from tests.tts_service.tone_engine import TOKEN_SECONDS
from tests.workshop.conftest import serving
from tts_service.serving.speech_api import router
from tts_service.voices.library import Library
from tts_service.workshop.audio_file import FORMATS
from tts_service.workshop.label import content_id

TEXT = "今天天气很好我们去公园"


@pytest.fixture
def client(tone, tmp_path):
    """OpenAI's client, talking to an engine of tones."""
    app = FastAPI()
    app.include_router(router(lambda: tone, Library(tmp_path / "voices")))
    with serving(app) as address:
        yield openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


@pytest.fixture
def paced_address(paced, tmp_path):
    app = FastAPI()
    app.include_router(router(lambda: paced, Library(tmp_path / "voices")))
    with serving(app) as address:
        yield address


def decoded(data):
    """Samples, rate and tags of an audio file."""
    with av.open(io.BytesIO(data)) as file:
        samples = np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])
        return samples, file.streams[0].rate, {**file.metadata, **file.streams[0].metadata}


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_holds_the_whole_text_and_says_that_a_machine_made_it(client, format):
    data = client.audio.speech.create(model="tts-1", voice="low", input=TEXT, response_format=format).read()
    if format == "pcm":
        samples, rate = np.frombuffer(data, "<i2"), 24000
    else:
        samples, rate, tags = decoded(data)
        if format != "wav":  # FFmpeg shows only the tags that it knows from a WAV
            assert content_id(tags["AIGC"])
        assert "AI-generated" in tags["comment"]
    assert len(samples) / rate == pytest.approx(len(TEXT) * TOKEN_SECONDS, abs=0.1)
    assert np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples) == pytest.approx(200, abs=5)


def test_speed_and_voice_reach_the_engine(client):
    data = client.audio.speech.create(model="tone", voice="high", input=TEXT, response_format="pcm", speed=2).read()
    assert len(data) / 48000 == pytest.approx(len(TEXT) * TOKEN_SECONDS / 2, abs=0.05)


def test_the_language_says_how_numbers_are_read(client):
    seconds = {}
    for language in ("zh", "en"):
        asked = client.audio.speech.create(
            model="tone", voice="low", input="2026", response_format="pcm", extra_body={"language": language}
        )
        seconds[language] = len(asked.read()) / 48000
    assert seconds["zh"] == pytest.approx(len("两千零二十六") * TOKEN_SECONDS, abs=0.05)
    assert seconds["en"] == pytest.approx(3 * TOKEN_SECONDS, abs=0.05)


@pytest.mark.parametrize("format", FORMATS)
def test_sound_arrives_while_the_rest_is_not_made_yet(paced, paced_address, format):
    client = openai.OpenAI(base_url=f"{paced_address}/v1", api_key="none", max_retries=0)
    paced.engine.permits.release(8)
    request = client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="low", input=TEXT, response_format=format
    )
    with request as response:
        pieces = response.iter_bytes(1)
        header = 2000 if format in ("flac", "opus") else 400
        for _ in range(header):
            next(pieces)
        assert len(paced.engine.steps) < len(TEXT)
        paced.engine.free = True
        paced.engine.permits.release(len(TEXT))
        assert sum(map(len, pieces)) > 0
    assert len(paced.engine.steps) == len(TEXT)


def test_server_sent_events(client):
    request = client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="low", input=TEXT, response_format="pcm", stream_format="sse"
    )
    with request as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line]
    assert [event["type"] for event in events[:-1]] == ["speech.audio.delta"] * (len(events) - 1)
    assert len(events) > 3
    assert events[-1]["type"] == "speech.audio.done"
    audio = b"".join(base64.b64decode(event["audio"]) for event in events[:-1])
    assert len(audio) / 48000 == pytest.approx(len(TEXT) * TOKEN_SECONDS, abs=0.01)


def test_a_client_that_disconnects_frees_the_engine(paced, paced_address):
    paced.engine.permits.release(3)
    body = {"model": "tts-1", "input": TEXT, "response_format": "pcm"}
    with httpx.stream("POST", f"{paced_address}/v1/audio/speech", json=body) as response:
        next(response.iter_bytes())
    assert paced.engine.stopped.wait(30)
    assert len(paced.engine.steps) <= 4


def test_a_client_that_leaves_before_the_first_sound_frees_the_engine(paced, paced_address):
    body = {"model": "tts-1", "input": TEXT, "response_format": "pcm"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{paced_address}/v1/audio/speech", json=body, timeout=httpx.Timeout(10, read=1))
    assert paced.engine.stopped.wait(30)
    assert not paced.active


def test_a_slow_reader_holds_the_engine_back(paced, paced_address):
    """What is made ahead is bounded by the lead and the sockets' buffers, not by the length of the text."""
    paced.engine.free = True
    text = "好" * 20_000
    body = {"model": "tts-1", "input": text, "response_format": "pcm"}
    with httpx.stream("POST", f"{paced_address}/v1/audio/speech", json=body, timeout=60) as response:
        pieces = response.iter_bytes(1 << 20)
        next(pieces)
        made, tick = [-1, 0], threading.Event()
        while made[-1] != made[-2]:
            tick.wait(1)
            made.append(len(paced.engine.steps))
        assert made[-1] < len(text) / 2
        for _ in range(20):
            next(pieces)
        assert len(paced.engine.steps) > made[-1]
    assert paced.engine.stopped.wait(30)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"voice": "nobody"}, openai.BadRequestError, "available: low, high"),
        ({"speed": 5}, openai.BadRequestError, "speed"),
        ({"model": "gpt-9"}, openai.NotFoundError, "tone"),
        ({"input": ""}, openai.BadRequestError, "input"),
        ({"input": "……"}, openai.BadRequestError, "nothing to say"),
        ({"input": "坏"}, openai.BadRequestError, "坏"),
        ({"input": "好" * 20_001}, openai.BadRequestError, "20000"),
        ({"response_format": "wma"}, openai.BadRequestError, "response_format"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(client, change, error, said):
    request = {"model": "tts-1", "voice": "low", "input": TEXT, **change}
    with pytest.raises(error, match=said):
        client.audio.speech.create(**request)


def test_too_many_at_once(tone, client):
    tone._capacity = 0
    with pytest.raises(openai.RateLimitError):
        client.audio.speech.create(model="tts-1", voice="low", input=TEXT)


def test_voices(client):
    listed = httpx.get(f"{client.base_url}voices").json()
    assert listed["engine"] == "tone"
    assert [voice["id"] for voice in listed["data"]] == ["low", "high"]


def test_while_the_voice_is_loading():
    app = FastAPI()
    app.include_router(router(lambda: None))
    with serving(app) as address:
        reply = httpx.post(f"{address}/v1/audio/speech", json={})
    assert reply.status_code == 503
    assert int(reply.headers["Retry-After"]) > 0
