"""The far end of a provider's media websocket, speaking in the message shapes of its documentation, in real time."""

import asyncio
import base64
import contextlib
import json
import time

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.phone.softphone import linear, mulaw

CALL = {
    "twilio": {
        "hello": [
            {"event": "connected", "protocol": "Call", "version": "1.0.0"},
            {
                "event": "start",
                "sequenceNumber": "1",
                "start": {
                    "accountSid": "AC0123456789abcdef0123456789abcdef",
                    "streamSid": "MZ1",
                    "callSid": "CA1",
                    "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                    "customParameters": {},
                },
                "streamSid": "MZ1",
            },
        ],
        "media": {"event": "media", "streamSid": "MZ1", "media": {"track": "inbound", "chunk": "1", "timestamp": "5"}},
        "dtmf": {"event": "dtmf", "streamSid": "MZ1", "sequenceNumber": "5", "dtmf": {"track": "inbound_track"}},
        "clear": {"event": "clear", "streamSid": "MZ1"},
        "goodbye": {"event": "stop", "streamSid": "MZ1", "stop": {"accountSid": "AC01", "callSid": "CA1"}},
    },
    "telnyx": {
        "hello": [
            {"event": "connected", "version": "1.0.0"},
            {
                "event": "start",
                "sequence_number": "1",
                "start": {
                    "user_id": "3E6F995F-85F7-4705-9741-53B116D28237",
                    "call_control_id": "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ",
                    "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
                    "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
                    "from": "+13122010094",
                    "to": "+13122123456",
                },
                "stream_id": "32de0dea",
            },
        ],
        "media": {"event": "media", "sequence_number": "4", "stream_id": "32de0dea", "media": {"track": "inbound"}},
        "dtmf": {"event": "dtmf", "stream_id": "32de0dea", "sequence_number": "5", "dtmf": {}},
        "clear": {"event": "clear"},
        "goodbye": {"event": "stop", "sequence_number": "5", "stream_id": "32de0dea", "stop": {"user_id": "3E6F"}},
    },
    "plivo": {
        "hello": [
            {
                "sequenceNumber": 0,
                "event": "start",
                "start": {
                    "callId": "0eb0a4b5",
                    "streamId": "20170ada",
                    "accountId": "100001",
                    "tracks": ["inbound"],
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
                },
                "extra_headers": "{}",
            },
        ],
        "media": {"sequenceNumber": 1, "event": "media", "streamId": "20170ada", "media": {"track": "inbound"}},
        "dtmf": {"event": "dtmf", "streamId": "20170ada", "dtmf": {"track": "inbound", "timestamp": "1"}},
        "clear": {"event": "clearAudio", "streamId": "20170ada"},
        "goodbye": {"event": "stop", "streamId": "20170ada"},
    },
    "exotel": {
        "hello": [
            {"event": "connected"},
            {
                "event": "start",
                "sequence_number": 1,
                "stream_sid": "EX1",
                "start": {
                    "stream_sid": "EX1",
                    "call_sid": "c1",
                    "account_sid": "acme",
                    "from": "09999999999",
                    "to": "08888888888",
                    "custom_parameters": {},
                    "media_format": {"encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps"},
                },
            },
        ],
        "media": {"event": "media", "sequence_number": 3, "stream_sid": "EX1", "media": {"chunk": 2}},
        "dtmf": {"event": "dtmf", "sequence_number": 7, "stream_sid": "EX1", "dtmf": {"duration": "120"}},
        "clear": {"event": "clear", "stream_sid": "EX1"},
        "goodbye": {"event": "stop", "sequence_number": 9, "stream_sid": "EX1", "stop": {"call_sid": "c1"}},
    },
}


class Carrier:
    """One call of one provider: `async with Carrier("twilio", url) as call`."""

    def __init__(self, provider, url):
        self.words = CALL[provider]
        self.linear = provider == "exotel"
        self.piece = 0.1 if self.linear else 0.02
        self.url = url
        self.received = []
        """(time, message) of everything the agent sent."""
        self.closed = asyncio.Event()
        self.code = None
        self._talking = asyncio.Lock()

    async def __aenter__(self):
        self.socket = await connect(self.url, proxy=None)
        self._tasks = [asyncio.create_task(self._listen())]
        for message in self.words["hello"]:
            await self.send(message)
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await self.socket.close()

    async def _listen(self):
        with contextlib.suppress(ConnectionClosed):
            async for text in self.socket:
                self.received.append((time.perf_counter(), json.loads(text)))
        self.code = self.socket.close_code
        self.closed.set()

    async def send(self, message):
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    def code_up(self, samples):
        raw = (np.asarray(samples) * 32767).astype("<i2").tobytes() if self.linear else mulaw(samples)
        return base64.b64encode(raw).decode()

    async def speak(self, samples):
        """Send 8 kHz samples at the pace of a telephone."""
        step = int(8000 * self.piece)
        began = time.perf_counter()
        for number, at in enumerate(range(0, len(samples) - step + 1, step)):
            await asyncio.sleep(max(0.0, began + number * self.piece - time.perf_counter()))
            media = {**self.words["media"]["media"], "payload": self.code_up(samples[at : at + step])}
            await self.send({**self.words["media"], "media": media})

    def keep_quiet(self):
        """Send silence from now on, as a line does."""
        self._tasks.append(asyncio.create_task(self.speak(np.zeros(8000 * 120))))

    async def press(self, digit):
        await self.send({**self.words["dtmf"], "dtmf": {**self.words["dtmf"]["dtmf"], "digit": digit}})

    async def hang_up(self):
        await self.send(self.words["goodbye"])
        await self.socket.close()

    def audio(self):
        """(time, samples) of every piece of audio received."""
        out = []
        for at, message in self.received:
            if message["event"] in ("media", "playAudio"):
                raw = base64.b64decode(message["media"]["payload"])
                out.append((at, np.frombuffer(raw, "<i2") / 32768 if self.linear else linear(raw)))
        return out

    def heard(self):
        return np.concatenate([samples for _, samples in self.audio()] or [np.zeros(0)])

    async def until(self, condition, timeout=20.0):
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0.01)
