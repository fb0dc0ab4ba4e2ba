"""The brain of an agent without a language model: a dozen rules, streamed like a model's tokens.

It exists so that the voice, the ears and the turn-taking can be tried without a key or a download, and it says what it
is in its first sentence. It goes through the same service interface as a real model: context in, tokens out, function
calls, interruption.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any

from pipecat.frames.frames import Frame, LLMContextFrame, LLMFullResponseEndFrame, LLMFullResponseStartFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import FunctionCallFromLLM, LLMService
from pipecat.services.settings import LLMSettings
from wetext import Normalizer

import g2p
from agent.brain.llm import get_current_time, is_chinese, last_user_text

GREETING = (
    "你好！我还没有接上大模型，只是一个按规则回答的演示。"
    "你可以问我时间，让我算术、念诗，或者讲个长故事，然后随时打断我。"
)

Pair = tuple[str, str]
"""The same thing in Chinese and in English."""

HELLO: Pair = ("你好！很高兴听到你的声音。", "Hello! It is nice to hear your voice.")
HELP: Pair = (
    "我会报时间和日期，会算加减乘除，会跟你念，会背一首诗，还会讲一个很长的故事让你打断。说再见，我就跟你道别。",
    "I can tell the time and the date, do arithmetic, repeat after you, recite a poem, "
    "and tell a long story for you to interrupt.",
)
THANKS: Pair = ("不客气。", "You are welcome.")
BYE: Pair = ("再见，祝你今天愉快！", "Goodbye, and have a nice day!")
QUIET: Pair = ("好的，我不说了。", "All right, I will be quiet.")
WHO: Pair = (
    "我是这个语音助手的演示大脑，没有用到大模型，只有十几条规则。",
    "I am the demo brain of this voice agent: no language model, just a dozen rules.",
)
POEM: Pair = (
    "我念一首李白的静夜思。床前明月光，疑是地上霜。举头望明月，低头思故乡。",
    "Here is a poem by Christina Rossetti. Who has seen the wind? Neither I nor you: "
    "but when the leaves hang trembling, the wind is passing through.",
)
STORY: Pair = (
    "好，这个故事很长，你随时可以打断我。从前，海边有一座灯塔，守塔的老人姓周，大家都叫他周伯。"
    "周伯有一只橘色的猫，名叫豆包。每天傍晚，他先给灯加油，再给豆包盛一碗鱼汤，然后坐在窗前，等第一颗星星出来。"
    "有一年冬天，海上起了大雾，三天三夜不散。灯虽然亮着，船却看不见。周伯急得睡不着，就搬出一面旧铜锣，一边走一边敲。"
    "敲到半夜，他的手抬不起来了，豆包忽然跳上窗台，对着大海一声接一声地叫。"
    "说来也怪，雾里传来了回应，先是一声汽笛，后来是人的喊声。原来有一条渔船迷了路，船上的人听见猫叫，以为到了家门口。"
    "周伯举着灯笼跑下礁石，把他们一个一个接上岸。船老大喝完热汤，说，我这辈子听过很多汽笛，可从来没有听过这么好听的。"
    "第二年春天，渔村的人给灯塔换了新灯，还在门口立了一块小木牌，上面写着，守塔人，周伯和豆包。"
    "从那以后，每到起雾的夜晚，海边的孩子就会说，听，豆包又在喊人回家了。故事讲完了。",
    "All right, this story is long, and you may interrupt me at any time. Once there was a lighthouse by the sea,"
    " and its keeper was an old man called Tom. Tom had an orange cat named Biscuit. Every evening he filled the "
    "lamp, gave Biscuit a bowl of fish soup, and sat down by the window to wait for the first star. One winter a "
    "fog came in that did not lift for three days. The lamp was burning, but no ship could see it. So Tom took an"
    " old brass gong and walked along the rocks, striking it as he went. At midnight his arm was too tired to "
    "lift, and then Biscuit jumped onto the window sill and began to call out to the sea, again and again. From "
    "the fog came an answer: first a horn, and then voices. A fishing boat had lost its way, and the men on board"
    " had heard a cat and thought they were home. Tom brought them ashore one by one. I have heard many horns in "
    "my life, said the skipper over his soup, but never one as sweet as this. In spring the village put up a "
    "small wooden sign beside the door. It says: keepers of the light, Tom and Biscuit. That is the end of the "
    "story.",
)
STRIPPED = " \t\n。，！？!?,.…~"
NOTHING_MORE: Pair = ("我在听。", "I am listening.")
WEEKDAYS = "一二三四五六日"
MOST_CHARACTERS = 200
"""What is typed beyond this is not looked at."""

MURMUR = re.compile(r"^(嗯+|哦+|噢+|啊+|对+|好的?|是的?|行|mm-?hmm|uh-?huh|mhm|yeah|ok|okay|right|i see)$", re.I)


class DemoBrain(LLMService):
    """Answers by rules through the LLM service interface.

    Args:
        token_seconds: Pause between tokens; the default is the pace of a fast model, so what works here works there.
    """

    def __init__(self, *, token_seconds: float = 0.01, **kwargs: Any) -> None:
        unused: dict[str, Any] = dict.fromkeys(
            (
                "system_instruction",
                "temperature",
                "max_tokens",
                "top_p",
                "top_k",
                "frequency_penalty",
                "presence_penalty",
                "seed",
            )
        )
        super().__init__(
            settings=LLMSettings(
                model="demo", filter_incomplete_user_turns=False, user_turn_completion_config=None, **unused
            ),
            **kwargs,
        )
        self._token_seconds = token_seconds
        self._last_answer = ""

    def can_generate_metrics(self) -> bool:
        """Time to the first token, as for a real model."""
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer every context frame; pass the rest on."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        try:
            await self.push_frame(LLMFullResponseStartFrame())
            await self.start_processing_metrics()
            await self.start_ttfb_metrics()
            await self._answer(frame.context)
        finally:
            await self.stop_processing_metrics()
            await self.push_frame(LLMFullResponseEndFrame())

    async def _answer(self, context: LLMContext) -> None:
        messages = [m for m in context.get_messages() if isinstance(m, dict)]
        last: Any = messages[-1] if messages else {}
        heard = last_user_text(context)[:MOST_CHARACTERS]
        spoken = [str(m["content"]) for m in messages if m.get("role") == "user"]
        if len(spoken) > 1 and to_repeat(spoken[-2]) == "":
            heard = f"{spoken[-2]} {heard}"
        if last.get("role") == "developer" or MURMUR.match(bare(heard)):
            text = self._rest(messages) or ("" if last.get("role") == "developer" else say(NOTHING_MORE, heard))
        elif last.get("role") == "tool":
            text = tell_time(json.loads(str(last["content"])), heard)
        elif asks_time(heard):
            await self.stop_ttfb_metrics()
            call = FunctionCallFromLLM(get_current_time.__name__, str(uuid.uuid4()), {}, context)
            await self.run_function_calls([call])
            return
        else:
            text = reply(heard)
        self._last_answer = text
        await self.stop_ttfb_metrics()
        for token in tokens(text):
            await self._push_llm_text(token)
            await asyncio.sleep(self._token_seconds)

    def _rest(self, messages: list[Any]) -> str:
        """What of the last answer was not heard, from the beginning of the clause it was cut in."""
        said = next((str(m.get("content") or "") for m in reversed(messages) if m.get("role") == "assistant"), "")
        cut = len(said.strip()) if self._last_answer.startswith(said.strip()) else len(self._last_answer)
        if cut >= len(self._last_answer):
            return ""
        clause = max(
            (match.end() for match in re.finditer(r"[，。！？：；]|[,.!?:;] ", self._last_answer[:cut])), default=0
        )
        return self._last_answer[clause:]


def reply(heard: str) -> str:
    """The answer to anything but a question for the time.

    Args:
        heard: What the user said, as recognised.
    """
    if said := to_repeat(heard):
        return f"{said}{'。' if is_chinese(said) else '.'}"
    if said is not None:
        return say(NOTHING_MORE, heard)
    if result := calculate(heard):
        return result
    plain = bare(heard)
    for pattern, pair in PHRASES:
        if pattern.search(plain):
            return say(pair, heard)
    if similar := sounds_like(heard):
        return say(similar, heard)
    if is_chinese(heard):
        return (
            f"我听到你说：{heard.strip(STRIPPED)}。我只是演示，答不上来。"
            "要接上大模型，请在启动前设置环境变量 OPENAI_BASE_URL 和 OPENAI_MODEL。"
        )
    return (
        f"I heard you say: {heard.strip(STRIPPED)}. I am only a demo and have no answer to that. "
        "To connect a language model, set OPENAI_BASE_URL and OPENAI_MODEL before you start me."
    )


def bare(heard: str) -> str:
    """Lower case and without the punctuation at its ends."""
    return heard.strip(STRIPPED).lower()


def say(pair: Pair, heard: str) -> str:
    """The half of a pair in the user's language."""
    return pair[0] if is_chinese(heard) else pair[1]


