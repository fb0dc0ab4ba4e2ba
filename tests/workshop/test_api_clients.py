"""What existing clients send, by their own libraries where there is one, else word for word."""

import asyncio
import base64
import io
import json

import httpx
import numpy as np
import openai
import pytest
import soundfile
from fastapi import FastAPI
from pipecat.frames.frames import TTSAudioRawFrame
from pipecat.services.openai.tts import VALID_VOICES, OpenAITTSService

from tests.tts_service.tone_engine import TOKEN_SECONDS
from tests.workshop.conftest import serving
from tests.workshop.test_speech_api import decoded
from tts_service.serving.asked import OFFICIAL_VOICES
from tts_service.serving.speech_api import router
from tts_service.voices.library import Library

TEXT = "今天天气很好我们去公园"
SECONDS = len(TEXT) * TOKEN_SECONDS


@pytest.fixture
def address(tone, tmp_path):
    def transcribe(samples, rate):
        assert pitch(samples, rate) == pytest.approx(200, abs=5)
        return "今天天气很好"

    app = FastAPI()
    renamed = {"nova": "high", "jack": "high"}
    app.include_router(router(lambda: tone, Library(tmp_path / "voices"), renamed=renamed, transcribe=transcribe))
    with serving(app) as address:
        yield address


def speech(address, **body):
    return httpx.post(f"{address}/v1/audio/speech", json={"input": TEXT, **body})


def pitch(samples, rate=24000):
    return np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"model": "tts-1", "voice": "alloy"}, id="Open WebUI"),
        pytest.param(
            {"model": "tts-1", "voice": "alloy", "response_format": "mp3", "speed": 1},
            id="SillyTavern, n8n",
        ),
        pytest.param({"model": "tts-1", "voice": "shimmer", "backend": "openai"}, id="LibreChat"),
        pytest.param(
            {"model": "gpt-4o-mini-tts-2025-12-15", "voice": "coral", "instructions": "", "response_format": "mp3"},
            id="Home Assistant, OpenReader",
        ),
        pytest.param(
            {
                "model": "kokoro",
                "voice": "low",
                "stream": True,
                "lang_code": "z",
                "volume_multiplier": 1.0,
                "normalization_options": {"normalize": True},
                "return_download_link": False,
                "download_format": None,
            },
            id="Kokoro-FastAPI's clients",
        ),
        pytest.param(
            {"model": "tts-1-1106", "voice": "LOW", "response_format": None, "speed": None, "stream_format": None},
            id="unset fields as null, the name in capitals",
        ),
        pytest.param({"voice": "", "user": "u1", "seed": 1, "temperature": 0.8, "provider": "x"}, id="neither"),
    ],
)
def test_requests_as_clients_write_them(address, body):
    response = speech(address, **body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "audio/mpeg"
    samples, rate, _ = decoded(response.content)
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("name", OFFICIAL_VOICES)
def test_every_official_voice_speaks(address, name):
    response = speech(address, model="tts-1", voice=name, response_format="pcm")
    assert response.status_code == 200
    expected = 400 if name == "nova" else 200  # the settings give nova another one
    assert pitch(np.frombuffer(response.content, "<i2")) == pytest.approx(expected, abs=5)


def test_a_name_of_one_s_own_is_mapped_and_nobody_s_is_refused(address):
    response = speech(address, voice="Jack", response_format="pcm")
    assert pitch(np.frombuffer(response.content, "<i2")) == pytest.approx(400, abs=5)
    assert "available: low, high" in speech(address, voice="jill").json()["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "kind"), [("ogg", "audio/ogg; codecs=opus"), ("MP3", "audio/mpeg"), ("AAC", "audio/aac")]
)
def test_formats_by_their_other_names(address, asked, kind):
    response = speech(address, voice="low", response_format=asked)
    assert response.headers["content-type"] == kind
    assert decoded(response.content)[0].size


@pytest.mark.parametrize("speed", [0.25, 0.3, 2.5, 4])
def test_openai_s_range_of_tempi(address, speed):
    samples = np.frombuffer(speech(address, voice="low", response_format="pcm", speed=speed).content, "<i2")
    assert len(samples) / 24000 == pytest.approx(SECONDS / speed, abs=0.02)


def test_asked_for_whole_a_file_has_its_lengths(address):
    response = speech(address, voice="low", response_format="wav", stream=False)
    assert int(response.headers["content-length"]) == len(response.content)
    samples, rate = soundfile.read(io.BytesIO(response.content))
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.01)


def test_a_path_with_a_slash_at_its_end_is_no_redirect(address):
    response = httpx.post(f"{address}/v1/audio/speech/", json={"input": TEXT, "voice": "alloy"})
    assert response.status_code == 200


