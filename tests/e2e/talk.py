"""An agent to talk to in the test process, and the eval harness that talks to it."""

import asyncio
import json
import re
import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import uvicorn
import yaml
from fastapi import FastAPI, WebSocket
from pipecat.evals.fastapi_transport import EvalFastAPIWebsocketTransport
from pipecat.evals.scenario import EvalScenarioFile
from pipecat.evals.serializer import EvalSerializer, parse_eval_connect
from pipecat.evals.session import EvalSession, EvalSessionParams
from pipecat.evals.transport import EvalTransportParams
from pipecat.frames.frames import OutputAudioRawFrame

from agent.pipeline import OUTPUT_CHUNKS, Models, converse
from agent.settings import Settings
from agent.transports.clean import CleanLine
from agent.transports.ducking import Ducking
from tests.agent.speech import SAMPLE_RATE, noise, say, silence

SCENARIOS = Path(__file__).parent / "scenarios"
PAUSE = 0.7
"""Seconds, where `|` stands in what a user says."""
TELEVISION = 10 ** (-24 / 20)
"""How much of a voice comes across the room."""


@dataclass
class Session:
    """What one conversation's client was sent, what the agent told about it, and how many decibels it gave way, with
    times of the event loop."""

    audio: list[tuple[float, OutputAudioRawFrame]] = field(default_factory=list)
    events: list[tuple[float, str, dict]] = field(default_factory=list)
    ducked: list[tuple[float, float]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self, kind):
        return [data for _, name, data in self.events if name == kind]

    def heard(self, before=float("inf")):
        """The agent's audio as the client had it, [n] float32."""
        return np.concatenate(
            [np.frombuffer(frame.audio, "<i2").astype(np.float32) / 32768 for at, frame in self.audio if at < before]
        )


class Recorder(EvalSerializer):
    """Keeps the audio that goes to the client, which the transport paces like a loudspeaker."""

    def __init__(self, session, line=None):
        super().__init__()
        self._session = session
        self._line = line

    async def serialize(self, frame):
        if isinstance(frame, OutputAudioRawFrame):
            self._session.audio.append((asyncio.get_running_loop().time(), frame))
            if self._line:
                self._line.sent(frame.audio, frame.sample_rate)
        return await super().serialize(frame)


class Agent:
    """A served agent.

    `url` is where a client connects; `sessions` are its conversations in order; `line` cleans what comes in.
    """

    def __init__(self, models: Models, settings: Settings, line: CleanLine | None = None):
        self.models, self.settings, self.line = models, settings, line
        self.sessions: list[Session] = []
        self.tasks: list[asyncio.Task] = []

    @asynccontextmanager
    async def served(self):
        app = FastAPI()
        app.websocket("/ws")(self._accept)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        self.url = f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/ws"
        try:
            yield self
        finally:
            server.should_exit = True
            await serving

    async def _accept(self, websocket: WebSocket):
        session = Session()
        self.sessions.append(session)
        await websocket.accept()
        ducking, loop = Ducking(), asyncio.get_running_loop()
        flags = parse_eval_connect(json.loads(await websocket.receive_text()))
        params = EvalTransportParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_10ms_chunks=OUTPUT_CHUNKS,
            audio_out_filter=ducking,
            audio_in_filter=self.line,
            serializer=Recorder(session, self.line),
        )

        def duck(decibels):
            session.ducked.append((loop.time(), decibels))
            ducking.to(decibels)

        self.tasks.append(asyncio.current_task())
        try:
            await converse(
                EvalFastAPIWebsocketTransport(websocket, params, flags),
                self.models,
                self.settings,
                duck=duck,
                on_event=lambda kind, data: session.events.append((loop.time(), kind, data)),
            )
        finally:
            session.over.set()

    async def hold(self, scenario):
        """Hold a scripted conversation; what the harness found."""
        params = EvalSessionParams(default_timeout_ms=60_000)
        return await EvalSession.from_scenario(scenario, self.url, params=params).run()


def load_scenarios(name, folder, synthesizer):
    """The scenarios of a file by name, their audio made in `folder`."""
    path = Path(shutil.copy(SCENARIOS / f"{name}.yaml", folder))
    for scenario in yaml.safe_load(path.read_text(encoding="utf-8"))["scenarios"]:
        for turn in scenario["turns"]:
            if "audio" in turn and not (folder / turn["audio"]).exists():
                sound = np.concatenate([sound_of(turn["user"], synthesizer), silence(0.3)])
                soundfile.write(folder / turn["audio"], sound, SAMPLE_RATE)
    return {scenario.name.split("/")[1]: scenario for scenario in EvalScenarioFile.load(path)}


def sound_of(text, synthesizer):
    if text == "<silence>":
        return silence(3)
    if match := re.fullmatch(r"<([\w ]+)>", text):
        return np.concatenate([part for kind in match[1].split() for part in (noise(kind, 2), silence(1))])
    if text.startswith("<television>"):
        return TELEVISION * sound_of(text.removeprefix("<television>").strip(), synthesizer)
    if "|" in text:
        pieces = [sound for piece in text.split("|") for sound in (sound_of(piece, synthesizer), silence(PAUSE))]
        return np.concatenate(pieces[:-1])
    # So short a word is hard enough to recognise from a native speaker.
    return say(synthesizer, text, voice="lian") if len(text) <= 3 else say(synthesizer, text)
