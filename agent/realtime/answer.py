"""A response and the events that it consists of, from `response.created` to `response.done`."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any, Literal

from pipecat.frames.frames import FunctionCallFromLLM
from pipecat.metrics.metrics import LLMTokenUsage

from agent.realtime.asked import ResponseAsked, SessionAsked
from agent.realtime.items import Item, Items

Event = dict[str, Any]


def event(type: str, **fields: Any) -> Event:
    """An event of the server's."""
    return {"type": type, "event_id": f"event_{uuid.uuid4().hex[:20]}", **fields}


class Answer:
    """One response.

    Args:
        items: Of the conversation; what is answered becomes part of it.
        conversation_id: Its name.
        session: As it holds now.
        asked: What is different in this response.
    """

    def __init__(self, items: Items, conversation_id: str, session: SessionAsked, asked: ResponseAsked) -> None:
        self.id = f"resp_{uuid.uuid4().hex[:21]}"
        self.asked = asked
        self.started = False
        """Whether the brain has begun with it; what comes before that belongs to an older one."""
        self.continues = False
        """Whether the brain will go on after the end of what it is saying: it waits for a function of ours."""
        self.ended = False
        """Whether it will not."""
        self.unsettled: set[str] = set()
        """Calls of functions that the brain does not remember yet."""
        self._items = items
        self._conversation_id = conversation_id
        self._session = session
        self._modality = (asked.output_modalities or session.output_modalities)[0]
        self._output: list[Item] = []
        self._item: Item | None = None
        self._usage: dict[str, int] = {}

    def created(self) -> list[Event]:
        """It begins."""
        return [event("response.created", response=self._shown("in_progress", None))]

    def words(self, text: str) -> list[Event]:
        """Text, at its place in the sound where there is one."""
        events, item = self._open()
        item.text += text
        item.words.append((item.ms, text))
        spoken = "audio_transcript" if self._modality == "audio" else "text"
        return [*events, self._delta(item, f"response.output_{spoken}.delta", delta=text)]

    def sentence(self, text: str) -> list[Event]:
        """Text that is not spoken: the pipeline cuts it into sentences and takes the spaces between them."""
        before = self._item.text[-1:] if self._item is not None else ""
        apart = before.isascii() and text[:1].isascii() and before.strip()
        return self.words(f" {text}" if apart else text)

    def sound(self, data: bytes, ms: float) -> list[Event]:
        """Sound, in the format of the session.

        Args:
            data: As it goes over the wire.
            ms: How long it sounds.
        """
        events, item = self._open()
        item.ms += ms
        return [*events, self._delta(item, "response.output_audio.delta", delta=base64.b64encode(data).decode())]

    def calls(self, function_calls: list[FunctionCallFromLLM]) -> list[Event]:
        """Functions that the client has to call."""
        events: list[Event] = []
        for call in function_calls:
            arguments = json.dumps(call.arguments, ensure_ascii=False)
            item = Item(
                "function_call",
                call_id=call.tool_call_id,
                name=call.function_name,
                arguments=arguments,
                status="in_progress",
            )
            events += self._added(item)
            of = {**self._place(item), "call_id": item.call_id}
            events.append(event("response.function_call_arguments.delta", **of, delta=arguments))
            events.append(event("response.function_call_arguments.done", **of, name=item.name, arguments=arguments))
            item.status = "completed"
            events += self._finished(item)
        return events

    def count(self, usage: LLMTokenUsage) -> None:
        """Tokens that the brain reports."""
        spent = {
            "total_tokens": usage.total_tokens,
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
        }
        self._usage = {name: self._usage.get(name, 0) + (tokens or 0) for name, tokens in spent.items()}

    def pause(self, status: Literal["completed", "incomplete"] = "completed") -> list[Event]:
        """The message is complete; another may follow."""
        item, self._item = self._item, None
        if item is None:
            return []
        item.status = status
        events = []
        if self._modality == "audio":
            events.append(self._delta(item, "response.output_audio.done"))
            events.append(self._delta(item, "response.output_audio_transcript.done", transcript=item.text))
        else:
            events.append(self._delta(item, "response.output_text.done", text=item.text))
        events.append(self._delta(item, "response.content_part.done", part=self._part(item.text)))
        return [*events, *self._finished(item)]

    def done(self, reason: Literal["turn_detected", "client_cancelled"] | None = None) -> list[Event]:
        """It is over, for that reason if it was cancelled."""
        events = self.pause("incomplete" if reason else "completed")
        return [*events, event("response.done", response=self._shown("cancelled" if reason else "completed", reason))]

    def _open(self) -> tuple[list[Event], Item]:
        if self._item is not None:
            return [], self._item
        part: Literal["output_audio", "output_text"] = "output_audio" if self._modality == "audio" else "output_text"
        item = self._item = Item("message", "assistant", part, status="in_progress")
        events = self._added(item)
        return [*events, self._delta(item, "response.content_part.added", part=self._part(""))], item

    def _added(self, item: Item) -> list[Event]:
        self._output.append(item)
        self._items.append(item)
        shown = item.shown()
        place = {"response_id": self.id, "output_index": len(self._output) - 1}
        return [
            event("response.output_item.added", **place, item=shown),
            event("conversation.item.added", previous_item_id=self._items.last(item), item=shown),
        ]

    def _finished(self, item: Item) -> list[Event]:
        shown = item.shown()
        place = {"response_id": self.id, "output_index": self._output.index(item)}
        return [
            event("response.output_item.done", **place, item=shown),
            event("conversation.item.done", previous_item_id=self._items.last(item), item=shown),
        ]

    def _place(self, item: Item) -> dict[str, Any]:
        return {"response_id": self.id, "item_id": item.id, "output_index": self._output.index(item)}

    def _delta(self, item: Item, type: str, **fields: Any) -> Event:
        return event(type, **self._place(item), content_index=0, **fields)

    def _part(self, text: str) -> dict[str, str]:
        return {"type": "audio", "transcript": text} if self._modality == "audio" else {"type": "text", "text": text}

    def _shown(self, status: str, reason: str | None) -> dict[str, Any]:
        output = self._session.audio.output
        details = {"type": status, "reason": reason} if reason else None
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "conversation_id": self._conversation_id,
            "output": [item.shown() for item in self._output],
            "output_modalities": [self._modality],
            "max_output_tokens": self.asked.max_output_tokens or self._session.max_output_tokens,
            "audio": {"output": {"format": output.format.model_dump(), "voice": output.voice}},
            "usage": self._usage or None,
            "metadata": self.asked.metadata,
        }
