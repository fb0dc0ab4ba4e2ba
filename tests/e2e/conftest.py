"""A running agent, a real Chromium in front of it, a voice to speak with and ears to check what was heard."""

import asyncio
import base64
import os
import shutil
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr
from playwright.sync_api import Browser, Page, Playwright, Request, sync_playwright

import tts_service
from agent.pipeline import Models
from agent.settings import Settings
from tests.agent_process import AgentProcess, running_agent
from tts_service.voices.recogniser import Recogniser

RECORDER = (Path(__file__).parent / "browser.js").read_text()
VOICE = "mei"
GREETING = "你好，请讲。"
NO_EGRESS = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"
FAILED = pytest.StashKey[bool]()
LOOPBACK = ("http://127.0.0.1:", "http://localhost:", "blob:", "data:")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    log = tmp_path_factory.mktemp("agent") / "agent.log"
    with running_agent(log, "--set", f"brain.greeting={GREETING}") as process:
        process.wait_until("ready")
        yield process


@pytest.fixture(scope="session")
def models() -> Iterator[Models]:
    """The voice and the ears, for agents in the test process."""
    models = asyncio.run(Models.load(Settings()))
    yield models
    models.close()


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """`speech("你好")` -> a WAV of it, with silence before and after."""
    folder = tmp_path_factory.mktemp("speech")
    with tts_service.load("kokoro") as voice:

        def make(text: str, before: float = 0.3, after: float = 1.0) -> Path:
            chunks = list(voice.stream(text, voice=VOICE))
            rate = chunks[0].sample_rate
            samples = np.concatenate([chunk.samples for chunk in chunks])
            samples = np.pad(samples, (int(before * rate), int(after * rate)))
            path = folder / f"{len(list(folder.iterdir()))}.wav"
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes((samples * 32767).astype("<i2").tobytes())
            return path

        yield make


@pytest.fixture(scope="module")
def transcribe() -> Iterator[Callable[[np.ndarray], str]]:
    """What is said in 48 kHz samples, by the agent's own recogniser."""
    recogniser = Recogniser()
    yield lambda samples: recogniser.transcribe(soxr.resample(samples, 48000, 16000)).text
    recogniser.close()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    # Not for the session: while it is open it keeps an event loop running, under which no asynchronous test can start.
    with sync_playwright() as started:
        yield started


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        reason = "no Chromium here; on Debian: apt install chromium fonts-noto-cjk"
        # In CI a missing browser must not look like a passed test.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return str(found)


@pytest.fixture
def browser(playwright: Playwright) -> Iterator[Callable[..., Browser]]:
    """`browser(microphone=wav)` -> a Chromium whose microphone plays that file once, whenever it is opened."""
    opened = []

    def launch(microphone: Path | None = None, allow_microphone: bool = True) -> Browser:
        flags = ["--autoplay-policy=no-user-gesture-required", NO_EGRESS]
        if allow_microphone:
            flags += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        if microphone is not None:
            assert microphone.stat().st_size > 1000  # Chromium plays silence for a file that it cannot read
            flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
        opened.append(playwright.chromium.launch(executable_path=chromium(), args=flags))
        return opened[-1]

    yield launch
    for chrome in opened:
        chrome.close()


class Talk:
    """The talk page in one browser context, watched for errors and for requests that leave this computer."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.strangers: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._check)
        page.set_default_timeout(90_000)

    def _check(self, request: Request) -> None:
        if not request.url.startswith(LOOPBACK):
            self.strangers.append(request.url)

    def wait_for(self, *states: str) -> None:
        self.page.wait_for_selector(", ".join(f"body[data-state={state}]" for state in states))

    def call(self) -> None:
        self.page.click("#call")
        self.page.wait_for_function("!['idle', 'connecting'].includes(document.body.dataset.state)")

    def hang_up(self) -> None:
        if self.page.locator("#call.hang-up").count():
            self.page.click("#call")
            self.wait_for("idle")

    def say(self, wav: Path) -> None:
        """Speak into the scripted microphone."""
        self.page.evaluate("wav => __tape.say(wav)", base64.b64encode(wav.read_bytes()).decode())

    def type(self, text: str) -> None:
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")

    def mine(self) -> str:
        """All that the page shows of what the user said."""
        return "".join(self.page.locator(".turn.you .words").all_inner_texts())

    def last_answer(self) -> str:
        return self.page.locator(".turn.agent .words").last.inner_text()

    def answers(self) -> list[dict]:
        """What the agent remembers of its answers, as it told the page."""
        return self.page.evaluate(
            "__tape.messages.filter(m => m.type === 'server-message' && m.data.type === 'answer').map(m => m.data)"
        )

    def wait_for_answer(self, containing: str) -> dict:
        """Wait until an answer that contains this text has been spoken, and heard, to its end."""
        self.page.wait_for_function(
            """text => {
                const last = (test) => __tape.messages.findLastIndex(test);
                const spoken = last((m) => m.type === "bot-tts-stopped");
                return __tape.messages.some((m) => m.data?.type === "answer" && m.data.text.includes(text))
                    && spoken > last((m) => m.type === "bot-tts-started")
                    && last((m) => m.type === "bot-stopped-speaking") > spoken;
            }""",
            arg=containing,
        )
        return next(answer for answer in self.answers() if containing in answer["text"])

    def story(self) -> str:
        """What happened, for a failure's report."""
        kinds = ("user-input", "server-message", "user-st", "bot-st", "bot-int", "bot-llm-st", "error")
        lines = [f"state {self.page.get_attribute('body', 'data-state')}", self.page.inner_text("#transcript")]
        for message in self.page.evaluate("window.__tape?.messages ?? []"):
            if message.get("type", "").startswith(kinds):
                lines.append(f"{message['type']} {message.get('data', '')}"[:200])
        return "\n".join(lines)

    def recording(self) -> np.ndarray:
        """What was said (column 0) and heard (column 1) so far, [n, 2] at 48 kHz."""
        samples = np.frombuffer(base64.b64decode(self.page.evaluate("__tape.play()")), "<i2")
        return samples.reshape(-1, 2).astype(np.float32) / 32768


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def talk(agent: AgentProcess, request: pytest.FixtureRequest) -> Iterator[Callable[..., Talk]]:
    """`talk(browser)` -> the page, ready to call; in the end it must have made no error and asked no stranger."""
    opened: list[Talk] = []

    def visit(chrome: Browser, scripted: bool = False, recorded: bool = True, **options: object) -> Talk:
        # The recorder is a worklet from a blob, which the page's own policy rightly forbids.
        context = chrome.new_context(**{"locale": "zh-CN", "bypass_csp": recorded, **options})
        if recorded:
            context.add_init_script(RECORDER.replace("SCRIPTED", str(scripted).lower()))
        opened.append(Talk(context.new_page()))
        opened[-1].page.goto(agent.url)
        opened[-1].wait_for("idle")
        return opened[-1]

    yield visit
    if request.node.stash.get(FAILED, False):
        for page in opened:
            print(page.story())
        print("\n".join(agent.log.read_text().splitlines()[-40:]))
    for page in opened:
        page.hang_up()
        assert page.errors == []
        assert page.strangers == []
