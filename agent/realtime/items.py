"""The conversation as a list of items, each beside the message that the brain remembers of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pipecat.processors.aggregators.llm_context import LLMContext

from agent.realtime.asked import ItemAsked, Refusal

MAX_ITEMS = 1000
WAITING = "The result is not known yet."
"""Stands in the brain's memory for the result of a function that the client has not sent."""


@dataclass(eq=False)
class Item:
    """Something said, or a function called."""

    type: Literal["message", "function_call", "function_call_output"]
    role: Literal["user", "assistant", "system"] | None = None
    part: Literal["input_text", "input_audio", "output_text", "output_audio"] = "input_text"
    """What its content is."""
    text: str = ""
    """Said, typed, or a function's result."""
    call_id: str = ""
    name: str = ""
    arguments: str = ""
    id: str = ""
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    message: dict[str, Any] | None = None
    """The brain's."""
    ms: float = 0.0
    """Length of its sound so far."""
    words: list[tuple[float, str]] = field(default_factory=list)
    """Of spoken text: the millisecond at which each piece has begun to sound."""
    cut: float | None = None
    """Where the client stopped listening, in ms."""

    def __post_init__(self) -> None:
        self.id = self.id or f"item_{uuid.uuid4().hex[:21]}"

    def heard(self) -> str:
        """What of a spoken text the user has heard."""
        if self.cut is None:
            return self.text
        return "".join(text for ms, text in self.words if ms <= self.cut)

    def shown(self) -> dict[str, Any]:
        """As the API writes it."""
        base = {"id": self.id, "object": "realtime.item", "type": self.type, "status": self.status}
        if self.type == "function_call":
            return {**base, "call_id": self.call_id, "name": self.name, "arguments": self.arguments}
        if self.type == "function_call_output":
            return {**base, "call_id": self.call_id, "output": self.text}
        word = "transcript" if self.part.endswith("audio") else "text"
        empty = self.role == "assistant" and self.status == "in_progress" and not self.text
        content = [] if empty else [{"type": self.part, word: self.heard()}]
        return {**base, "role": self.role, "content": content}


