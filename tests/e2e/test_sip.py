"""The whole agent on the telephone: real ears, demo brain and voice, called by a baresip softphone, by sipp and by our own."""

import asyncio
import difflib
import json
import re
import shutil
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soxr
from pypinyin import lazy_pinyin

from tests.agent_process import free_port, running_agent
from tests.e2e.sipp import BYE, RINGING, invite, pause, recv, run, sdp, send
from tests.phone.carrier import Carrier
from tests.phone.softphone import FRAME, Softphone, linear, mulaw

pytestmark = pytest.mark.e2e
LOUD = 0.02
SUM = "三加五等于八"
POEM = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"


def sounds_like(heard, meant):
    """How alike two sentences sound, 0 to 1: tones aside, for a telephone line and a small recogniser lose those first."""
    heard, meant = ("".join(lazy_pinyin(re.sub(r"\W", "", t).translate(DIGITS))) for t in (heard, meant))
    return difflib.SequenceMatcher(None, heard, meant, autojunk=False).ratio()


DIGITS = str.maketrans("0123456789", "零一二三四五六七八九")


@pytest.fixture(scope="module")
def phones(tmp_path_factory):
    """An agent on SIP and on the provider websockets, with `sip_port` and `records`."""
    folder = tmp_path_factory.mktemp("phones")
    sip_port = free_port()
    settings = [f"sip.listen=127.0.0.1:{sip_port}", f"phone.record_to={folder / 'records'}", "sip.answer_within=30"]
    options = [part for setting in settings for part in ("--set", setting)]
    with running_agent(folder / "agent.log", "-t", "sip,twilio", "--profile", "phone", *options) as agent:
        agent.wait_until("ready")
        agent.sip_port, agent.records = sip_port, folder / "records"
        yield agent


@pytest.fixture(scope="module")
def question(speech):
    """`question(text)` -> 8 kHz samples of it being asked."""

    def ask(text):
        with wave.open(str(speech(text, before=0.0, after=0.0))) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
            return soxr.resample(samples, file.getframerate(), 8000)

    return ask


def read(path):
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
        return samples.reshape(-1, file.getnchannels()), file.getframerate()


async def until_quiet(phone, seconds=1.0, timeout=60.0):
    """Wait until the agent has said what it has to say."""
    async with asyncio.timeout(timeout):
        while True:
            voiced = [at for at, level in phone.levels() if level > LOUD]
            if voiced and time.perf_counter() - voiced[-1] > seconds:
                return
            await asyncio.sleep(0.05)


def said(phone, since=0.0):
    """Everything heard since a moment, at 48 kHz."""
    heard = [linear(payload) for at, *_, kind, payload, _ in phone.heard if kind == 0 and at >= since]
    return soxr.resample(np.concatenate(heard), 8000, 48000)


def keep_line_open(phone):
    """Send silence, as a phone does, until it is stopped."""
    return asyncio.create_task(phone.speak(np.zeros(8000 * 300)))


async def speak_over(phone, silence, samples):
    """Say something on a line that was silent."""
    silence.cancel()
    sent = await phone.speak(samples)
    return sent, keep_line_open(phone)


async def test_greeting_question_and_answer(phones, question, transcribe):
    asked = await asyncio.to_thread(question, "三加五等于几？")
    async with Softphone(phones.sip_port) as phone:
        await phone.invite(timeout=60)
        answered = time.perf_counter()
        line = keep_line_open(phone)
        first = await phone.until_heard(lambda _, level: level > LOUD)
        print(f"greeting {1000 * (first - answered):.0f} ms after the answer")
        assert first - answered < 0.3
        await until_quiet(phone)
        before = time.perf_counter()
        sent, line = await speak_over(phone, line, asked)
        reply = await phone.until_heard(lambda at, level: at > before and level > LOUD, timeout=60)
        print(f"answer {1000 * (reply - sent[-1][0]):.0f} ms after the question")
        await until_quiet(phone)
        line.cancel()
        await phone.bye()
    heard = transcribe(said(phone, before))
    assert sounds_like(heard, SUM) > 0.7, heard


