import asyncio
import json
import re
from datetime import date
from itertools import chain

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TTSSpeakFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair

from agent.brain.functions import named_functions
from agent.brain.llm import LONGEST_TOOL_CHAIN, THINKING, TOOLS, EndpointLLM, Trouble, is_chinese
from agent.settings import BrainSettings
from tests.agent.endpoint import Endpoint
from tests.pipeline import first_text, run_test, until


@pytest.fixture
async def endpoint():
    endpoint = Endpoint()
    async with endpoint.running() as endpoint.url:
        yield endpoint


def brain(url: str, **settings) -> EndpointLLM:
    return EndpointLLM(BrainSettings(base_url=url, model="fake", **{"first_token_timeout": 20, **settings}))


async def ask(llm: EndpointLLM, question: str = "今天天气怎么样？"):
    """What is said to a question, and the errors reported on the way."""
    context = LLMContext([{"role": "user", "content": question}])
    down, up = await run_test(llm, frames_to_send=[LLMContextFrame(context)])
    assert [type(f) for f in down if isinstance(f, (LLMFullResponseStartFrame, LLMFullResponseEndFrame))] == [
        LLMFullResponseStartFrame,
        LLMFullResponseEndFrame,
    ]
    said = "".join(frame.text for frame in down if isinstance(frame, LLMTextFrame))
    return said, [frame for frame in up if isinstance(frame, ErrorFrame)]