class Items:
    """The items in their order, and what the brain remembers of them.

    Args:
        context: The brain's memory; changed along with the items.
    """

    def __init__(self, context: LLMContext) -> None:
        self._context = context
        self._items: list[Item] = []

    def find(self, id: str) -> Item:
        """The item of that name.

        Raises:
            Refusal: There is none.
        """
        item = next((item for item in self._items if item.id == id), None)
        if item is None:
            raise Refusal(f"there is no item {id[:64]!r} in this conversation", "item_not_found", "item_id")
        return item

    def last(self, before: Item | None = None) -> str | None:
        """The id of the last item, or of the one before another."""
        items = self._items[: self._items.index(before)] if before in self._items else self._items
        return items[-1].id if items else None

    def append(self, item: Item) -> Item:
        """Add what the pipeline says or hears; its message is found by `remembered`."""
        self._items.append(item)
        return item

    def insert(self, item: Item, after: str | None) -> None:
        """Add what the client says, to the brain's memory as well.

        Args:
            item: With its text.
            after: Id of the item before; `root`: the beginning; None: the end.

        Raises:
            Refusal: There is no such place, or no room, or the result belongs to no call.
        """
        if len(self._items) >= MAX_ITEMS:
            raise Refusal(f"the conversation has {MAX_ITEMS} items already; delete some", "too_many_items")
        if any(known.id == item.id for known in self._items):
            raise Refusal(f"there is an item {item.id!r} already", "item_id_in_use", "item.id")
        at = len(self._items)
        if after is not None:
            at = 0 if after == "root" else self._items.index(self.find(after)) + 1
        if item.type == "function_call_output":
            item.message = self._result_of(item.call_id)
            item.message["content"] = item.text
        else:
            message = item.message = _message(item)
            following = [known.message for known in self._items[at:] if known.message is not None]
            messages: list[Any] = self._context.messages
            place = next((n for n, m in enumerate(messages) if any(m is f for f in following)), len(messages))
            messages.insert(place, message)
            if item.type == "function_call":
                result = {"role": "tool", "tool_call_id": item.call_id, "content": WAITING}
                messages.insert(place + 1, result)
        self._items.insert(at, item)

    def remembered(self, item: Item, text: str) -> bool:
        """Take the brain's latest message with this text for the item's; whether there is one."""
        taken = [known.message for known in self._items if known.message is not None]
        for message in reversed(self._context.messages):
            if not isinstance(message, dict) or any(message is other for other in taken):
                continue
            if message.get("role") == item.role and _bare(message.get("content")) == _bare(text):
                item.message = cast("dict[str, Any]", message)
                self._cut(item)
                return True
        return False

    def last_said(self) -> str:
        """What the user said last, as the brain has it; empty if that has its item already."""
        for message in reversed(self._context.messages):
            if isinstance(message, dict) and message.get("role") == "user":
                known = any(item.message is message for item in self._items)
                return "" if known or not isinstance(message["content"], str) else message["content"]
        return ""

    def awaiting(self, text: str) -> Item | None:
        """The spoken answer with this text whose message is not known yet."""
        return next(
            (
                item
                for item in self._items
                if item.role == "assistant" and item.message is None and _bare(item.text) == _bare(text)
            ),
            None,
        )

    def delete(self, item: Item) -> None:
        """Remove an item from both."""
        self._items.remove(item)
        self._forget(item)

    def truncate(self, item: Item, ms: int) -> None:
        """Forget what of a spoken answer was not heard.

        Raises:
            Refusal: It is not spoken, or shorter.
        """
        if item.role != "assistant" or item.part != "output_audio":
            raise Refusal("only spoken answers of the assistant can be cut", "invalid_value", "item_id")
        if ms > item.ms + 1:
            raise Refusal(
                f"the audio of {item.ms:.0f} ms is already shorter than {ms} ms", "invalid_value", "audio_end_ms"
            )
        item.cut = float(ms)
        self._cut(item)

    def _cut(self, item: Item) -> None:
        if item.cut is None or item.message is None:
            return
        if heard := item.heard().strip():
            item.message["content"] = heard
        else:
            self._forget(item)

    def _forget(self, item: Item) -> None:
        gone: list[Any] = [item.message]
        if item.type == "function_call":  # a call without its result is refused by every endpoint, and the reverse
            gone += [m for m in self._context.messages if isinstance(m, dict) and m.get("tool_call_id") == item.call_id]
        if item.type == "function_call_output" and item.message is not None:
            item.message["content"] = WAITING
            return
        self._context.set_messages([m for m in self._context.messages if not any(m is g for g in gone)])

    def _result_of(self, call_id: str) -> dict[str, Any]:
        for message in reversed(self._context.messages):
            if isinstance(message, dict) and message.get("tool_call_id") == call_id:
                return message  # type: ignore[return-value]
        raise Refusal(f"no function was called with call_id {call_id[:64]!r}", "invalid_value", "item.call_id")


def written(asked: ItemAsked, text: str) -> Item:
    """The item that a client asks for.

    Args:
        asked: As it came.
        text: What its content says.
    """
    if asked.type == "message":
        spoken = any(part.type.endswith("audio") for part in asked.content)
        assistant = asked.role == "assistant"
        part: Any = f"{'output' if assistant else 'input'}_{'audio' if spoken else 'text'}"
        return Item("message", asked.role, part, text, id=asked.id or "")
    return Item(
        asked.type,
        text=asked.output or "",
        call_id=asked.call_id or "",
        name=asked.name or "",
        arguments=asked.arguments,
        id=asked.id or "",
    )


def _bare(text: Any) -> str:
    """Without its spaces: the brain's memory has others between sentences."""
    return "".join(text.split()) if isinstance(text, str) else ""


def _message(item: Item) -> dict[str, Any]:
    if item.type == "function_call":
        call = {
            "id": item.call_id,
            "type": "function",
            "function": {"name": item.name, "arguments": item.arguments},
        }
        return {"role": "assistant", "tool_calls": [call]}
    return {"role": item.role, "content": item.text}
