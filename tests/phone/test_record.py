"""The call record and the keypad, fed by a real Pipecat pipeline."""

import asyncio
import json
import wave

import numpy as np
import pytest
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import InputDTMFFrame, InterruptionFrame, LLMMessagesAppendFrame

from agent.brain.keypad import Keypad
from agent.record import RATE, CallRecord
from agent.transports.sip.endpoint import SipEndpoint
from agent.transports.sip_line import SipTransport
from tests.phone import bots
from tests.phone.conftest import until
from tests.phone.softphone import Softphone, tone
from tests.pipeline import SleepFrame, run_test


def read(path):
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, RATE)
        data = file.readframes(file.getnframes())
    return np.frombuffer(data, "<i2").reshape(-1, 2) / 32768


def hertz(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * RATE / len(samples)


@pytest.fixture
async def recorded(tmp_path):
    """A phone line that records its one call into `recorded.record`."""
    from agent.settings import SipSettings

    class Recorded:
        record = None

    async def on_call(call):
        Recorded.record = CallRecord(tmp_path, "sip")
        say = bots.speech(1.0, hertz=400)
        await bots.run(SipTransport(call), bots.Listener(), say=say, observers=[Recorded.record])
        Recorded.record.note("finished", {})

    endpoint = SipEndpoint(SipSettings(listen="127.0.0.1:0"), on_call)
    await endpoint.start()
    Recorded.endpoint = endpoint
    yield Recorded
    await endpoint.close()


async def test_both_sides_are_kept_where_they_belong(recorded):
    async with Softphone(recorded.endpoint.wire.port) as phone:
        await phone.invite()
        await phone.speak(np.zeros(12000))
        recorded.record.note("heard", {"text": "七百赫兹"})
        await phone.speak(tone(1.0, 700))
        await phone.bye()
        await until(lambda: recorded.record._wav.closed)
    caller, agent = read(recorded.record.folder / "audio.wav").T
    loud = [np.flatnonzero(np.abs(side) > 0.05) / RATE for side in (caller, agent)]
    assert loud[0][-1] - loud[0][0] == pytest.approx(1.0, abs=0.5)
    assert loud[1][-1] - loud[1][0] == pytest.approx(1.0, abs=0.5)
    assert loud[1][0] < loud[0][0], "the agent spoke first"
    assert hertz(caller[int(loud[0][0] * RATE) :][:8000]) == pytest.approx(700, abs=5)
    assert hertz(agent[int(loud[1][0] * RATE) :][:8000]) == pytest.approx(400, abs=5)
    call = json.loads((recorded.record.folder / "call.json").read_text())
    assert (call["line"], call["ended"]) == ("sip", True)
    assert [event["event"] for event in call["events"]] == ["heard", "finished"]
    assert call["events"][0]["text"] == "七百赫兹"


async def test_a_crash_loses_a_moment_only(recorded):
    """Half-way through, with nothing closed, both files are already good."""
    async with Softphone(recorded.endpoint.wire.port) as phone:
        await phone.invite()
        recorded.record.note("started", {})
        await phone.speak(tone(5.0, 700))
        samples = read(recorded.record.folder / "audio.wav")
        assert len(samples) > 2 * RATE
        assert not json.loads((recorded.record.folder / "call.json").read_text())["ended"]
        await phone.bye()
        await until(lambda: recorded.record._wav.closed)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        CallRecord(tmp_path / "file", "sip")


class TestKeypad:
    def press(self, keys):
        return [InputDTMFFrame(KeypadEntry(key)) for key in keys]

    async def test_keys_become_one_message_at_the_pound_key(self):
        down, _ = await run_test(Keypad(), frames_to_send=[*self.press("12#3#"), SleepFrame(0.2)])
        texts = [frame.messages[0]["content"] for frame in down if isinstance(frame, LLMMessagesAppendFrame)]
        assert texts == ["DTMF: 12#", "DTMF: 3#"]
        assert all(frame.run_llm for frame in down if isinstance(frame, LLMMessagesAppendFrame))

    async def test_the_first_key_silences_the_agent(self):
        down, up = await run_test(Keypad(), frames_to_send=[*self.press("12#"), SleepFrame(0.2)])
        for frames in (down, up):
            assert sum(isinstance(frame, InterruptionFrame) for frame in frames) == 1

    async def test_a_pause_ends_the_entry(self, monkeypatch):
        monkeypatch.setattr("agent.brain.keypad.QUIET_SECONDS", 0.2)
        frames = [*self.press("7"), SleepFrame(1.0), *self.press("8"), SleepFrame(1.0)]
        down, _ = await run_test(Keypad(), frames_to_send=frames)
        texts = [frame.messages[0]["content"] for frame in down if isinstance(frame, LLMMessagesAppendFrame)]
        assert texts == ["DTMF: 7", "DTMF: 8"]
        await asyncio.sleep(0)
