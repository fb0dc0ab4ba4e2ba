import itertools
import json
import re
from datetime import datetime

import pytest
from pipecat.frames.frames import (
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMTextFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair

from agent.brain.demo import POEM, STORY, DemoBrain, asks_time, reply, tell_time, tokens
from agent.brain.llm import TOOLS
from agent.turns import RESUME
from tests.pipeline import first_text, run_test, until


@pytest.mark.parametrize(
    ("heard", "answer"),
    [
        ("三加五等于几？", "3加5等于8。"),
        ("请问十二乘以四等于多少", "12乘以4等于48。"),
        ("12×4是多少", "12乘以4等于48。"),
        ("一百减去三十七", "100减37等于63。"),
        ("七除以二", "7除以2等于3.5。"),
        ("十除以三等于多少", "10除以3等于约3.333。"),
        ("五除以零", "零不能做除数。"),
        ("What is 23 plus 4?", "23 plus 4 is 27."),
        ("what's twelve times three", "12 times 3 is 36."),
        ("100 divided by 8", "100 divided by 8 is 12.5."),
        ("one divided by 0", "One cannot divide by zero."),
    ],
)
def test_arithmetic(heard, answer):
    assert reply(heard) == answer


@pytest.mark.parametrize(
    ("heard", "answer"),
    [
        ("跟我说，今天天气真好。", "今天天气真好。"),
        ("请跟我念：四是四，十是十", "四是四，十是十。"),
        ("跟我读Hello World", "Hello World."),
        ("亲跟我说。 Good morning.", "Good morning."),
        ("请更我念一遍，春眠不觉晓。", "春眠不觉晓。"),
        ("请你跟着我一起读：One two", "One two."),
        ("请跟我说。", "我在听。"),
        ("Repeat after me, the Sky is blue.", "the Sky is blue."),
    ],
)
def test_repeats_what_is_said(heard, answer):
    assert reply(heard) == answer


@pytest.mark.parametrize(
    ("heard", "part"),
    [
        ("你好！", "你好"),
        ("Hello there.", "Hello"),
        ("给我念首诗吧", "床前明月光"),
        ("Tell me a poem", "Who has seen the wind"),
        ("讲个故事。", "灯塔"),
        ("Tell me a long story, please.", "lighthouse"),
        ("你能做什么？", "算加减乘除"),
        ("What can you do?", "arithmetic"),
        ("谢谢你", "不客气"),
        ("再见", "再见"),
        ("Bye bye!", "Goodbye"),
        ("停一下", "不说了"),
        ("等一下", "不说了"),
        ("不用降了", "不说了"),
        ("给我讲一个古诗", "床前明月光"),
        ("请愿一手是", "床前明月光"),
        ("今年是什么年", "答不上来"),
        ("你会不会跟我说话", "答不上来"),
        ("请给我讲一个股市", "灯塔"),
        ("你是谁？", "演示"),
    ],
)
def test_rules(heard, part):
    assert part in reply(heard)


def test_what_it_cannot_answer_it_repeats_and_says_how_to_connect_a_model():
    for heard, said in (("量子纠缠是什么？", "量子纠缠是什么"), ("Why is the sky blue?", "Why is the sky blue")):
        answer = reply(heard)
        assert said in answer
        assert "OPENAI_BASE_URL" in answer
        assert "OPENAI_MODEL" in answer


def test_it_says_what_it_is_in_its_first_sentence():
    from agent.brain.demo import GREETING

    first = re.split("[。！？]", GREETING.removeprefix("你好！"))[0]
    assert "没有接上大模型" in first
    assert "按规则" in first


@pytest.mark.parametrize(
    "heard",
    ["请问现在几点了？", "现在积点了", "今天星期几", "今天是几月几号", "What time is it?", "What's the date today?"],
)
def test_questions_for_the_time(heard):
    assert asks_time(heard)


@pytest.mark.parametrize("heard", ["给我讲个故事", "What is 3 plus 4?", "你好"])
def test_other_questions(heard):
    assert not asks_time(heard)


def test_time_in_words():
    result = {"date": "2026-11-22", "time": "15:05", "weekday": 7, "zone": "UTC"}
    assert tell_time(result, "现在几点") == "现在是15点5分。"
    assert tell_time(result, "今天星期几") == "今天是2026年11月22日，星期日。"
    assert tell_time(result, "What time is it?") == "It is 3:05 PM."
    assert tell_time(result, "What's the date?") == "Today is Sunday, November 22, 2026."
    assert tell_time({**result, "time": "00:00"}, "几点了") == "现在是0点整。"


@pytest.mark.parametrize("text", [*POEM, *STORY, "现在是15点5分。", "", " a "])
def test_tokens_lose_nothing(text):
    assert "".join(tokens(text)) == text
    assert all(len(token) <= 2 or re.fullmatch(r"[A-Za-z0-9_']+\s*", token) for token in tokens(text))


def said(frames):
    return "".join(frame.text for frame in frames if isinstance(frame, LLMTextFrame))


def context_with(*messages):
    return LLMContext([{"role": role, "content": content} for role, content in messages], tools=[*TOOLS])


async def test_it_calls_the_tool_for_the_time():
    context = context_with(("user", "请问现在几点了？"))
    user, assistant = LLMContextAggregatorPair(context)
    pipeline = Pipeline([user, DemoBrain(token_seconds=0), assistant])
    answered = until(lambda: context.get_messages()[-1]["role"] == "assistant")
    await run_test(pipeline, frames_to_send=itertools.chain([LLMContextFrame(context)], answered))
    [result] = [json.loads(m["content"]) for m in context.get_messages() if m["role"] == "tool"]
    hour, minute = map(int, result["time"].split(":"))
    assert abs(datetime.now().hour * 60 + datetime.now().minute - hour * 60 - minute) <= 1 or hour in (0, 23)
    expected = f"现在是{hour}点{minute}分。" if minute else f"现在是{hour}点整。"
    assert context.get_messages()[-1] == {"role": "assistant", "content": expected}


async def test_an_interruption_ends_the_story():
    brain = DemoBrain(token_seconds=0.05)
    asked = LLMContextFrame(context_with(("user", "讲个故事")))
    frames = itertools.chain([asked], until(first_text(brain).is_set), [InterruptionFrame()])
    down, _ = await run_test(brain, frames_to_send=frames)
    assert 0 < len(said(down)) < len(STORY[0]) / 2
    assert STORY[0].startswith(said(down))
    assert sum(isinstance(frame, LLMFullResponseEndFrame) for frame in down) == 1


async def interrupted_story(*then):
    """What is said after a story of which a third was heard, and then these messages came."""
    heard = STORY[0][: len(STORY[0]) // 3]
    first = context_with(("user", "讲个故事"))
    second = context_with(("user", "讲个故事"), ("assistant", heard), *then)
    brain = DemoBrain(token_seconds=0)
    down, _ = await run_test(brain, frames_to_send=[LLMContextFrame(first), LLMContextFrame(second)])
    return heard, said(down).removeprefix(STORY[0])


@pytest.mark.parametrize("message", [("developer", RESUME), ("user", "嗯。"), ("user", "Uh-huh.")])
async def test_after_a_cough_or_a_murmur_it_goes_on_where_it_was_cut(message):
    heard, rest = await interrupted_story(message)
    assert STORY[0].endswith(rest)
    overlap = len(heard) + len(rest) - len(STORY[0])
    assert 0 <= overlap < 25
    assert heard[len(heard) - overlap - 1] in "，。！？：；"


async def test_after_a_real_question_it_does_not_go_on():
    _, answer = await interrupted_story(("user", "三加五等于几"))
    assert answer == "3加5等于8。"


async def test_what_is_to_be_repeated_may_come_after_a_pause():
    context = context_with(("user", "请跟我说。"), ("assistant", "我在听。"), ("user", "Good morning."))
    down, _ = await run_test(DemoBrain(token_seconds=0), frames_to_send=[LLMContextFrame(context)])
    assert said(down) == "Good morning."


async def test_a_cough_before_anything_was_said_gets_no_answer():
    down, _ = await run_test(
        DemoBrain(token_seconds=0), frames_to_send=[LLMContextFrame(context_with(("developer", RESUME)))]
    )
    assert said(down) == ""


def test_tokens_come_from_both_languages():
    assert list(itertools.islice(tokens("It is 3点整。"), 5)) == ["It ", "is ", "3", "点整", "。"]
