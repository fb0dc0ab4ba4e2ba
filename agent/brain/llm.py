"""The brain: any OpenAI-compatible endpoint, with a voice for its failures and one tool."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import unicodedata
from collections.abc import AsyncIterator
from datetime import datetime
from enum import Enum
from typing import Any

import openai
from loguru import logger
from openai.types.chat import ChatCompletionChunk
from pipecat.frames.frames import LLMTextFrame, TTSSpeakFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.utils.errors import ErrorCategory

from agent.brain.thoughts import ThoughtFilter
from agent.settings import BrainSettings

INSTRUCTIONS = (
    "You are a friendly voice assistant. What you write is spoken aloud: answer in one to three short sentences of "
    "plain text, without lists, markdown, links or emoji. Answer in the language of the user, Chinese or English. "
    "What the user says comes from speech recognition and may contain wrong words that sound alike."
)


async def get_current_time(params: FunctionCallParams) -> None:
    """Get the current local date and time."""
    now = datetime.now().astimezone()
    await params.result_callback(
        {
            "date": now.date().isoformat(),
            "time": f"{now:%H:%M}",
            "weekday": now.isoweekday(),
            "zone": now.tzname() or "UTC",
        }
    )


TOOLS = [get_current_time]


class Trouble(Enum):
    """What can go wrong with an endpoint, and what the agent says about it: (Chinese, English)."""

    DOWN = (
        "抱歉，我连不上语言模型，请检查它是否在运行。",
        "Sorry, I cannot reach the language model. Please check that it is running.",
    )
    SLOW = (
        "抱歉，语言模型太久没有回应，请再说一次。",
        "Sorry, the language model is taking too long. Please say that again.",
    )
    BUSY = (
        "抱歉，语言模型现在太忙，请过一会儿再说一次。",
        "Sorry, the language model is busy. Please say that again in a moment.",
    )
    TOO_LONG = (
        "抱歉，这段话太长，语言模型记不下，请说得短一些。",
        "Sorry, that is more than the language model can hold. Please say it in fewer words.",
    )
    LOOP = (
        "抱歉，我查来查去没有结果，请换个说法再问一次。",
        "Sorry, I keep looking things up without getting anywhere. Please ask in another way.",
    )
    REFUSED = (
        "抱歉，语言模型拒绝了请求，请检查密钥和模型名。",
        "Sorry, the language model refused. Please check the key and the model name.",
    )
    GARBLED = (
        "抱歉，语言模型的回答我读不懂，请再说一次。",
        "Sorry, the language model sent something I cannot read. Please say that again.",
    )


THINKING = ("让我想一想。", "Let me think.")
"""Said when a model thinks for long: (Chinese, English)."""
LONGEST_TOOL_CHAIN = 8
"""Answers in a row that only call functions; after that the agent gives up."""
LONGEST_RETRY_SECONDS = 3.0
_FULL = re.compile(
    r"context.{0,20}(?:length|window|size|exceed)|maximum context|prompt is too long|too many tokens", re.I
)
_THINKS_FIRST = re.compile(r"(?:^|[-_/:.])(?:r1|qwq|reasoner|thinking)(?:$|[-_/:.])", re.I)
"""Models whose templates open the thoughts, so that only their end arrives."""


class GarbledAnswer(Exception):
    """The endpoint sent something that is not a chat completion."""


class EndpointLLM(OpenAILLMService):
    """An OpenAI-compatible endpoint. When it is down, slow or broken the agent says so, and the talk goes on."""

    supports_developer_role = False  # Ollama, llama.cpp and vLLM do not know it

    def __init__(self, settings: BrainSettings, **kwargs: Any) -> None:
        super().__init__(
            base_url=str(settings.base_url) if settings.base_url else None,
            # Local servers want no key, the client insists on one.
            api_key=settings.api_key.get_secret_value() if settings.api_key else "none",
            settings=self.Settings(
                model=settings.model,
                system_instruction=settings.instructions or INSTRUCTIONS,
                extra={"extra_body": settings.extra} if settings.extra else {},
            ),
            **kwargs,
        )
        # Silence while a client retries is worse than a word about the failure.
        self._client = self._client.with_options(max_retries=0)
        self._first_token_timeout = settings.first_token_timeout
        self._stall_timeout = settings.stall_timeout
        self._think_aloud_after = settings.think_aloud_after
        self._thinks_first = bool(_THINKS_FIRST.search(settings.model or ""))
        self._answered = False
        self._thoughts = ThoughtFilter()

    async def get_chat_completions(self, context: LLMContext) -> AsyncIterator[ChatCompletionChunk]:  # type: ignore[override]
        """The endpoint's stream, with a deadline for every step and every chunk looked at before it is trusted.

        A busy endpoint is asked once more; one whose context is full is asked again without the oldest turns.
        """
        retried = False
        while True:
            began = asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout_at(began + self._first_token_timeout):
                    stream = await super().get_chat_completions(context)
            except openai.RateLimitError as error:
                if retried:
                    raise
                retried = True
                await asyncio.sleep(_retry_after(error))
            except openai.BadRequestError as error:
                if not is_full(error) or not forget_oldest(context):
                    raise
            else:
                return self._watched(stream, began, context)

    def build_chat_completion_params(self, params_from_context: Any) -> dict[str, Any]:
        """Keep the agent's own apologies out of what the model is told that it said; ask for nothing that is null."""
        params = super().build_chat_completion_params(params_from_context)
        params = {name: value for name, value in params.items() if value is not None}
        params["messages"] = without_apologies(params["messages"])
        return params

    async def _watched(
        self, stream: openai.AsyncStream[ChatCompletionChunk], began: float, context: LLMContext
    ) -> AsyncIterator[ChatCompletionChunk]:
        loop = asyncio.get_running_loop()
        deadline = began + self._first_token_timeout
        arguments: dict[int, str] = {}
        silent_until = math.inf if self._think_aloud_after is None else began + self._think_aloud_after
        try:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        chunk = await anext(stream)
                except StopAsyncIteration:
                    check_arguments(arguments)
                    if text := self._thoughts.close(everything=not self._answered):
                        self._answered = self._answered or any(map(is_said, text))
                        await self._push_llm_text(text)
                    return
                if is_progress(chunk):  # thoughts, too: who thinks is not slow
                    deadline = loop.time() + self._stall_timeout
                if has_content(chunk, self._thoughts):
                    self._answered = True
                elif not self._answered and loop.time() > silent_until:
                    silent_until = math.inf
                    await self._speak_up(THINKING, context)
                self._thinks_first = self._thinks_first or self._thoughts.began_inside
                for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
                    if call.function and call.function.arguments:
                        arguments[call.index] = arguments.get(call.index, "") + call.function.arguments
                yield chunk
        finally:
            await stream.close()

    async def _process_context(self, context: LLMContext) -> None:
        self._answered = False
        self._thoughts = ThoughtFilter(inside=self._thinks_first)
        try:
            if tool_chain(context) >= LONGEST_TOOL_CHAIN:
                await self._admit(Trouble.LOOP, context, GarbledAnswer("the model calls functions without end"))
                return
            await super()._process_context(context)
        except (TimeoutError, openai.APITimeoutError) as error:
            await self._admit(Trouble.SLOW, context, error)
        except openai.APIConnectionError as error:
            await self._admit(Trouble.DOWN, context, error)
        except openai.APIStatusError as error:
            await self._admit(trouble_of(error), context, error)
        except Exception as error:  # whatever a stranger's server can send: broken JSON, wrong types, half a stream
            await self._admit(Trouble.GARBLED, context, error)
        else:
            if not self._answered:
                await self._admit(Trouble.GARBLED, context, GarbledAnswer("the answer was empty"))

    async def _admit(self, trouble: Trouble, context: LLMContext, error: Exception) -> None:
        """Say aloud what is wrong, in the user's language."""
        logger.warning(f"{self}: {trouble.name.lower()}: {error!r}")
        # APPLICATION, because the other categories make Pipecat give up on the service: the next turn shall try again.
        await self.push_error(f"language model: {error}", exception=error, category=ErrorCategory.APPLICATION)
        chinese, english = trouble.value
        await self.push_frame(LLMTextFrame(chinese if is_chinese(last_user_text(context)) else english))

    async def _speak_up(self, words: tuple[str, str], context: LLMContext) -> None:
        """Give a sign of life that nobody has to remember."""
        chinese, english = words
        text = chinese if is_chinese(last_user_text(context)) else english
        await self.push_frame(TTSSpeakFrame(text, append_to_context=False))