async def test_openai_s_asynchronous_client(address):
    client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    names = [model.id async for model in client.models.list()]
    assert {"tone", "tts-1", "gpt-4o-mini-tts"} <= set(names)
    assert (await client.models.retrieve("tts-1")).id == "tts-1"
    with pytest.raises(openai.NotFoundError, match="use one of tone"):
        await client.models.retrieve("gpt-9")
    request = client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="marin", input=TEXT, instructions="Speak cheerfully.", response_format="pcm"
    )
    async with request as response:
        data = b"".join([piece async for piece in response.iter_bytes()])
    assert len(data) / 48000 == pytest.approx(SECONDS, abs=0.01)


async def test_pipecat_s_own_openai_service(address):
    assert set(VALID_VOICES) <= set(OFFICIAL_VOICES)  # it sends no others
    settings = OpenAITTSService.Settings(voice="ballad", instructions="Calmly.")
    service = OpenAITTSService(api_key="none", base_url=f"{address}/v1", settings=settings)
    service._sample_rate = 24000  # as the pipeline's start would set it
    frames = [frame async for frame in service.run_tts(TEXT, "context")]
    assert {type(frame) for frame in frames} == {TTSAudioRawFrame}
    assert sum(len(frame.audio) for frame in frames) / 48000 == pytest.approx(SECONDS, abs=0.01)


def test_open_webui_finds_voices_and_models(address):
    voices = httpx.get(f"{address}/v1/audio/voices").json()["voices"]
    assert {voice["id"]: voice["name"] for voice in voices}.keys() >= {"low", "high", "alloy"}
    assert {"id": "tts-1", "name": "tts-1"} in httpx.get(f"{address}/v1/audio/models").json()["models"]


def test_times_come_with_the_events_of_their_sound(address, tone):
    with httpx.stream(
        "POST",
        f"{address}/v1/audio/speech",
        json={"input": TEXT, "voice": "low", "response_format": "pcm", "stream_format": "sse", "timestamps": True},
    ) as response:
        events = [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line]
    told = [time for event in events if event["type"] == "speech.timestamps" for time in event["timestamps"]]
    streamed = [timing for chunk in tone.stream(TEXT, "low") for timing in chunk.timings]
    assert [time["text"] for time in told] == list(TEXT)
    assert [time["start"] for time in told] == pytest.approx([timing.seconds for timing in streamed])
    assert [time["end"] for time in told] == pytest.approx([*(timing.seconds for timing in streamed[1:]), SECONDS])
    sounded = 0.0
    for event in events:
        if event["type"] == "speech.audio.delta":
            sounded += len(base64.b64decode(event["audio"])) / 48000
        elif event["type"] == "speech.timestamps":
            assert event["timestamps"][-1]["end"] <= sounded + TOKEN_SECONDS + 0.01


@pytest.mark.parametrize("stream", [True, False])
def test_captioned_speech_as_kokoro_fastapi_gives_it(address, stream):
    body = {"model": "kokoro", "input": TEXT, "voice": "low", "response_format": "pcm", "stream": stream}
    response = httpx.post(f"{address}/dev/captioned_speech", json=body)
    objects = [json.loads(line) for line in response.text.splitlines()]
    assert (len(objects) == 1) is not stream
    assert {one["audio_format"] for one in objects} == {"pcm"}
    assert sum(len(base64.b64decode(one["audio"])) for one in objects) / 48000 == pytest.approx(SECONDS, abs=0.01)
    words = [word for one in objects for word in one["timestamps"]]
    assert "".join(word["word"] for word in words) == TEXT
    assert all(0 <= word["start_time"] < word["end_time"] <= SECONDS + 0.01 for word in words)


@pytest.mark.parametrize(("form", "kind"), [("json", "application/json"), ("text", "text/plain"), ("verbose_json", "")])
def test_transcriptions(address, form, kind):
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    sound = io.BytesIO(speech(address, voice="low", response_format="wav", stream=False).content)
    heard = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", sound), response_format=form)
    text = heard if isinstance(heard, str) else heard.text
    assert text.strip() == "今天天气很好"
    if form == "verbose_json":
        assert heard.duration == pytest.approx(SECONDS, abs=0.01)


def test_what_is_no_sound_is_refused_in_words(address):
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="cannot be read as audio"):
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"no sound at all"))
    sound = io.BytesIO(speech(address, voice="low", response_format="wav", stream=False).content)
    with pytest.raises(openai.BadRequestError, match="json, text or verbose_json"):
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", sound), response_format="srt")


async def test_a_hundred_clients_that_come_and_go_leave_nothing_behind(address, tone):
    async def come_and_go(http, number):
        body = {"input": TEXT * 20, "voice": "low", "response_format": "pcm"}
        async with http.stream("POST", f"{address}/v1/audio/speech", json=body) as response:
            if response.status_code == 200 and number % 2:
                async for _ in response.aiter_bytes():
                    return

    async with httpx.AsyncClient(timeout=60) as http:
        await asyncio.gather(*(come_and_go(http, number) for number in range(100)))
    async with asyncio.timeout(30):
        while tone.active:
            await asyncio.sleep(0.05)
