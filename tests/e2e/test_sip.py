"""The whole agent on the telephone: ears, demo brain and voice, called by baresip, by sipp and by our own softphone."""

import asyncio
import difflib
import json
import re
import shutil
import time
import wave
from itertools import pairwise
from pathlib import Path

import httpx
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
QUESTION = "请念一首诗。"
POEM = "我念一首李白的静夜思。床前明月光，疑是地上霜。举头望明月，低头思故乡。"


def sounds_like(heard, meant):
    """How alike two sentences sound, 0 to 1, tones aside: a telephone line and a small recogniser lose those first."""
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


class Record:
    """What the agent writes down of the one call that a test makes."""

    def __init__(self, records):
        self._records = records
        self._known = set(records.glob("*"))

    @property
    def folder(self):
        (folder,) = set(self._records.glob("*")) - self._known
        return folder

    def call(self):
        return json.loads((self.folder / "call.json").read_text())

    def told(self, kind):
        return [event for event in self.call()["events"] if event["event"] == kind]

    async def until(self, condition):
        async with asyncio.timeout(120):
            while not condition():
                await asyncio.sleep(0.1)

    async def answers(self, count, last_sound):
        """Wait until that many answers are over and the line is quiet: a gap alone may be a slow machine's."""
        await self.until(lambda: len(self.told("answer")) >= count)
        await self.until(lambda: time.perf_counter() - last_sound() > 1.0)


@pytest.fixture
def record(phones):
    return Record(phones.records)


def last_sound(phone):
    """When something was heard last."""
    return max((at for at, level in phone.levels() if level > LOUD), default=0.0)


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


async def ask(phone, record, line, samples):
    """Say something and hear the agent out: when the question ended, when the answer began, and the line."""
    answers = len(record.told("answer"))
    sent, line = await speak_over(phone, line, samples)
    asked = sent[-1][0]
    answered = await phone.until_heard(lambda at, level: at > asked and level > LOUD, timeout=60)
    await record.answers(answers + 1, lambda: last_sound(phone))
    return asked, answered, line


async def test_greeting_question_answer_and_the_record_of_them(phones, record, question, transcribe):
    poem = await asyncio.to_thread(question, QUESTION)
    async with Softphone(phones.sip_port) as phone:
        await phone.invite(timeout=60)
        picked_up = time.perf_counter()
        line = keep_line_open(phone)
        first = await phone.until_heard(lambda _, level: level > LOUD)
        print(f"greeting {1000 * (first - picked_up):.0f} ms after the answer")
        assert first - picked_up < 3.0
        await record.answers(1, lambda: last_sound(phone))
        asked, answered, line = await ask(phone, record, line, poem)
        print(f"answer {1000 * (answered - asked):.0f} ms after the question")
        running, _ = read(record.folder / "audio.wav")
        assert len(running) > 16000, "the recording can be read while the call goes on"
        line.cancel()
        await phone.bye()
    heard = transcribe(said(phone, answered - 0.2))
    assert sounds_like(heard, POEM) > 0.7, heard

    await record.until(lambda: record.call()["ended"])
    names = [event["event"] for event in record.call()["events"]]
    assert [name for name in names if name in ("started", "heard", "finished")] == ["started", "heard", "finished"]
    assert any("明月" in answer["text"] for answer in record.told("answer"))
    both, rate = read(record.folder / "audio.wav")
    assert sounds_like(transcribe(soxr.resample(both[:, 0], rate, 48000)), QUESTION) > 0.6
    answer = both[np.flatnonzero(np.abs(both[:, 0]) > 0.05)[-1] :, 1]
    assert sounds_like(transcribe(soxr.resample(answer, rate, 48000)), POEM) > 0.7


async def silent(phone, since):
    """When the first silence after a moment began: what comes behind it is already the next answer."""
    async with asyncio.timeout(60):
        while True:
            loud = [since, *(at for at, level in phone.levels() if level > LOUD and at > since), time.perf_counter()]
            for at, after in pairwise(loud):
                if after - at > 0.8:
                    return at
            await asyncio.sleep(0.1)


async def test_barge_in(phones, record, question):
    story, stop = [await asyncio.to_thread(question, text) for text in ("讲个长故事", "等一下，先别说了")]
    async with Softphone(phones.sip_port) as phone:
        await phone.invite(timeout=60)
        line = keep_line_open(phone)
        await record.answers(1, lambda: last_sound(phone))
        sent, line = await speak_over(phone, line, story)
        await phone.until_heard(lambda at, level: at > sent[-1][0] and level > LOUD, timeout=60)
        await asyncio.sleep(2.0)
        onset = np.argmax(np.abs(stop) > 0.05) // FRAME
        sent, line = await speak_over(phone, line, stop)
        began = sent[onset][0]
        last = await silent(phone, began)
        print(f"silent {1000 * (last - began):.0f} ms after the caller began to speak")
        assert last - began < 5.0, "the story goes on for a minute"
        await record.until(lambda: len(record.told("answer")) > 1)
        assert record.told("answer")[1]["interrupted"]
        line.cancel()
        await phone.bye()


