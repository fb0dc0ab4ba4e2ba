"""The pictures of the README, taken from the running product: `python -m tests.pictures`, with Chromium installed."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.agent_process import ROOT, running_agent
from tests.e2e.conftest import chromium

PICTURES = ROOT / "docs" / "pictures"
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
ASKED = {"en": "Recite a poem, please.", "zh": "背一首诗吧。"}
READ = {
    "en": "The bank in 重庆 opens at 9:30 am.",
    "zh": "重庆银行的行长说，长江边的火锅今天打3.5折。",
}
COLOURS = 128


def talk(page: Page, url: str, language: str) -> None:
    """A call in which a question was typed and half of the answer has been heard."""
    page.goto(url)
    page.wait_for_selector("body[data-state=idle]")
    page.click("#call")
    page.wait_for_selector("body[data-state=listening]")
    page.fill("#text", ASKED[language])
    page.press("#text", "Enter")
    page.wait_for_function("document.querySelector('.turn.agent:last-child .said')?.textContent.length > 24")


def studio(page: Page, url: str, language: str) -> None:
    """A text that has been read and spoken."""
    page.goto(f"{url}/studio/")
    page.fill("#text textarea", READ[language])
    page.wait_for_function("document.querySelectorAll('#pinyin rt').length > 1")
    page.click("#go")
    page.wait_for_selector("#mel img")
    page.wait_for_selector("#download a")


def main() -> None:
    """Take them all."""
    PICTURES.mkdir(exist_ok=True)
    with (
        TemporaryDirectory() as folder,
        running_agent(Path(folder) / "agent.log") as agent,
        sync_playwright() as playwright,
    ):
        agent.wait_until("ready")
        flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--mute-audio"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        for language, locale in LANGUAGES.items():
            for look, height in ((talk, 600), (studio, 740)):
                page = browser.new_page(viewport={"width": 1100, "height": height}, locale=locale, bypass_csp=True)
                page.set_default_timeout(120_000)
                look(page, agent.url, language)
                taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                taken.quantize(COLOURS).save(PICTURES / f"{look.__name__}-{language}.png", optimize=True)
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
