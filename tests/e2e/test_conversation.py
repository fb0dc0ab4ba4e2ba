"""Conversations held with a running agent through its real ears, demo brain and voice."""

import asyncio
import json

import numpy as np
import pytest
import soxr
import websockets
from pipecat.evals.serializer import EvalConnectionFlags, eval_connect_message

from agent.brain.demo import GREETING, QUIET, STORY
from agent.settings import Settings
from tests.agent.endpoint import Endpoint
from tests.agent.speech import SAMPLE_RATE, error_rate
from tests.e2e.talk import Agent, load_scenarios
from tts_service.voices.recogniser import Recogniser

pytestmark = pytest.mark.e2e

RATE = 24000
"""Of what the agent says."""


@pytest.fixture(scope="module")
def scenarios(models, tmp_path_factory):
    return load_scenarios("conversation", tmp_path_factory.mktemp("scenarios"), models.synthesizer)


@pytest.fixture(scope="module")
def witness():
    """Ears that report whatever they hear: what is cut off in mid-sentence sounds doubtful to the agent's own."""
    recogniser = Recogniser(languages=("zh",), max_no_speech=1.0, max_compression=float("inf"))
    yield lambda samples: recogniser.transcribe(soxr.resample(samples, RATE, SAMPLE_RATE)).text
    recogniser.close()


@pytest.fixture
async def agent(models, request):
    """With a short greeting, except where the greeting is what the test is about."""
    long = "greeting" in request.node.name
    settings = Settings() if long else Settings.load(overrides=["brain.greeting=你好。"])
    async with Agent(models, settings).served() as agent:
        yield agent


async def hold(agent, scenario):
    result = await agent.hold(scenario)
    assert result.passed, "\n".join(result.debug_log)
    session = agent.sessions[-1]
    await asyncio.wait_for(session.over.wait(), 30)
    return session


def all_was_said(session):
    assert not session.told("error")
    spoken = "".join(answer["text"] for answer in session.told("answer"))
    assert np.count_nonzero(session.heard()) / RATE > 0.08 * len(spoken), "the answers were written but not spoken"
    assert not [answer for answer in session.told("answer") if answer["interrupted"]]


@pytest.mark.parametrize("name", ["mixed", "typed", "silence", "noise"])
async def test_scenario(agent, scenarios, name):
    all_was_said(await hold(agent, scenarios[name]))


async def test_the_greeting_is_spoken_and_remembered_to_its_end(agent, scenarios, witness):
    session = await hold(agent, scenarios["greeting"])
    assert session.told("answer") == [{"text": GREETING, "interrupted": False}]
    assert error_rate(witness(session.heard()), GREETING) < 0.3


@pytest.mark.parametrize("name", ["barge_in", "interrupts_the_greeting"])
async def test_what_was_heard_is_what_is_remembered(agent, scenarios, witness, name):
    session = await hold(agent, scenarios[name])
    before = 0.0
    for at, kind, data in session.events:
        if kind == "answer" and data["interrupted"]:
            break
        before = at if kind == "answer" else before
    remembered = data["text"]
    assert data["interrupted"]
    assert remembered
    # The client's loudspeaker is the witness: what it played until then is what the context says.
    played = [(time, frame) for time, frame in session.audio if before <= time <= at]
    assert played
    session.audio = played
    heard = witness(session.heard())
    assert error_rate(heard, remembered) < 0.4, (heard, remembered)


async def test_a_nod_goes_by(agent, scenarios):
    session = await hold(agent, scenarios["nods"])
    heard = [data["text"] for data in session.told("heard")]
    assert len(heard) == 1, f"the nod is no turn: {heard}"
    began = next(at for at, decibels in session.ducked if decibels)
    over = next(at for at, decibels in session.ducked if at > began and not decibels)
    assert 0.2 < over - began < 4, "it gives way for the length of a nod"
    levels = [(at, np.abs(np.frombuffer(frame.audio, "<i2")).max()) for at, frame in session.audio]
    during = max(level for at, level in levels if began + 0.1 < at < over)
    assert 100 < during < 0.5 * max(level for at, level in levels if at < began or at > over + 1)


class Alarmed:
    """Takes whatever it hears for an interruption."""

    def meant(self, states):
        return 0.99