def tokens(text: str) -> Iterator[str]:
    """Pieces as a model would stream them: one or two hanzi, one English word."""
    return iter(re.findall(r"[A-Za-z0-9_']+\s*|[^A-Za-z0-9_']{1,2}", text))


def sounds_like(heard: str) -> Pair | None:
    """What answers the first phrase of two or more hanzi that is heard if the tones are not looked at.

    Recognisers write 不用降了 for 不用讲了: the tone of a word in a sentence is hard to hear.
    """
    sound = syllables(heard)
    for pattern, pair in PHRASES:
        if any(syllables(word) in sound for word in re.findall(r"[一-鿿]{2,}", pattern.pattern)):
            return pair
    return None


@lru_cache(maxsize=256)
def syllables(text: str) -> str:
    """Toneless pinyin with a space before and after each syllable."""
    return f" {' '.join(sounds(text))} "


def sounds(text: str) -> list[str]:
    """Toneless pinyin of each hanzi; every other character stands for itself."""
    return [reading[:-1] if reading else char for char, reading in zip(text, g2p.readings(text), strict=True)]


def asks_time(heard: str) -> bool:
    """Whether the user wants to know the time or the date."""
    chinese = r"什么时间|现在.*时间|几号|几月|星期几|礼拜几|周几|什么日子|日期"
    english = r"\b(what('s| is)? (the )?(time|date|day)|what day|which day|current time|today's date)\b"
    return bool(re.search(f"{chinese}|{english}", heard.lower())) or syllables("几点") in syllables(heard)


