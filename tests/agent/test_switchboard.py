"""What calls leave behind: nothing."""

import asyncio
import gc
import weakref

import pytest

from agent import switchboard as module
from agent.metrics import Metrics
from agent.settings import Settings
from agent.switchboard import Switchboard
from agent.transports.webrtc import WebRTC
from agent.turns.stop import EndOfTurnStop


class Circle:
    """As a pipeline's processors are: each knows its neighbour."""

    def __init__(self):
        self.me = self


@pytest.fixture
def no_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.fixture
def switchboard(monkeypatch, no_gc):
    held = []

    async def converse(*_, **__):
        circle = Circle()
        held.append(weakref.ref(circle))

    monkeypatch.setattr(module, "converse", converse)
    monkeypatch.setattr(module, "GARBAGE_SECONDS", 0)
    made = Switchboard(Settings(), Metrics())
    made.models, made.state, made.held = object(), "ready", held
    return made


async def test_the_memory_of_a_call_is_given_back_when_it_is_over(switchboard):
    await switchboard.converse(switchboard.seat("webrtc"), None)
    [circle] = switchboard.held
    assert circle() is not None, "a circle is not freed by itself"
    await asyncio.sleep(0.01)
    assert circle() is None


async def test_what_was_loaded_for_good_is_passed_over_but_no_call_is(switchboard):
    seat = switchboard.seat("webrtc")
    switchboard.keep()
    assert gc.get_freeze_count() == 0, "the call would never be collected"
    await switchboard.converse(switchboard.seat("webrtc"), None)
    await asyncio.sleep(0.01)
    assert switchboard.held.pop()() is not None, "all that was loaded would be gone through under the call that goes on"
    await switchboard.converse(seat, None)
    await asyncio.sleep(0.01)
    assert gc.get_freeze_count() > 1000
    assert switchboard.held[0]() is None


def test_all_conversations_ask_one_model_for_the_sound_of_an_end():
    assert EndOfTurnStop()._sound._model is EndOfTurnStop()._sound._model


class RTCSctpTransport:
    """As aiortc's: its timers send in tasks that nobody waits for."""

    async def _transmit(self, error):
        raise error


@pytest.mark.parametrize(("error", "told"), [(ConnectionError("not connected"), False), (ValueError("a fault"), True)])
async def test_a_timer_that_sends_to_a_peer_that_has_gone_is_no_news(switchboard, caplog, error, told):
    await WebRTC(switchboard).open()
    task = asyncio.create_task(RTCSctpTransport()._transmit(error))
    await asyncio.wait([task])
    del task
    gc.collect()
    assert ("never retrieved" in caplog.text) is told


async def test_what_the_c_library_keeps_for_later_is_given_back_now_and_then(switchboard, monkeypatch):
    trims = []
    monkeypatch.setattr(module, "trim", lambda: trims.append(1))
    for _ in range(3):
        await switchboard.converse(switchboard.seat("webrtc"), None)
        await asyncio.sleep(0.01)
    assert len(trims) == 1, "not after every call"
