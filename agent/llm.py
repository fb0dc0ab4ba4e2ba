"""The brain: any OpenAI-compatible endpoint, with a voice for its failures and one tool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from enum import Enum
from typing import Any

import openai
from loguru import logger
from openai.types.chat import ChatCompletionChunk
from pipecat.frames.frames import LLMTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.utils.errors import ErrorCategory

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
    REFUSED = (
        "抱歉，语言模型拒绝了请求，请检查密钥和模型名。",
        "Sorry, the language model refused. Please check the key and the model name.",
    )
    GARBLED = (
        "抱歉，语言模型的回答我读不懂，请再说一次。",
        "Sorry, the language model sent something I cannot read. Please say that again.",
    )


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
            settings=self.Settings(model=settings.model, system_instruction=settings.instructions or INSTRUCTIONS),
            **kwargs,
        )
        # Silence while a client retries is worse than a word about the failure.
        self._client = self._client.with_options(max_retries=0)
        self._first_token_timeout = settings.first_token_timeout
        self._stall_timeout = settings.stall_timeout
        self._answered = False
        self._thoughts = ThoughtFilter()

    async def get_chat_completions(self, context: LLMContext) -> AsyncIterator[ChatCompletionChunk]:  # type: ignore[override]
        """The endpoint's stream, with a deadline for every step and every chunk looked at before it is trusted."""
        deadline = asyncio.get_running_loop().time() + self._first_token_timeout
        async with asyncio.timeout_at(deadline):
            stream = await super().get_chat_completions(context)
        return self._watched(stream, deadline)

    async def _watched(
        self, stream: openai.AsyncStream[ChatCompletionChunk], deadline: float
    ) -> AsyncIterator[ChatCompletionChunk]:
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    async with asyncio.timeout_at(deadline):
                        chunk = await anext(stream)
                except StopAsyncIteration:
                    return
                if has_content(chunk, self._thoughts):
                    self._answered = True
                    deadline = loop.time() + self._stall_timeout
                yield chunk
        finally:
            await stream.close()

    async def _process_context(self, context: LLMContext) -> None:
        self._answered = False
        self._thoughts = ThoughtFilter()
        try:
            await super()._process_context(context)
        except (TimeoutError, openai.APITimeoutError) as error:
            await self._admit(Trouble.SLOW, context, error)
        except openai.APIConnectionError as error:
            await self._admit(Trouble.DOWN, context, error)
        except openai.APIStatusError as error:
            await self._admit(Trouble.DOWN if error.status_code >= 500 else Trouble.REFUSED, context, error)
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
    return bool(calls) or any(char.isalnum() for char in delta.content)


class ThoughtFilter:
    """Takes `<think>...</think>` out of streamed text, however the tags are cut up.

    Local servers send the thoughts of reasoning models as part of the answer; nobody wants to hear them.
    """

    OPEN, CLOSE = "<think>", "</think>"

    def __init__(self) -> None:
        self._thinking = False
        self._pending = ""

    def filter(self, text: str) -> str:
        """What of the text so far can be spoken and has not been returned yet."""
        self._pending += text
        speakable = ""
        while True:
            tag = self.CLOSE if self._thinking else self.OPEN
            before, found, after = self._pending.partition(tag)
            if not found:
                break
            speakable += "" if self._thinking else before
            self._pending = after
            self._thinking = not self._thinking
        # The end may be the beginning of a tag: keep it until more is known.
        kept = next(n for n in range(len(tag) - 1, -1, -1) if self._pending.endswith(tag[:n]))
        settled, self._pending = self._pending[: len(self._pending) - kept], self._pending[len(self._pending) - kept :]
        return speakable + ("" if self._thinking else settled)


def last_user_text(context: LLMContext) -> str:
    """What the user said last; empty before they have said anything."""
    for message in reversed(context.get_messages()):
        if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])
    return ""


def is_chinese(text: str) -> bool:
    """Whether to answer a text in Chinese: it has hanzi, or no words at all."""
    return any("\u4e00" <= char <= "\u9fff" for char in text) or not any(char.isalpha() for char in text)