async def test_keys_reach_the_brain(phones, record):
    async with Softphone(phones.sip_port) as phone:
        await phone.invite(timeout=60)
        line = keep_line_open(phone)
        await record.answers(1, lambda: last_sound(phone))
        line.cancel()
        await phone.press("42#")
        line = keep_line_open(phone)
        await record.answers(2, lambda: last_sound(phone))
        line.cancel()
        await phone.bye()
    answers = [answer["text"] for answer in record.told("answer")]
    assert any("DTMF: 42#" in text for text in answers), answers


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
async def test_two_baresip_softphones_ask_and_are_answered(phones, question, transcribe, tmp_path):
    asked = await asyncio.to_thread(question, QUESTION)
    calls = (("PCMU/8000/1", 8000), ("G722/16000/1", 16000))
    recordings = await asyncio.gather(*(baresip(phones.sip_port, asked, tmp_path / str(r), c, r) for c, r in calls))
    for (codec, rate), recording in zip(calls, recordings, strict=True):
        text = transcribe(soxr.resample(recording, rate, 48000))
        assert sounds_like(text, POEM) > 0.7, (codec, text)


async def baresip(sip_port, asked, folder, codec, rate):
    """What a softphone in a process of its own hears after it has asked."""
    spoken = soxr.resample(np.pad(asked, (8000 * 6, 8000 * 90)), 8000, rate)
    (folder / "recorded").mkdir(parents=True)
    with wave.open(str(folder / "question.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((spoken * 32767).astype("<i2").tobytes())
    (folder / "config").write_text(CONFIG.format(port=free_port(), folder=folder, modules=baresip_modules()))
    (folder / "accounts").write_text(f"<sip:tester@127.0.0.1>;regint=0;audio_codecs={codec}\n")
    dial = f"/dial sip:agent@127.0.0.1:{sip_port}"
    with (folder / "baresip.log").open("wb") as log:
        command = ("baresip", "-f", str(folder), "-t", "100", "-e", dial)
        pipes = {"stdin": asyncio.subprocess.DEVNULL, "stdout": log, "stderr": log}
        process = await asyncio.create_subprocess_exec(*command, **pipes)
        try:
            return await recorded_answer(folder / "recorded", after=6 + len(asked) / 8000, rate=rate)
        finally:
            process.terminate()
            await process.wait()


async def recorded_answer(folder, after, rate):
    """What baresip recorded from `after` seconds on, once something was said and four seconds of silence followed."""
    async with asyncio.timeout(90):
        while True:
            await asyncio.sleep(0.5)
            for path in folder.glob("*dec.wav"):
                data = path.read_bytes()[44:]
                samples = np.frombuffer(data[: len(data) // 2 * 2], np.int16)[int(after * rate) :] / 32768
                voiced = np.flatnonzero(np.abs(samples) > 0.05)
                if len(voiced) > rate and len(samples) - voiced[-1] > 4 * rate:
                    return samples


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
    seconds = 15
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
        assert voiced > 25


async def test_the_agent_calls_somebody(phones, record):
    """An order over HTTP; a phone that rings, picks up and is greeted; and one that is busy."""
    async with Softphone(phones.sip_port) as phone, httpx.AsyncClient(base_url=phones.url, timeout=60) as client:
        order = {"to": f"sip:bob@127.0.0.1:{phone.port}"}
        calling = asyncio.create_task(client.post("/api/calls", json=order))
        ring = await phone.expect("INVITE")
        phone.call_id, phone.to_tag = ring["Call-ID"], re.search("tag=([^;]+)", ring["From"]).group(1)
        phone.follow(ring.body)
        phone.reply(ring, "180 Ringing", to_tag=phone.tag)
        phone.reply(ring, "200 OK", phone.sdp(), phone.tag)
        assert (await calling).json()["outcome"] == "answered"
        line = keep_line_open(phone)
        await record.answers(1, lambda: last_sound(phone))
        line.cancel()
        calling = asyncio.create_task(client.post("/api/calls", json=order))
        phone.reply(await phone.expect("INVITE"), "486 Busy Here", to_tag="busy")
        refusal = await calling
        assert (refusal.status_code, refusal.json()["error"]["outcome"]) == (502, "busy")
        assert (await client.post("/api/calls", json={"to": "bob"})).status_code == 400


async def test_a_provider_call_is_answered(phones, record, question, transcribe):
    asked = await asyncio.to_thread(question, QUESTION)
    async with Carrier("twilio", f"ws://127.0.0.1:{phones.port}/ws") as call:
        quiet = asyncio.create_task(call.speak(np.zeros(8000 * 120)))
        await call.until(call.audio, 60)
        await record.answers(1, lambda: call.audio()[-1][0])
        quiet.cancel()
        before = len(call.heard())
        await call.speak(asked)
        call.keep_quiet()
        await record.answers(2, lambda: call.audio()[-1][0])
        await call.hang_up()
    text = transcribe(soxr.resample(call.heard()[before:], 8000, 48000))
    assert sounds_like(text, POEM) > 0.7, text
