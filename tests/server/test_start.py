"""The first minute, and the last two seconds, as somebody at a terminal sees them."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from rich.console import Console

from agent import start
from agent.settings import Settings
from tests.agent_process import ROOT, command, free_port, get, post, running_agent
from tests.tts_service.tone_engine import ToneEngine
from tts_service import Synthesizer
from tts_service.engine import Closed
from tts_service.speech.pace import SENTENCE, Pace

TOKEN = {"Authorization": "Bearer correct-horse"}


def run(*arguments, **environment):
    """The output and exit status of an agent that is expected to give up by itself."""
    done = subprocess.run(
        command("--port", str(free_port()), *arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=90,
    )
    return done.stdout + done.stderr, done.returncode


@pytest.mark.parametrize(("language", "sentence"), [("zh", "端口 {} 已被占用"), ("en", "Port {} is in use")])
def test_a_port_in_use_is_said_in_one_sentence_with_the_way_out(language, sentence):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        output, status = run("--port", str(port), GLM_TTS_LANG=language)
    assert status == 1
    assert sentence.format(port) in output
    assert f"--port {port + 1}" in output
    assert "Traceback" not in output


def test_a_cache_that_cannot_be_written_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    output, status = run(GLM_TTS_CACHE=str(tmp_path / "file" / "cache"))
    assert status == 1
    assert "GLM_TTS_CACHE" in output
    assert str(tmp_path / "file") in output.replace("\n", "")
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--set", "voice.speed=9"], "voice.speed"),
        (["--set", "voice.nonsense=1"], "nonsense"),
        (["--port", "seven"], "server.port"),
        (["-t", "telegraph"], "telegraph"),
        (["--host", "203.0.113.9", "--set", "server.token=x"], "203.0.113.9"),
    ],
)
def test_a_wrong_setting_is_named(arguments, complaint):
    output, status = run(*arguments)
    assert status == 1
    assert complaint in output
    assert "Traceback" not in output


def test_a_missing_package_is_named():
    code = "import runpy, sys; sys.modules['uvicorn'] = None; runpy.run_path('run_agent.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "the package uvicorn is missing" in done.stderr
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_beyond_loopback_it_wants_a_token():
    output, status = run("--host", "0.0.0.0")
    assert status == 1
    assert "GLM_TTS_API_KEY=" in output
    assert "needs a token" in output


def test_with_a_token_only_its_bearer_gets_in(tmp_path):
    slow = {"GLM_TTS_CACHE": str(tmp_path)}  # everything is made anew
    with running_agent(tmp_path / "log", "--host", "0.0.0.0", GLM_TTS_API_KEY="correct-horse", **slow) as agent:
        agent.wait_until("loading")  # pages are up before the models are
        assert get(agent.url).status_code == 200
        assert get(f"{agent.url}/web/app.js").status_code == 200
        for path in ("/api/agent", "/metrics", "/anything"):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic correct-horse"}):
                refused = get(agent.url + path, headers=headers)
                assert refused.status_code == 401
                assert "Bearer" in refused.headers["www-authenticate"]
        assert get(f"{agent.url}/api/agent", headers=TOKEN).json()["state"] == "loading"
        assert get(f"{agent.url}/metrics", headers=TOKEN).status_code == 200
        offer = {"sdp": "v=0", "type": "offer"}
        assert post(f"{agent.url}/api/offer", json=offer).status_code == 401
        stranger = post(f"{agent.url}/api/offer", json=offer, headers={**TOKEN, "Origin": "http://evil.example"})
        assert stranger.status_code == 403


async def said_at_the_start(monkeypatch, measured, engine="kokoro"):
    """The lines that `agent.start.load` writes when the voice turns out to be so fast."""
    monkeypatch.setattr(start, "measure", measured)
    output = io.StringIO()
    console = Console(file=output, width=1000, force_terminal=True, highlight=False)
    with Synthesizer(ToneEngine()) as voice:
        switchboard = SimpleNamespace(
            settings=Settings.load(overrides=[f"voice.engine={engine}"]), models=SimpleNamespace(synthesizer=voice)
        )

        async def load(progress):
            progress("loading the voice")

        switchboard.load = load
        await start.load(switchboard, "http://localhost:7860", console)
    return output.getvalue().splitlines()


@pytest.mark.parametrize(("factor", "colour", "words"), [(0.2, "2", "4 talking"), (0.9, "33", "a CPU with AVX2")])
async def test_the_start_says_what_this_machine_carries(monkeypatch, factor, colour, words):
    spoken = []

    def measured(voice):
        spoken.append(sum(chunk.seconds for chunk in voice.stream(SENTENCE)))
        return Pace("AVX2", factor)

    monkeypatch.setenv("GLM_TTS_LANG", "en")
    *_, address, pace = await said_at_the_start(monkeypatch, measured)
    assert spoken[0] > 1, "measured with the voice that will speak"
    assert "http://localhost:7860" in address
    assert pace.startswith(f"\x1b[{colour}mAVX2, {factor:.2f} s of computing for a second of speech")
    assert words in pace


async def test_a_start_that_is_broken_off_says_no_more(monkeypatch):
    def measured(voice):
        raise Closed

    *_, last = await said_at_the_start(monkeypatch, measured)
    assert "http://localhost:7860" in last


async def test_an_engine_on_a_gpu_is_not_measured_at_the_start(monkeypatch):
    *_, last = await said_at_the_start(monkeypatch, lambda voice: pytest.fail("measured"), engine="glm")
    assert "http://localhost:7860" in last


async def test_ctrl_c_ends_an_open_call_in_two_seconds(tmp_path, caller, record_property):
    with running_agent(tmp_path / "log") as agent:
        agent.wait_until("ready")
        left = asyncio.Event()
        one = caller(agent.url)
        opened = asyncio.Event()
        one.channel.on("open", opened.set)
        one.channel.on("message", lambda message: "peerLeft" in message and left.set())
        await one.offer()
        await asyncio.wait_for(opened.wait(), 20)
        one.channel.send('{"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.2.0"}}')
        await asyncio.to_thread(agent.wait_for_metric, 'agent_sessions{transport="webrtc"}', 1.0)
        seconds = await asyncio.to_thread(agent.interrupt, 30)
        record_property("ctrl_c_seconds", seconds)
        print(f"from Ctrl-C to the end of the process, with a call open: {seconds:.2f} s")
        assert seconds < 6  # two seconds of its own, and a busy machine
        await asyncio.wait_for(left.wait(), 5)
        assert agent.process.returncode == 0
        log = agent.log.read_text()
    assert "Traceback" not in log
    assert "Ready in" in log
    assert agent.url.replace("127.0.0.1", "localhost") in log


def test_ctrl_c_while_loading_ends_it_and_twice_at_once(tmp_path):
    with running_agent(tmp_path / "log", GLM_TTS_CACHE=str(tmp_path)) as agent:
        agent.wait_until("loading")
        agent.process.send_signal(signal.SIGINT)
        assert agent.interrupt(30) < 6
        assert "Traceback" not in agent.log.read_text()
