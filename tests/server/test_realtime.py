"""OpenAI's Realtime API with a fake language model and an engine of tones: what is asked, what is remembered."""

import asyncio
import base64
import contextlib
import gc
import json
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.pipeline import Conversation, Models
from agent.realtime.asked import EVENTS, Format, SessionAsked
from agent.realtime.wire import Decoder, Encoder
from tests.agent.endpoint import Endpoint, delta
from tests.realtime import client, message, serving
from tests.tts_service.tone_engine import TOKEN_SECONDS, ToneEngine
from tests.workshop.conftest import PacedEngine
from tts_service import Synthesizer

TEXT_ONLY = {"type": "realtime", "output_modalities": ["text"]}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "天气",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Brain(Endpoint):
    async def _weather(self, request):
        if any(m["role"] == "tool" and "晴" in m["content"] for m in self.requests[-1]["messages"]):
            return await self._answer(request)
        call = {"index": 0, "id": "call_1", "function": {"name": "get_weather", "arguments": '{"city": "重庆"}'}}
        return await self._stream(request, delta(tool_calls=[call]), b"data: [DONE]\n\n")

    def remembered(self):
        """What the last request said of the conversation."""
        return [(m["role"], m.get("content")) for m in self.requests[-1]["messages"][1:]]


@pytest.fixture
async def brain():
    endpoint = Brain()
    async with endpoint.running() as endpoint.url:
        yield endpoint


@pytest.fixture(scope="module")
def models():
    with Synthesizer(ToneEngine()) as synthesizer:
        yield Models(synthesizer, None)


@pytest.fixture
async def url(models, brain):
    async with serving(models, f"brain.base_url={brain.url}", "brain.model=fake", "server.max_sessions=3") as url:
        yield url


@pytest.fixture
async def talking(url):
    async with client(url) as talking:
        yield talking


async def test_a_spoken_answer_to_a_typed_message(talking, brain):
    connection = talking.connection
    await connection.session.update(session={"type": "realtime", "instructions": "说话要短。"})
    updated = await talking.until("session.updated")
    assert updated.session.instructions == "说话要短。"
    await connection.conversation.item.create(item=message("天气怎么样？", id="question"))
    await connection.response.create(response={"metadata": {"turn": "1"}})
    done = (await talking.until("response.done")).response
    assert (done.status, done.metadata) == ("completed", {"turn": "1"})
    assert done.output[0].content[0].transcript == brain.text
    assert "".join(e.delta for e in talking.told("response.output_audio_transcript.delta")) == brain.text
    sound = b"".join(base64.b64decode(e.delta) for e in talking.told("response.output_audio.delta"))
    assert len(sound) / 2 / 24000 == pytest.approx(len(brain.text.rstrip("。")) * TOKEN_SECONDS, abs=0.25)
    order = [event.type for event in talking.events if "delta" not in event.type]
    assert order[-6:] == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    assert brain.requests[-1]["messages"][0] == {"role": "system", "content": "说话要短。"}
    added = talking.told("conversation.item.added")
    assert (added[0].item.id, added[1].previous_item_id) == ("question", "question")


async def test_the_conversation_is_edited_by_items(talking, brain):
    connection, items = talking.connection, talking.connection.conversation.item
    await connection.session.update(session=TEXT_ONLY)
    for item in (message("一", id="one"), message("二", "assistant", id="two"), message("三", id="three")):
        await items.create(item=item)
    await items.create(item=message("零", "system", id="zero"), previous_item_id="root")
    await items.create(item=message("一半", id="half"), previous_item_id="one")
    await items.delete(item_id="three")
    await items.retrieve(item_id="half")
    assert (await talking.until("conversation.item.retrieved")).item.content[0].text == "一半"
    await connection.response.create()
    done = (await talking.until("response.done")).response
    assert done.output[0].content[0].text == brain.text
    assert brain.remembered() == [("system", "零"), ("user", "一"), ("user", "一半"), ("assistant", "二")]
    await items.delete(item_id=done.output[0].id)
    await talking.until("conversation.item.deleted", item_id=done.output[0].id)
    await connection.response.create()
    await talking.until("response.done")
    assert brain.text not in dict(brain.remembered()).values()
    assert not talking.told("error")


async def test_functions_are_called_by_the_client(talking, brain):
    brain.manner, brain.text = "weather", "重庆是晴天。"
    connection = talking.connection
    await connection.session.update(session={**TEXT_ONLY, "tools": [WEATHER], "tool_choice": "auto"})
    await connection.conversation.item.create(item=message("重庆天气怎么样？"))
    await connection.response.create()
    call = await talking.until("response.function_call_arguments.done")
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "重庆"})
    done = (await talking.until("response.done")).response
    assert [(item.type, item.call_id) for item in done.output] == [("function_call", call.call_id)]
    assert len(brain.requests) == 1  # nobody answers before the result is there
    result = {"type": "function_call_output", "call_id": call.call_id, "output": '{"sky": "晴"}'}
    await connection.conversation.item.create(item=result)
    await connection.response.create()
    done = (await talking.until("response.done")).response
    assert done.output[0].content[0].text == "重庆是晴天。"
    assert ("tool", '{"sky": "晴"}') in brain.remembered()
    assert brain.requests[-1]["tools"][0]["function"]["name"] == "get_weather"


