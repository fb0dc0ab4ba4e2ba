import asyncio
import base64
import json

import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from tests.tts_service.tone_engine import TOKEN_SECONDS
from tests.workshop.conftest import serving
from tts_service.serving.speech_api import router
from tts_service.voices.library import Library

TEXT = "今天天气很好我们去公园"


def served(synthesizer, tmp_path):
    app = FastAPI()
    app.include_router(router(lambda: synthesizer, Library(tmp_path / "voices")))
    return serving(app)


@pytest.fixture
def url(tone, tmp_path):
    with served(tone, tmp_path) as address:
        yield address.replace("http", "ws") + "/v1/audio/speech/stream"


@pytest.fixture
def paced_url(paced, tmp_path):
    with served(paced, tmp_path) as address:
        yield address.replace("http", "ws") + "/v1/audio/speech/stream"


class Client:
    def __init__(self, socket):
        self.socket = socket

    async def say(self, *messages):
        for message in messages:
            await self.socket.send(json.dumps(message))

    async def hear(self, until=("done", "cancelled", "error")):
        """Sound, timestamps and the last message."""
        sound, times = b"", []
        async with asyncio.timeout(30):
            async for message in self.socket:
                if isinstance(message, bytes):
                    sound += message
                    continue
                told = json.loads(message)
                if told["type"] == "timestamps":
                    times += told["timestamps"]
                elif told["type"] == "audio":
                    sound += base64.b64decode(told["audio"])
                if told["type"] in until:
                    return np.frombuffer(sound, "<i2"), times, told


@pytest.fixture
async def client(url):
    async with connect(url) as socket:
        yield Client(socket)


@pytest.mark.parametrize("audio", ["binary", "base64"])
async def test_a_text_in_pieces_becomes_the_same_speech_as_the_whole(client, tone, audio):
    pieces = [{"type": "text", "text": character} for character in TEXT]
    await client.say({"type": "start", "id": "a1", "voice": "high", "audio": audio}, *pieces, {"type": "end"})
    sound, times, last = await client.hear()
    whole = [chunk for chunk in tone.stream(TEXT, "high")]
    expected = (np.concatenate([chunk.samples for chunk in whole]) * 32767).round().astype(np.int16)
    np.testing.assert_array_equal(sound, expected)
    assert "".join(time["text"] for time in times) == TEXT
    assert [time["start"] for time in times] == pytest.approx([t.seconds for chunk in whole for t in chunk.timings])
    assert last == {"type": "done", "id": "a1", "seconds": pytest.approx(len(TEXT) * TOKEN_SECONDS)}


async def test_sound_comes_with_the_first_clause_while_the_rest_is_not_written(client):
    await client.say({"type": "start"}, {"type": "text", "text": "今天天气很好，"})
    _, _, started = await client.hear(until=("started",))
    assert started["sample_rate"] == 24000
    async with asyncio.timeout(10):
        while not isinstance(await client.socket.recv(), bytes):
            pass
    await client.say({"type": "text", "text": "我们去公园。"}, {"type": "end"})
    _, times, last = await client.hear()
    assert last["type"] == "done"
    assert "".join(time["text"] for time in times).endswith("我们去公园")


async def test_a_flush_speaks_what_is_there(client, monkeypatch):
    monkeypatch.setattr("tts_service.speech.utterance.STALL_SECONDS", 1000)
    await client.say({"type": "start"}, {"type": "text", "text": "今天"}, {"type": "flush"})
    async with asyncio.timeout(10):
        while not isinstance(await client.socket.recv(), bytes):
            pass


async def test_a_cancel_stops_the_engine_and_the_next_utterance_follows(paced, paced_url):
    async with connect(paced_url) as socket:
        client = Client(socket)
        paced.engine.permits.release(3)
        await client.say({"type": "start", "id": "1"}, {"type": "text", "text": TEXT}, {"type": "end"})
        async with asyncio.timeout(10):
            while not isinstance(await socket.recv(), bytes):
                pass
        await client.say({"type": "cancel"})
        _, _, last = await client.hear()
        assert last == {"type": "cancelled", "id": "1"}
        assert await asyncio.to_thread(paced.engine.stopped.wait, 10)
        assert len(paced.engine.steps) <= 4
        paced.engine.free = True
        paced.engine.permits.release(100)
        await client.say({"type": "start", "id": "2"}, {"type": "text", "text": "好"}, {"type": "end"})
        sound, _, last = await client.hear()
        assert last["id"] == "2"
        assert len(sound) / 24000 == pytest.approx(TOKEN_SECONDS)


async def test_a_client_that_leaves_frees_the_engine(paced, paced_url):
    paced.engine.permits.release(2)
    async with connect(paced_url) as socket:
        await Client(socket).say({"type": "start"}, {"type": "text", "text": TEXT}, {"type": "end"})
        while not isinstance(await socket.recv(), bytes):
            pass
    assert await asyncio.to_thread(paced.engine.stopped.wait, 10)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (["nonsense"], "Invalid JSON"),
        ([[1, 2]], "message"),
        ([{"type": "sing"}], "sing"),
        ([{"type": "text", "text": "好"}], "send 'start' first"),
        ([{"type": "start", "voice": "nobody"}], "available: low, high"),
        ([{"type": "start", "speed": 9}], "speed"),
        ([{"type": "start"}, {"type": "start"}], "is being spoken"),
        ([{"type": "start"}, {"type": "end"}, {"type": "text", "text": "好"}], "send 'start'"),
        ([{"type": "start"}, {"type": "text", "text": "好" * 20_001}], "20000"),
        ([{"type": "start"}, {"type": "text", "text": "坏"}, {"type": "end"}], "坏"),
    ],
)
async def test_what_is_wrong_is_told_and_the_connection_goes_on(client, messages, said):
    for message in messages:
        await client.socket.send(message if message == "nonsense" else json.dumps(message))
    _, _, last = await client.hear(until=("error",))
    assert said in last["message"]
    await client.say({"type": "cancel"}, {"type": "start", "id": "z"}, {"type": "text", "text": "好"}, {"type": "end"})
    while last.get("id") != "z":
        _, _, last = await client.hear(until=("done",))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
WORDS = st.sampled_from(["start", "text", "flush", "end", "cancel", "x"])
MESSAGES = JSON | st.fixed_dictionaries(
    {"type": WORDS}, optional={"text": JSON, "id": JSON, "voice": JSON, "speed": JSON, "response_format": JSON}
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MESSAGES.map(json.dumps) | st.text(max_size=30) | st.binary(max_size=30), max_size=12))
def test_no_sequence_of_messages_harms_the_connection(url, tone, messages):
    async def throw():
        async with connect(url) as socket:
            for message in messages:
                await socket.send(message)
            client = Client(socket)
            await client.say({"type": "cancel"}, {"type": "start", "id": "last"}, {"type": "text", "text": "好"})
            await client.say({"type": "end"})
            last = {}
            while last.get("id") != "last":
                _, _, last = await client.hear(until=("done",))

    asyncio.run(throw())