def tell_time(result: dict[str, Any], heard: str) -> str:
    """Put the tool's answer into words."""
    if "time" not in result:
        return say(("抱歉，我现在查不到时间。", "Sorry, I cannot find out the time right now."), heard)
    now = datetime.fromisoformat(f"{result['date']}T{result['time']}")
    wants_date = re.search(r"号|月|星期|礼拜|周几|日期|日子|\b(date|day)\b", heard.lower())
    if is_chinese(heard):
        if wants_date:
            return f"今天是{now.year}年{now.month}月{now.day}日，星期{WEEKDAYS[now.weekday()]}。"
        return f"现在是{now.hour}点{now.minute}分。" if now.minute else f"现在是{now.hour}点整。"
    if wants_date:
        return f"Today is {now:%A}, {now:%B} {now.day}, {now.year}."
    return f"It is {now.hour % 12 or 12}:{now:%M} {'AM' if now.hour < 12 else 'PM'}."


DIGITS = dict(zip("零一二三四五六七八九", range(10), strict=True)) | {"两": 2}
BELOW_TWENTY = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen"
)
LARGER = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|point|and"
NUMBER = rf"\d+(?:\.\d+)?|[零一二两三四五六七八九十百千万亿点]+|(?:(?:{BELOW_TWENTY}|{LARGER})\b[ -]?)+"
OPERATORS: tuple[tuple[str, str, str, Callable[[Fraction, Fraction], Fraction]], ...] = (
    ("加上|加|plus|[+＋]", "加", "plus", lambda a, b: a + b),
    ("减去|减|minus|[-－−]", "减", "minus", lambda a, b: a - b),
    ("乘以|乘上|乘|times|multiplied by|[x×*]", "乘以", "times", lambda a, b: a * b),
    ("除以|divided by|over|[÷/]", "除以", "divided by", lambda a, b: a / b),
)