async def test_barge_in(phones, question):
    story, stop = [await asyncio.to_thread(question, text) for text in ("讲个长故事", "等一下，先别说了")]
    async with Softphone(phones.sip_port) as phone:
        await phone.invite(timeout=60)
        line = keep_line_open(phone)
        await until_quiet(phone)
        before = time.perf_counter()
        _, line = await speak_over(phone, line, story)
        await phone.until_heard(lambda at, level: at > before and level > LOUD, timeout=60)
        await asyncio.sleep(2.0)
        onset = np.argmax(np.abs(stop) > 0.05) // FRAME
        sent, line = await speak_over(phone, line, stop)
        began = sent[onset][0]
        await asyncio.sleep(1.0)
        last = max(at for at, level in phone.levels() if level > LOUD and at < began + 2.0)
        print(f"silent {1000 * (last - began):.0f} ms after the caller began to speak")
        assert last - began < 1.0
        line.cancel()
        await phone.bye()


async def test_keys_reach_the_brain(phones):
    known = set(phones.records.iterdir())
    async with Softphone(phones.sip_port) as phone:
        await phone.invite(timeout=60)
        line = keep_line_open(phone)
        await until_quiet(phone)
        line.cancel()
        before = time.perf_counter()
        await phone.press("42#")
        line = keep_line_open(phone)
        await phone.until_heard(lambda at, level: at > before + 0.5 and level > LOUD, timeout=60)
        await until_quiet(phone)
        line.cancel()
        await phone.bye()
    (folder,) = set(phones.records.iterdir()) - known
    call = json.loads((folder / "call.json").read_text())
    assert any("DTMF: 42#" in event["text"] for event in call["events"] if event["event"] == "answer")


async def test_the_call_was_recorded(phones, question, transcribe):
    known = set(phones.records.iterdir()) if phones.records.exists() else set()
    async with Softphone(phones.sip_port) as phone:
        await phone.invite(timeout=60)
        line = keep_line_open(phone)
        await until_quiet(phone)
        before = time.perf_counter()
        _, line = await speak_over(phone, line, await asyncio.to_thread(question, "三加五等于几？"))
        await phone.until_heard(lambda at, level: at > before and level > LOUD, timeout=60)
        await until_quiet(phone)
        (folder,) = set(phones.records.iterdir()) - known
        running, _ = read(folder / "audio.wav")
        assert len(running) > 16000, "the recording can be read while the call goes on"
        line.cancel()
        await phone.bye()
        async with asyncio.timeout(20):
            while not json.loads((folder / "call.json").read_text())["ended"]:
                await asyncio.sleep(0.1)
    call = json.loads((folder / "call.json").read_text())
    events = [event["event"] for event in call["events"]]
    assert [name for name in events if name in ("started", "heard", "finished")] == ["started", "heard", "finished"]
    assert any("8" in event.get("text", "") for event in call["events"] if event["event"] == "answer")
    both, rate = read(folder / "audio.wav")
    assert sounds_like(transcribe(soxr.resample(both[:, 0], rate, 48000)), "三加五等于几") > 0.7
    assert sounds_like(transcribe(soxr.resample(both[:, 1], rate, 48000)), "你好，请讲。" + SUM) > 0.7


CONFIG = """
sip_listen 127.0.0.1:{port}
net_interface 127.0.0.1
module_path {modules}
module g711.so
module g722.so
module aufile.so
module sndfile.so
module account.so
module menu.so
audio_source aufile,{folder}/question.wav
audio_player aufile,{folder}/unused.wav
snd_path {folder}/recorded
audio_txmode thread
"""


def baresip_modules():
    return next((path for path in Path("/usr/lib").glob("**/baresip/modules") if (path / "aufile.so").exists()), None)