async def test_a_nod_that_stops_the_agent_by_mistake_costs_nothing_and_a_command_ends_it(
    models, scenarios, monkeypatch
):
    monkeypatch.setattr("agent.ears.stt.Reactions.packaged", Alarmed)
    async with Agent(models, Settings.load(overrides=["brain.greeting="])).served() as agent:
        session = await hold(agent, scenarios["stopped_by_nods"])
    told = [turn["text"] for turn in session.told("heard")]
    assert len(told) == 2, f"the nods are no turns: {told}"
    parts = [answer["text"] for answer in session.told("answer")]
    assert QUIET[0].startswith(parts.pop())
    assert len(parts) == 3
    begins = [STORY[0].index(part) for part in parts]
    ends = [at + len(part) for at, part in zip(begins, parts, strict=True)]
    # Each goes on from the clause in which the one before was cut.
    for begin, end in zip(begins[1:], ends, strict=False):
        assert 0 < begin <= end
        assert STORY[0][begin - 1] in "，。"
        assert not set("，。") & set(STORY[0][begin : end - 1])


async def test_two_conversations_at_once_and_the_parts_of_their_latency(agent, scenarios):
    both = await asyncio.gather(agent.hold(scenarios["question_and_answer"]), agent.hold(scenarios["english"]))
    for result, session in zip(both, agent.sessions, strict=True):
        assert result.passed, "\n".join(result.debug_log)
        await asyncio.wait_for(session.over.wait(), 30)
        all_was_said(session)
        [latency] = session.told("latency")
        assert {"endpointing_wait", "transcription", "speech_synthesis"} <= latency["parts"].keys()
        assert sum(latency["parts"].values()) == pytest.approx(latency["seconds"], abs=0.01)


async def wait_until(condition, seconds=30.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def connect(agent):
    """A client without manners, in the middle of the greeting."""
    client = await websockets.connect(agent.url)
    await client.send(eval_connect_message(EvalConnectionFlags()))
    await client.send(json.dumps({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.0.0"}}))
    await wait_until(lambda: agent.sessions and agent.sessions[-1].audio, 60)
    return client


async def test_a_client_that_vanishes_in_the_greeting_frees_everything(agent):
    client = await connect(agent)
    client.transport.abort()
    await asyncio.wait_for(agent.sessions[-1].over.wait(), 30)
    await wait_until(lambda: agent.models.synthesizer.active == 0)
    assert agent.sessions[-1].told("finished")


async def test_a_conversation_cancelled_in_the_greeting_ends_at_once(agent):
    client = await connect(agent)
    agent.tasks[-1].cancel()
    await asyncio.wait_for(agent.sessions[-1].over.wait(), 30)
    await wait_until(lambda: agent.models.synthesizer.active == 0)
    await client.close()


async def test_a_client_changes_the_voice(agent):
    client = await connect(agent)

    async def ask(kind, data):
        message = {"label": "rtvi-ai", "type": "client-message", "id": kind, "data": {"t": kind, "d": data}}
        await client.send(json.dumps(message))
        async with asyncio.timeout(30):
            async for text in client:
                answer = json.loads(text)
                if answer["type"] in ("server-response", "error-response"):
                    return answer["type"], answer["data"]

    kind, data = await ask("voices", {})
    names = [voice["name"] for voice in data["d"]["voices"]]
    assert names == [voice.name for voice in agent.models.synthesizer.voices()]
    assert await ask("voice", {"name": names[1], "speed": 1.5}) == (
        "server-response",
        {"t": "voice", "d": {"name": names[1], "speed": 1.5, "language": None}},
    )
    for wrong, word in (
        ({"name": "nobody"}, "nobody"),
        ({"speed": 9}, "speed"),
        ({"engine": "glm"}, "name"),
        (3, "name"),
    ):
        kind, data = await ask("voice", wrong)
        assert kind == "error-response"
        assert word in data["error"]
    kind, data = await ask("voice", {"language": "zh"})
    assert data["d"] == {"name": names[1], "speed": 1.5, "language": "zh"}, "what was refused must not have changed"
    await client.close()


async def test_an_endpoint_that_comes_and_goes(models, tmp_path):
    scenarios = load_scenarios("endpoint", tmp_path, models.synthesizer)
    endpoint = Endpoint()
    endpoint.manner = "overloaded"
    async with endpoint.running() as url:
        settings = Settings.load(overrides=[f"brain.base_url={url}", "brain.model=fake", "brain.greeting=你好。"])
        async with Agent(models, settings).served() as agent:
            result = await agent.hold(scenarios["down"])
            assert result.passed, "\n".join(result.debug_log)
            assert agent.sessions[-1].told("error")
            endpoint.manner = "answer"
            result = await agent.hold(scenarios["up"])
            assert result.passed, "\n".join(result.debug_log)