async def test_what_is_different_in_one_response_ends_with_it(talking, brain):
    connection = talking.connection
    await connection.session.update(session={**TEXT_ONLY, "instructions": "普通"})
    await connection.response.create(response={"instructions": "押韵", "max_output_tokens": 7, "tools": [WEATHER]})
    await talking.until("response.done")
    await connection.response.create()
    await talking.until("response.done")
    special, ordinary = brain.requests
    assert [r["messages"][0]["content"] for r in (special, ordinary)] == ["押韵", "普通"]
    assert special["max_tokens"] == 7
    assert "max_tokens" not in ordinary
    assert [[t["function"]["name"] for t in r["tools"]] for r in (special, ordinary)] == [
        ["get_weather"],
        ["get_current_time"],
    ]


async def test_cancelled_and_cut_to_what_was_heard(talking, brain):
    brain.text = "一二三四五六七八九十" * 10
    connection = talking.connection
    await connection.response.create()
    await connection.response.create()
    assert (await talking.until("error")).error.code == "conversation_already_has_active_response"
    while len(talking.told("response.output_audio.delta")) < 20:
        await talking.until("response.output_audio.delta")
    await connection.response.cancel()
    done = (await talking.until("response.done")).response
    assert (done.status, done.status_details.reason) == ("cancelled", "client_cancelled")
    item = done.output[0]
    heard_ms = 2 * round(TOKEN_SECONDS * 1000) + 100  # in the middle of the third
    await connection.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=heard_ms)
    await talking.until("conversation.item.truncated")
    await connection.conversation.item.retrieve(item_id=item.id)
    cut = (await talking.until("conversation.item.retrieved")).item
    brain.text = "好。"
    await connection.response.create()
    done = (await talking.until("response.done")).response
    assert done.output[0].content[0].transcript == "好。"
    assert ("assistant", "一二三") == brain.remembered()[0] == ("assistant", cut.content[0].transcript)
    await connection.response.cancel()
    assert (await talking.until("error")).error.code == "response_cancel_not_active"


async def test_telephone_formats(talking, brain):
    formats = {"input": {"format": {"type": "audio/pcma"}}, "output": {"format": {"type": "audio/pcmu"}, "speed": 2}}
    await talking.connection.session.update(session={"type": "realtime", "audio": formats})
    shown = (await talking.until("session.updated")).session.audio
    assert (shown.input.format.type, shown.output.format.type) == ("audio/pcma", "audio/pcmu")
    await talking.connection.response.create()
    await talking.until("response.done")
    sound = b"".join(base64.b64decode(e.delta) for e in talking.told("response.output_audio.delta"))
    decoder = Decoder(Format(type="audio/pcmu"), 16000)
    assert len(decoder.decode(base64.b64encode(sound).decode())) / 32000 == pytest.approx(len(sound) / 8000, abs=0.1)
    assert len(sound) / 8000 > 0.5


@pytest.mark.parametrize("type", ["audio/pcm", "audio/pcmu", "audio/pcma"])
def test_sound_survives_the_wire(type):
    tone = (np.sin(np.arange(24000) / 24000 * 2 * np.pi * 440) * 12000).astype("<i2")
    format = Format(type=type)
    encoder, decoder = Encoder(format, 24000), Decoder(format, 16000)
    back = b"".join(
        decoder.decode(base64.b64encode(encoder.encode(tone[n : n + 960].tobytes())).decode())
        for n in range(0, 24000, 960)
    )
    samples = np.frombuffer(back, "<i2").astype(float)[2000:-500]
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * 16000 / len(samples) == pytest.approx(440, abs=2)
    assert np.sqrt((samples**2).mean()) == pytest.approx(12000 / np.sqrt(2), rel=0.05)


REFUSED = [
    ({"type": "output_audio_buffer.clear"}, "unsupported_event", "response.cancel"),
    ({"type": "transcription_session.update"}, "unsupported_event", "/v1/audio/transcriptions"),
    ({"type": "response.sing"}, "unknown_event", "response.create"),
    ({"no": "type"}, "invalid_json", "'type'"),
    ({"type": "session.update", "session": {"audio": {"output": {"voice": "nobody"}}}}, "invalid_value", "nobody"),
    ({"type": "session.update", "session": {"audio": {"input": {"format": {"rate": 8000}}}}}, "invalid_value", "24000"),
    ({"type": "session.update", "session": {"type": "transcription"}}, "invalid_value", "realtime"),
    (
        {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"create_response": False}}}}},
        "invalid_value",
        "turn_detection to null",
    ),
    ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "base64"),
    ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "invalid_value", "half a sample"),
    ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", "turn_detection"),
    ({"type": "conversation.item.retrieve", "item_id": "none"}, "item_not_found", "none"),
    ({"type": "conversation.item.create", "item": {"type": "message"}}, "invalid_value", "role"),
    (
        {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "x", "output": ""}},
        "invalid_value",
        "call_id",
    ),
    ({"type": "response.create", "response": {"conversation": "none"}}, "invalid_value", "outside"),
]


