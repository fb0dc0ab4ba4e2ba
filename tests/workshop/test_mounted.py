"""The speech API and the studio on the agent's server, behind its gate."""

import asyncio
import tempfile
from types import SimpleNamespace

import httpx
import openai
import pytest
from pydantic import SecretStr

from agent.metrics import Metrics
from agent.server import create_app
from agent.settings import ServerSettings, Settings
from agent.switchboard import Switchboard
from tests.workshop.conftest import serving

TOKEN = "a long random string"


def agent(synthesizer=None, token=None):
    settings = Settings(server=ServerSettings(token=SecretStr(token) if token else None))
    switchboard = Switchboard(settings, Metrics())
    if synthesizer is not None:
        switchboard.models = SimpleNamespace(synthesizer=synthesizer, close=lambda: None)
    return create_app(switchboard, [])


def test_openais_client_speaks_through_the_agents_server(tone):
    with serving(agent(tone, TOKEN)) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key=TOKEN, max_retries=0)
        data = client.audio.speech.create(model="tts-1", voice="low", input="你好世界", response_format="wav").read()
        assert data[:4] == b"RIFF"
        assert len(data) > 4 * 0.2 * 48000
        with pytest.raises(openai.BadRequestError, match="20000"):  # not the gate's 413
            client.audio.speech.create(model="tts-1", voice="low", input="好" * 70_000)
        stranger = openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            stranger.audio.speech.create(model="tts-1", voice="low", input="你好")
        assert httpx.get(f"{address}/v1/voices").status_code == 401


def test_a_caller_that_hangs_up_is_noticed_through_the_gate(paced):
    with serving(agent(paced)) as address:
        paced.engine.permits.release(2)
        body = {"model": "tts-1", "input": "今天天气很好", "response_format": "pcm"}
        with httpx.stream("POST", f"{address}/v1/audio/speech", json=body) as response:
            next(response.iter_bytes())
        assert paced.engine.stopped.wait(30)


def test_before_the_models_are_loaded():
    with serving(agent()) as address:
        reply = httpx.post(f"{address}/v1/audio/speech", json={"model": "tts-1", "input": "a"})
        assert reply.status_code == 503
        assert "loading" in reply.json()["error"]["message"]


def test_the_studio_asks_for_the_token_and_loads_nothing_from_elsewhere(tone):
    pytest.importorskip("gradio")
    with serving(agent(tone, TOKEN)) as address, httpx.Client(base_url=address, timeout=120) as browser:
        page = browser.get("/studio/")
        assert page.status_code == 200
        assert "auth_message" in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "http" not in page.headers["Content-Security-Policy"]
        assert browser.get("/studio/config").status_code == 401
        assert browser.post("/studio/gradio_api/upload", files={"files": b"x"}).status_code == 401
        assert browser.post("/studio/login", data={"username": "studio", "password": "wrong"}).status_code == 400
        assert browser.post("/studio/login", data={"username": "studio", "password": TOKEN}).status_code == 200
        config = browser.get("/studio/config").json()
        assert any("Synthesize" in str(component["props"].get("label")) for component in config["components"])
        assert browser.get("/studio/live/guess").status_code == 404
        assert browser.get("/").headers["Content-Security-Policy"] != page.headers["Content-Security-Policy"]
        assert browser.get("/metrics").status_code == 401


async def test_what_was_uploaded_to_the_studio_goes_with_the_agent(tone, tmp_path, monkeypatch):
    """By the time that the agent says it has shut down: the signal that stops it may end the process at once."""
    pytest.importorskip("gradio")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    app = agent(tone)
    asked, answered = asyncio.Queue(), asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan"}, asked.get, answered.put))
    await asked.put({"type": "lifespan.startup"})
    assert (await answered.get())["type"] == "lifespan.startup.complete"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", timeout=120) as page:
        reply = await page.post("/studio/gradio_api/upload", files={"files": ("me.wav", b"x")})
        assert reply.json() == [str(path) for path in tmp_path.rglob("me.wav")] != []
    await asked.put({"type": "lifespan.shutdown"})
    assert (await answered.get())["type"] == "lifespan.shutdown.complete"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list(tmp_path.glob("glm-tts-studio-*")) == []
    await running


def test_without_a_token_the_studio_is_open_to_this_computer_alone(tone):
    pytest.importorskip("gradio")
    with serving(agent(tone)) as address:
        assert httpx.get(f"{address}/studio/config", timeout=120).status_code == 200
        assert httpx.get(f"{address}/studio/config", headers={"Host": "evil.example"}).status_code == 421
        assert httpx.get(f"{address}/studio/config", headers={"Origin": "http://evil.example"}).status_code == 403
