"""What the pages under `docs` show must work: every snippet is run, against servers with an engine of tones."""

import asyncio
import re
import threading
from pathlib import Path

import pytest

from agent.metrics import Metrics
from agent.pipeline import Models
from agent.server import create_app
from agent.settings import Settings
from agent.switchboard import Switchboard
from tests.tts_service.tone_engine import ToneEngine
from tests.workshop.conftest import serving
from tts_service import Synthesizer, Voice
from tts_service.serving.wyoming import serve

ROOT = Path(__file__).parent.parent
ALL = sorted((ROOT / "docs").glob("*.md"))
PAGES = [page for page in ALL if "```python" in page.read_text("utf-8")]
SNIPPETS = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S))
]


class Lian(ToneEngine):
    """Has the voice that the pages ask for."""

    def voices(self):
        return [Voice("lian")]


@pytest.fixture(scope="module")
def speaking():
    with Synthesizer(Lian()) as synthesizer:
        yield synthesizer


@pytest.fixture(scope="module")
def server(speaking):
    switchboard = Switchboard(Settings(), Metrics())
    switchboard.models, switchboard.state = Models(speaking, None), "ready"
    switchboard.close = lambda: None
    with serving(create_app(switchboard, [])) as address:
        yield address.removeprefix("http://")


@pytest.fixture(scope="module")
def wyoming(speaking):
    loop, ready, port = asyncio.new_event_loop(), threading.Event(), []

    def started(number):
        port.append(number)
        ready.set()

    task = loop.create_task(serve(speaking, None, port=0, ready=started))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield f'127.0.0.1", {port[0]}'
    task.add_done_callback(lambda _: loop.stop())
    loop.call_soon_threadsafe(task.cancel)
    thread.join(10)
    loop.close()


@pytest.mark.parametrize("code", SNIPPETS)
def test_every_snippet_runs(code, server, wyoming, speaking, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipecat_glm_tts.load", lambda name: Synthesizer(Lian()), raising=False)
    code = code.replace("localhost:7860", server).replace('localhost", 10200', wyoming)
    exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})
    if "print(" in code:
        assert not re.fullmatch(r"[0. ]*s?", capsys.readouterr().out.strip())  # nothing, or no sound


@pytest.mark.parametrize("road", ["home-assistant", "livekit", "pipecat", "realtime", "speech-api", "speech-websocket"])
def test_every_road_is_shown(road):
    assert ROOT / "docs" / f"{road}.md" in PAGES


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.stem)
def test_every_page_is_linked_and_links_to_what_exists(page):
    assert f"docs/{page.name}" in (ROOT / "README.md").read_text("utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