async def test_what_cannot_be_done_is_said_and_changes_nothing(talking):
    for number, (asked, code, hint) in enumerate(REFUSED):
        await talking.connection.send_raw(json.dumps({**asked, "event_id": f"mine_{number}"}))
        error = (await talking.until("error")).error
        assert (error.code, error.type) == (code, "invalid_request_error"), error
        assert hint in error.message
        assert error.event_id == (f"mine_{number}" if code != "invalid_json" or "type" in asked else error.event_id)
    await talking.connection.session.update(session={"type": "realtime"})
    shown = (await talking.until("session.updated")).session
    assert shown.audio.output.voice == SessionAsked().audio.output.voice


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.fixed_dictionaries(
    {},
    optional={
        name: junk
        for name in (
            "session",
            "audio",
            "item",
            "item_id",
            "response",
            "audio_end_ms",
            "content_index",
            "previous_item_id",
            "response_id",
            "event_id",
        )
    },
)
events = st.builds(lambda type, rest: json.dumps({"type": type, **rest}), st.sampled_from(sorted(EVENTS)), fields)


async def test_nonsense_never_ends_a_session(url, models):
    """One connection takes it all, and still does what it is asked afterwards."""
    nonsense = []

    @settings(max_examples=80, database=None)
    @given(events | st.text(max_size=60) | junk.map(json.dumps) | st.binary(max_size=40))
    def collect(one):
        nonsense.append(one)

    collect()
    nonsense.append("[" * 100_000)
    async with connect(f"{url.replace('http', 'ws')}/v1/realtime") as socket:
        for one in nonsense:
            await socket.send(one)
        await socket.send(json.dumps({"type": "conversation.item.retrieve", "item_id": "?", "event_id": "the last"}))
        async with asyncio.timeout(30):
            async for told in socket:
                if (json.loads(told).get("error") or {}).get("event_id") == "the last":
                    break


async def test_who_hangs_up_stops_the_engine_and_leaves_nothing_behind(url, models, brain, monkeypatch):
    brain.text = "一二三四五六七八九十" * 30
    conversations, begin = [], Conversation.__init__

    def begun(self, *args, **options):
        begin(self, *args, **options)
        conversations.append(weakref.ref(self))

    monkeypatch.setattr(Conversation, "__init__", begun)
    reports = []
    models.synthesizer.on_report.append(reports.append)
    for _ in range(4):
        async with client(url) as talking:
            await talking.connection.response.create()
            await talking.until("response.output_audio.delta")
        async with asyncio.timeout(10):
            while models.synthesizer.active:
                await asyncio.sleep(0.01)
    models.synthesizer.on_report.remove(reports.append)
    assert len(reports) == 4
    assert max(report.audio for report in reports) < len(brain.text) * TOKEN_SECONDS / 2
    async with asyncio.timeout(10):
        while any(made() for made in conversations):
            gc.collect()
            await asyncio.sleep(0.05)


async def test_who_hangs_up_or_cancels_stops_the_engine_within_a_step(brain):
    brain.text = "一二三四五六七八九十" * 3
    with Synthesizer(PacedEngine()) as synthesizer:
        engine = synthesizer.engine
        models = Models(synthesizer, None)
        async with serving(models, f"brain.base_url={brain.url}", "brain.model=fake") as url:
            for leave in ("cancel", "hang up"):
                engine.stopped.clear()
                engine.steps.clear()
                async with client(url) as talking:
                    await talking.connection.response.create()
                    while not engine.steps:
                        await asyncio.sleep(0.01)
                    engine.permits.release()
                    await talking.until("response.output_audio.delta")
                    if leave == "cancel":
                        await talking.connection.response.cancel()
                        assert await asyncio.to_thread(engine.stopped.wait, 10)
                assert await asyncio.to_thread(engine.stopped.wait, 10), leave
                assert len(engine.steps) <= 3, leave


async def test_no_seat_is_told_and_closed(url):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(client(url))
        async with connect(f"{url.replace('http', 'ws')}/v1/realtime") as socket:
            told = json.loads(await socket.recv())
            assert (told["type"], told["error"]["code"]) == ("error", "full")
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd.code == 1013


async def test_the_gate_asks_for_the_token_as_clients_can_send_it(models):
    async with serving(models, "server.token=secret") as url:
        address = f"{url.replace('http', 'ws')}/v1/realtime"
        page = {"origin": "http://evil.example", "additional_headers": {"Authorization": "Bearer secret"}}
        for options in ({}, {"subprotocols": ["realtime", "openai-insecure-api-key.guess"]}, page):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(address, **options):
                    pass
            assert refused.value.response.status_code == 403
        good = (
            {"additional_headers": {"Authorization": "Bearer secret"}},
            {"subprotocols": ["realtime", "openai-insecure-api-key.secret"]},
        )
        for options in good:
            async with connect(address, **options) as socket:
                assert json.loads(await socket.recv())["type"] == "session.created"
                assert socket.subprotocol == ("realtime" if "subprotocols" in options else None)
