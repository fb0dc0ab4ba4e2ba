"""What is said first, and that it is said who speaks.

Whoever talks to a machine has a right to know it from the first moment on (EU AI Act, article 50(1)); on the telephone
there is no page that could say so.
"""

from __future__ import annotations

import re

from agent.brain import demo as demo_brain
from agent.brain.llm import is_chinese
from agent.settings import BrainSettings

GREETING = "你好！有什么可以帮你的吗？"
INTRODUCTION = ("我是人工智能语音助手。", "I am an AI voice assistant. ")
"""One clause: (Chinese, English)."""
_HELLO = re.compile(
    r"\s*(?:[你您]们?好|喂|hello|hi|hey|good (?:morning|afternoon|evening))(?: there)?[\s，。！,.!]+", re.I
)
_SAYS_SO = re.compile(
    r"人工智能|智能(?:语音)?(?:助[手理]|客服)|机器人|虚拟助[手理]|(?<![a-z])(?:a\.?i\.?|artificial intelligence"
    r"|(?:ro|chat)?bot|(?:virtual|automated) (?:\w+ )?(?:assistant|agent))(?![a-z])",
    re.I,
)


def opening(settings: BrainSettings) -> str:
    """What a conversation opens with; empty for nothing.

    A real brain's greeting says what is speaking, after its hello, unless its words do already. The demo brain's own
    greeting does.
    """
    greeting = settings.greeting
    if settings.is_demo:
        return demo_brain.GREETING if greeting is None else greeting
    if greeting is None:
        greeting = GREETING
    introduction = settings.introduction
    if introduction is None:
        introduction = "" if _SAYS_SO.search(greeting) else INTRODUCTION[0 if is_chinese(greeting) else 1]
    hello = _HELLO.match(greeting)
    end = hello.end() if hello else 0
    return (greeting[:end] + introduction + greeting[end:]).strip()