def trouble_of(error: openai.APIStatusError) -> Trouble:
    """What to say about a status."""
    if error.status_code == 429:
        return Trouble.BUSY
    if is_full(error):
        return Trouble.TOO_LONG
    return Trouble.DOWN if error.status_code >= 500 else Trouble.REFUSED


def is_full(error: openai.APIStatusError) -> bool:
    """Whether the endpoint says that the conversation is longer than its context."""
    return error.status_code in (400, 413) and bool(_FULL.search(f"{error.code} {error.message}".replace("_", " ")))


def _retry_after(error: openai.APIStatusError) -> float:
    """Seconds to wait before the second try."""
    try:
        wanted = float(error.response.headers.get("retry-after", 1.0))
    except ValueError:
        wanted = 1.0
    return min(max(wanted, 0.0), LONGEST_RETRY_SECONDS)


def forget_oldest(context: LLMContext) -> bool:
    """Drop the older half of the turns, whole turns only. Returns whether there was anything to drop."""
    messages = context.get_messages()
    turns = [at for at, message in enumerate(messages) if isinstance(message, dict) and message.get("role") == "user"]
    if len(turns) < 2:
        return False
    first = turns[(len(turns) + 1) // 2]
    instructions = [m for m in messages[:first] if isinstance(m, dict) and m.get("role") in ("system", "developer")]
    context.set_messages([*instructions, *messages[first:]])
    return True


def tool_chain(context: LLMContext) -> int:
    """How many answers since the user spoke only called functions."""
    chain = 0
    for message in reversed(context.get_messages()):
        if not isinstance(message, dict) or message.get("role") == "user":
            break
        chain += bool(message.get("tool_calls"))
    return chain


def without_apologies(messages: list[Any]) -> list[Any]:
    """The messages, less what the agent said for a model that could not answer."""
    kept = []
    for message in messages:
        content = message.get("content")
        if message.get("role") == "assistant" and isinstance(content, str):
            for apology in itertools.chain.from_iterable(trouble.value for trouble in Trouble):
                # an interruption may have cut it short
                whole = next((apology[:n] for n in range(len(apology), 3, -1) if content.endswith(apology[:n])), "")
                content = content.removesuffix(whole) if whole else content
            if not content.strip() and not message.get("tool_calls"):
                continue
            message = {**message, "content": content}
        kept.append(message)
    return kept


def check_arguments(arguments: dict[int, str]) -> None:
    """Raises `GarbledAnswer` if a function is called with something that is not JSON: Pipecat would drop the call."""
    for text in arguments.values():
        try:
            json.loads(text)
        except ValueError as error:
            raise GarbledAnswer(f"arguments that are not JSON: {text[:200]}") from error


def is_progress(chunk: ChatCompletionChunk) -> bool:
    """Whether the model has written anything, be it thoughts."""
    try:
        delta = chunk.choices[0].delta if chunk.choices else None
    except (AttributeError, TypeError, LookupError):
        return False
    fields = ("content", "tool_calls", "reasoning_content", "reasoning")
    return any(getattr(delta, field, None) for field in fields)


def has_content(chunk: ChatCompletionChunk, thoughts: ThoughtFilter) -> bool:
    """Whether a chunk carries something to say, or a tool call. What the model thinks aloud is taken out of the chunk.

    Raises:
        GarbledAnswer: It is not shaped like a chat completion chunk (the client library does not check).
    """
    try:
        delta = chunk.choices[0].delta if chunk.choices else None
        if delta is None:
            return False
        content, calls = delta.content, delta.tool_calls
    except (AttributeError, TypeError, LookupError) as error:
        raise GarbledAnswer(f"not a chat completion chunk: {str(chunk)[:200]}") from error
    if content is not None and not isinstance(content, str):
        raise GarbledAnswer(f"the content is not text: {str(content)[:200]}")
    delta.content = thoughts.filter(content or "")
    return bool(calls) or any(map(is_said, delta.content))


def is_said(char: str) -> bool:
    """Whether there is something to hear or to see in it: a letter, a digit, an emoji."""
    return char.isalnum() or unicodedata.category(char) == "So"


def last_user_text(context: LLMContext) -> str:
    """What the user said last; empty before they have said anything."""
    for message in reversed(context.get_messages()):
        if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])
    return ""


def is_chinese(text: str) -> bool:
    """Whether to answer a text in Chinese: it has hanzi, or no words at all."""
    return any("\u4e00" <= char <= "\u9fff" for char in text) or not any(char.isalpha() for char in text)