def number(text: str) -> Fraction:
    """The value of digits, hanzi numerals or English number words."""
    text = text.strip().replace("-", " ")
    if text in DIGITS:
        return Fraction(DIGITS[text])
    if text in (small := BELOW_TWENTY.split("|")):
        return Fraction(small.index(text))
    return Fraction(Normalizer(lang="zh" if is_chinese(text) else "en", operator="itn").normalize(text))


def calculate(heard: str) -> str | None:
    """`十二乘以四等于多少`, `what is 23 plus 4`: one operation on two numbers. None if it is not one."""
    for spoken, chinese, english, operate in OPERATORS:
        found = re.search(rf"({NUMBER})\s*(?:{spoken})\s*({NUMBER})", bare(heard))
        if not found:
            continue
        try:
            left, right = number(found[1]), number(found[2])
            result = operate(left, right)
        except ZeroDivisionError:
            return say(("零不能做除数。", "One cannot divide by zero."), heard)
        except ValueError:  # 点点 looks like a numeral and is none
            return None
        inexact = 10**4 % result.denominator != 0
        if is_chinese(heard):
            return f"{figures(left)}{chinese}{figures(right)}等于{'约' * inexact}{figures(result)}。"
        return f"{figures(left)} {english} {figures(right)} is {'about ' * inexact}{figures(result)}."
    return None


def figures(value: Fraction) -> str:
    """In digits, four significant ones if it is not whole."""
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.4g}"


REPEAT = re.compile(r"(?:please )?(?:repeat after me|say after me|repeat)\b[,:\s]*", re.I)
REPEAT_SOUND = re.compile(
    r"(?:[jqx]ing? )?(?:ni )?geng? (?:zhe )?wo (?:yi qi )?(?:du|shuo|nian) (?:yi (?:bian|xia) )?(?:[，,：:。.] )?"
)


def to_repeat(heard: str) -> str | None:
    """`跟我说，今天天气真好` -> `今天天气真好`. None if nothing is to be repeated, empty if it is yet to come."""
    heard = heard.strip(STRIPPED)
    if english := REPEAT.match(heard):
        return heard[english.end() :]
    chinese = REPEAT_SOUND.match("".join(f"{sound} " for sound in sounds(heard[:12])))
    return heard[chinese[0].count(" ") :].strip() if chinese else None


PHRASES: tuple[tuple[re.Pattern[str], Pair], ...] = (
    (
        re.compile(
            r"别说了|不要说了|别讲了|不用讲了|停下|停一下|等一下|等等|住口|安静|^停$"
            r"|\b(stop|be quiet|shut up|enough|wait)\b"
        ),
        QUIET,
    ),
    (re.compile(r"再见|拜拜|回头见|\b(good ?bye|bye|see you)\b"), BYE),
    (re.compile(r"一首诗|诗|\bpoem\b"), POEM),
    (re.compile(r"故事|\bstory\b"), STORY),
    (re.compile(r"帮助|帮忙|能做什么|会做什么|会什么|会干什么|\bhelp\b|what can you do"), HELP),
    (re.compile(r"你是谁|你叫什么|介绍一下你|who are you|your name"), WHO),
    (re.compile(r"谢谢|多谢|\b(thanks|thank you)\b"), THANKS),
    (
        re.compile(r"你好|您好|哈喽|^嗨|早上好|下午好|晚上好|\b(hello|hi|hey|good (morning|afternoon|evening))\b"),
        HELLO,
    ),
)