@pytest.mark.skipif(not shutil.which("baresip") or not baresip_modules(), reason="baresip is not installed")
@pytest.mark.parametrize(("codec", "rate"), [("PCMU/8000/1", 8000), ("G722/16000/1", 16000)])
async def test_a_baresip_softphone_asks_and_is_answered(phones, question, transcribe, tmp_path, codec, rate):
    asked = await asyncio.to_thread(question, "请念一首诗。")
    asked = soxr.resample(np.pad(asked, (8000 * 6, 8000 * 30)), 8000, rate)
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((asked * 32767).astype("<i2").tobytes())
    (tmp_path / "recorded").mkdir()
    (tmp_path / "config").write_text(
        CONFIG.format(port=free_port(), folder=tmp_path, modules=baresip_modules())
    )
    (tmp_path / "accounts").write_text(f"<sip:tester@127.0.0.1>;regint=0;audio_codecs={codec}\n")
    dial = f"/dial sip:agent@127.0.0.1:{phones.sip_port}"
    command = ("baresip", "-f", str(tmp_path), "-t", "25", "-e", dial)
    pipes = {"stdin": asyncio.subprocess.DEVNULL, "stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec(*command, **pipes)
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert b"Call established" in output, output.decode(errors="replace")
    (recording,) = (tmp_path / "recorded").glob("*dec.wav")
    heard, recorded_rate = read(recording)
    assert recorded_rate == rate
    answer = heard[int(5.5 * rate) :, 0]
    text = transcribe(soxr.resample(answer, rate, 48000))
    assert sounds_like(text, POEM) > 0.7, text


class Ear(asyncio.DatagramProtocol):
    """A phone's media port: counts what it hears, and speaks as soon as it knows where to."""

    def __init__(self, samples):
        self.coded = mulaw(samples)
        self.levels = []
        self.stamps = set()
        self.talking = None

    def connection_made(self, transport):
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, addr):
        if data[1] & 0x7F == 0:
            self.levels.append(float(np.sqrt(np.mean(linear(data[12:]) ** 2))))
            self.stamps.add(data[4:8])
            self.talking = self.talking or asyncio.create_task(self.talk(addr))

    async def talk(self, addr):
        began = time.perf_counter()
        for number in range(len(self.coded) // FRAME):
            await asyncio.sleep(max(0, began + number * 0.02 - time.perf_counter()))
            header = bytes([0x80, 0]) + number.to_bytes(2, "big") + (number * FRAME).to_bytes(4, "big") + b"ear!"
            self.transport.sendto(header + self.coded[number * FRAME : (number + 1) * FRAME], addr)


@pytest.mark.skipif(not shutil.which("sipp"), reason="sipp is not installed")
async def test_eight_calls_at_once_all_hear_the_agent(phones, tmp_path):
    """sipp places the calls; their sound goes to sockets that listen."""
    seconds = 30
    loop = asyncio.get_running_loop()
    ears = []
    for _ in range(8):
        endpoint = loop.create_datagram_endpoint(lambda: Ear(np.zeros(8000 * 60)), local_addr=("127.0.0.1", 0))
        ears.append((await endpoint)[1])
    ports = tmp_path / "ports.csv"
    ports.write_text("SEQUENTIAL\n" + "".join(f"{ear.port}\n" for ear in ears))
    began = time.perf_counter()
    await run(
        tmp_path, phones.sip_port,
        invite(sdp(port="[field0]")), RINGING, recv(200), send("ACK"), pause(seconds * 1000), BYE,
        calls=8, options=("-inf", str(ports)), timeout=150,
    )  # fmt: skip
    print(f"eight calls of {seconds} s took {time.perf_counter() - began:.0f} s")
    for ear in ears:
        ear.transport.close()
        ear.talking.cancel()
        voiced = sum(level > LOUD for level in ear.levels)
        print(f"{len(ear.levels)} packets, {0.02 * voiced:.1f} s of speech")
        assert len(ear.levels) > seconds * 25, "half of the packets are missing"
        assert voiced > 25


async def test_a_provider_call_is_answered(phones, question, transcribe):
    asked = await asyncio.to_thread(question, "三加五等于几？")
    async with Carrier("twilio", f"ws://127.0.0.1:{phones.port}/ws") as call:
        quiet = asyncio.create_task(call.speak(np.zeros(8000 * 120)))
        await call.until(lambda: len(call.heard()) > 8000, 60)
        await asyncio.sleep(2.0)
        quiet.cancel()
        before = len(call.heard())
        await call.speak(np.pad(asked, (0, 8000)))
        call.keep_quiet()
        await call.until(lambda: len(call.heard()) > before + 8000, 60)
        await asyncio.sleep(2.0)
        await call.hang_up()
    text = transcribe(soxr.resample(call.heard()[before:], 8000, 48000))
    assert sounds_like(text, SUM) > 0.7, text