async def test_an_answer_streams_through(endpoint):
    said, errors = await ask(brain(endpoint.url))
    assert said == "今天天气很好。"
    assert not errors
    [request] = endpoint.requests
    assert request["model"] == "fake"
    assert [message["role"] for message in request["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("manner", "trouble"),
    [
        ("never", Trouble.SLOW),
        ("drip", Trouble.SLOW),
        ("html", Trouble.GARBLED),
        ("empty", Trouble.GARBLED),
        ("blank", Trouble.GARBLED),
        ("broken_json", Trouble.GARBLED),
        ("wrong_types", Trouble.GARBLED),
        ("number", Trouble.GARBLED),
        ("binary", Trouble.GARBLED),
        ("error_in_stream", Trouble.GARBLED),
        ("overloaded", Trouble.DOWN),
        ("unauthorized", Trouble.REFUSED),
        ("busy", Trouble.BUSY),
        ("bad_arguments", Trouble.GARBLED),
    ],
)
async def test_trouble_is_said_aloud_in_the_language_of_the_user(endpoint, manner, trouble):
    endpoint.manner = manner
    chinese, english = trouble.value
    timeout = 0.3 if trouble is Trouble.SLOW else 20
    said, errors = await ask(brain(endpoint.url, first_token_timeout=timeout), "今天天气怎么样？")
    assert said.strip(" \n\x00…") == chinese
    assert len(errors) == 1
    said, _ = await ask(brain(endpoint.url, first_token_timeout=timeout), "How is the weather?")
    assert said.strip(" \n\x00…") == english


async def test_nobody_at_the_address():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    said, _ = await ask(brain(f"http://127.0.0.1:{port}/v1"))
    assert said == Trouble.DOWN.value[0]


async def test_a_connection_that_breaks(endpoint):
    endpoint.manner = "hang_up"
    said, _ = await ask(brain(endpoint.url))
    assert said in (Trouble.DOWN.value[0], Trouble.GARBLED.value[0])


async def test_an_answer_that_stops_in_the_middle(endpoint):
    endpoint.manner = "stall"
    said, _ = await ask(brain(endpoint.url, stall_timeout=0.3))
    assert said == "今天" + Trouble.SLOW.value[0]


async def test_the_same_service_goes_on_after_every_trouble(endpoint):
    context = LLMContext([{"role": "user", "content": "今天天气怎么样？"}])
    manners = iter(["unauthorized", "broken_json", "never", "overloaded", "answer"])

    class Mischief(EndpointLLM):
        async def get_chat_completions(self, context):
            endpoint.manner = next(manners)
            return await super().get_chat_completions(context)

    llm = Mischief(BrainSettings(base_url=endpoint.url, model="fake", first_token_timeout=3))
    down, _ = await run_test(llm, frames_to_send=[LLMContextFrame(context)] * 5)
    said = "".join(frame.text for frame in down if isinstance(frame, LLMTextFrame))
    expected = [Trouble.REFUSED, Trouble.GARBLED, Trouble.SLOW, Trouble.DOWN]
    assert said == "".join(trouble.value[0] for trouble in expected) + endpoint.text


async def test_an_interruption_closes_the_stream(endpoint):
    endpoint.manner = "stall"
    context = LLMContext([{"role": "user", "content": "讲个故事"}])
    llm = brain(endpoint.url)
    frames = chain([LLMContextFrame(context)], until(first_text(llm).is_set), [InterruptionFrame()])
    down, up = await run_test(llm, frames_to_send=frames)
    await asyncio.wait_for(endpoint.disconnected.wait(), 10)
    assert [frame.text for frame in down if isinstance(frame, LLMTextFrame)] == ["今天"]
    assert not [frame for frame in up if isinstance(frame, ErrorFrame)]


async def test_the_model_can_ask_for_the_time(endpoint):
    endpoint.manner = "tool"
    context = LLMContext([{"role": "user", "content": "今天几号？"}], tools=[*TOOLS])
    user, assistant = LLMContextAggregatorPair(context)
    pipeline = Pipeline([user, brain(endpoint.url), assistant])
    answered = until(lambda: context.get_messages()[-1]["role"] == "assistant" and len(endpoint.requests) == 2)
    days = [date.today()]
    await run_test(pipeline, frames_to_send=chain([LLMContextFrame(context)], answered))
    days.append(date.today())
    first, second = endpoint.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == ["get_current_time"]
    [result] = [json.loads(m["content"]) for m in second["messages"] if m["role"] == "tool"]
    assert date.fromisoformat(result["date"]) in days
    assert re.fullmatch(r"\d\d:\d\d", result["time"])
    assert context.get_messages()[-1] == {"role": "assistant", "content": endpoint.text}


async def test_a_function_of_ones_own_is_called(endpoint, monkeypatch):
    monkeypatch.syspath_prepend("examples")
    endpoint.manner = "tool"
    endpoint.call = ("book_table", '{"table": "窗边", "time": "2030-01-01 19:00", "name": "陈"}')
    question = {"role": "user", "content": "那就订窗边的"}
    context = LLMContext([question], tools=[*TOOLS, *named_functions(["table"])])
    user, assistant = LLMContextAggregatorPair(context)
    answered = until(lambda: context.get_messages()[-1]["role"] == "assistant" and len(endpoint.requests) == 2)
    pipeline = Pipeline([user, brain(endpoint.url), assistant])
    await run_test(pipeline, frames_to_send=chain([LLMContextFrame(context)], answered))
    tools = [tool["function"] for tool in endpoint.requests[0]["tools"]]
    assert [tool["name"] for tool in tools] == ["get_current_time", "find_tables", "book_table"]
    assert tools[1]["parameters"]["properties"]["people"]["type"] == "integer"
    [result] = [json.loads(m["content"]) for m in endpoint.requests[1]["messages"] if m["role"] == "tool"]
    assert result == {"booked": "窗边", "time": "2030-01-01 19:00", "name": "陈", "number": 1}


async def test_what_a_model_thinks_is_not_spoken(endpoint):
    endpoint.manner = "thinking"
    said, errors = await ask(brain(endpoint.url))
    assert said.strip() == "今天晴。"
    assert not errors


async def test_who_thinks_is_not_slow_and_gives_a_sign_of_life(endpoint):
    endpoint.manner = "thinking_for_long"
    llm = brain(endpoint.url, first_token_timeout=0.7, stall_timeout=0.7, think_aloud_after=0.3)
    context = LLMContext([{"role": "user", "content": "今天天气怎么样？"}])
    down, up = await run_test(llm, frames_to_send=[LLMContextFrame(context)])
    said = [frame for frame in down if isinstance(frame, (LLMTextFrame, TTSSpeakFrame)) and frame.text.strip()]
    assert [frame.text for frame in said] == [THINKING[0], "今天晴。"]
    assert not said[0].append_to_context
    assert not [frame for frame in up if isinstance(frame, ErrorFrame)]


@pytest.mark.parametrize("model", ["deepseek-r1:8b", "a-name-that-does-not-tell"])
async def test_thoughts_without_an_opening_tag_are_not_spoken(endpoint, model):
    endpoint.manner = "thinking_unopened"
    context = LLMContext([{"role": "user", "content": "今天天气怎么样？"}])
    llm = EndpointLLM(BrainSettings(base_url=endpoint.url, model=model))
    down, _ = await run_test(llm, frames_to_send=[LLMContextFrame(context)] * 2)
    assert "".join(frame.text for frame in down if isinstance(frame, LLMTextFrame)) == "今天晴。" * 2


async def test_a_model_that_usually_thinks_and_does_not_is_heard(endpoint):
    said, errors = await ask(EndpointLLM(BrainSettings(base_url=endpoint.url, model="qwq")))
    assert said == endpoint.text
    assert not errors


async def test_an_emoji_is_an_answer(endpoint):
    endpoint.manner = "emoji"
    said, errors = await ask(brain(endpoint.url))
    assert said == "😊"
    assert not errors


async def test_a_busy_endpoint_is_asked_once_more(endpoint):
    endpoint.manner = "busy_once"
    said, errors = await ask(brain(endpoint.url))
    assert said == endpoint.text
    assert not errors
    assert len(endpoint.requests) == 2


async def test_a_full_context_loses_its_oldest_turns_and_the_talk_goes_on(endpoint):
    endpoint.manner = "full"
    talk = [{"role": role, "content": f"{turn}" * 20} for turn in range(5) for role in ("user", "assistant")]
    context = LLMContext([*talk, {"role": "user", "content": "今天天气怎么样？"}])
    down, up = await run_test(brain(endpoint.url), frames_to_send=[LLMContextFrame(context)])
    assert "".join(frame.text for frame in down if isinstance(frame, LLMTextFrame)) == endpoint.text
    assert not [frame for frame in up if isinstance(frame, ErrorFrame)]
    assert context.get_messages()[-1]["content"] == "今天天气怎么样？"
    assert context.get_messages()[0]["role"] == "user"
    assert len(context.get_messages()) < 6
    said, _ = await ask(brain(endpoint.url), "长" * 200)
    assert said == Trouble.TOO_LONG.value[0]


async def test_an_endless_chain_of_function_calls_ends_in_words(endpoint):
    endpoint.manner = "tool_again"
    context = LLMContext([{"role": "user", "content": "今天几号？"}], tools=[*TOOLS])
    user, assistant = LLMContextAggregatorPair(context)
    pipeline = Pipeline([user, brain(endpoint.url), assistant])
    given_up = until(lambda: context.get_messages()[-1].get("content") == Trouble.LOOP.value[0])
    await run_test(pipeline, frames_to_send=chain([LLMContextFrame(context)], given_up))
    assert len(endpoint.requests) == LONGEST_TOOL_CHAIN


async def test_apologies_are_not_shown_to_the_model_as_its_own_words(endpoint):
    context = LLMContext(
        [
            {"role": "user", "content": "你好"},
            {"role": "assistant", "content": Trouble.DOWN.value[0]},
            {"role": "user", "content": "还在吗"},
            {"role": "assistant", "content": "今天" + Trouble.SLOW.value[0][:9]},
            {"role": "user", "content": "今天天气怎么样？"},
        ]
    )
    await run_test(brain(endpoint.url), frames_to_send=[LLMContextFrame(context)])
    [request] = endpoint.requests
    assert [m["content"] for m in request["messages"][1:]] == ["你好", "还在吗", "今天", "今天天气怎么样？"]


async def test_further_fields_go_into_every_request(endpoint):
    await ask(
        brain(endpoint.url, extra={"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}})
    )
    [request] = endpoint.requests
    assert request["reasoning_effort"] == "low"
    assert request["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("现在几点", True),
        ("打开 Python", True),
        ("What time is it?", False),
        ("", True),
        ("?!", True),
        ("12 + 3", True),
    ],
)
def test_language_of_a_text(text, chinese):
    assert is_chinese(text) is chinese
