"""Pipecat's test pipeline, with patience for a slow machine."""

import asyncio
from functools import partial

from pipecat.frames.frames import LLMTextFrame
from pipecat.tests import utils
from pipecat.tests.utils import SleepFrame

run_test = partial(utils.run_test, start_timeout=60)


def until(condition, seconds=60):
    """Frames to send that hold back those behind them until a condition is met."""
    for _ in range(50 * seconds):
        if condition():
            return
        yield SleepFrame(0.02)
    raise TimeoutError(f"waited {seconds} s in vain")


def first_text(brain):
    """Set when the brain has begun to answer."""
    begun = asyncio.Event()

    @brain.event_handler("on_after_push_frame")
    def on_frame(_, frame):
        if isinstance(frame, LLMTextFrame):
            begun.set()

    return begun
