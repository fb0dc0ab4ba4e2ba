"""Whoever stops listening ends the work: Stop, a page that is loaded again or closed, in a real browser."""

import json
import re
import time

import pytest
from fastapi import FastAPI

pytest.importorskip("gradio", reason="the extra `studio` is not installed")

from tests.tts_service.tone_engine import ToneEngine
from tests.workshop.conftest import serving
from tts_service import Synthesizer
from tts_service.studio import mount
from tts_service.voices.library import Library

pytestmark = pytest.mark.e2e
BOOK = "一二三四五六七八九十。" * 2000


class SlowEngine(ToneEngine):
    """A chunk takes it a tenth of a second, so that a book takes half an hour."""

    def synthesize(self, *asked):
        for chunk in super().synthesize(*asked):
            time.sleep(0.1)
            yield chunk


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def synthesizer():
    with Synthesizer(SlowEngine()) as synthesizer:
        yield synthesizer


@pytest.fixture(scope="module")
def address(synthesizer, outputs, tmp_path_factory):
    app = FastAPI()
    folder = tmp_path_factory.mktemp("studio")
    mount(
        app,
        lambda: synthesizer,
        engine="kokoro",
        transcribe=lambda samples, rate: "",
        dictionary=folder / "dict.jsonl",
        library=Library(folder / "library"),
        outputs=outputs,
    )
    with serving(app) as address:
        yield f"{address}/studio/"


@pytest.fixture
def studio(browser, address):
    """`studio(language)` -> the page as a browser of that language shows it."""

    def open(language="zh-CN", **options):
        page = browser().new_context(locale=language, **options).new_page()
        page.set_default_timeout(60_000)
        page.goto(address)
        page.wait_for_selector("#go")
        return page

    return open


def idle_within(synthesizer, seconds):
    deadline = time.monotonic() + seconds
    while synthesizer.active and time.monotonic() < deadline:
        time.sleep(0.02)
    return not synthesizer.active


@pytest.mark.parametrize(("how", "streaming"), [("stop", True), ("reload", True), ("close", False)])
def test_the_engine_stops_with_the_page(studio, synthesizer, how, streaming):
    page = studio()
    page.wait_for_function("document.querySelector('#preset input').value")  # which sets the box below when it arrives
    page.locator("#stream input").set_checked(streaming)
    page.locator("#text textarea").fill(BOOK)
    page.locator("#go").click()
    page.wait_for_function("/[1-9].* s/.test(document.querySelector('#stats').innerText)")
    assert synthesizer.active
    {"stop": page.locator("#stop").click, "reload": page.reload, "close": page.close}[how]()
    assert idle_within(synthesizer, 5)


def test_what_a_stopped_batch_has_made_is_offered_and_kept(studio, synthesizer, outputs, tmp_path):
    tasks = tmp_path / "news.jsonl"
    tasks.write_text("\n".join(json.dumps({"input_text": text}) for text in ("一。", "二。", BOOK)))
    page = studio()
    page.get_by_role("tab", name="批量").click()
    page.locator("#tasks input[type=file]").set_input_files(tasks)
    page.locator("#tasks .file [aria-label='news.jsonl']").wait_for()
    page.locator("#batch-go").click()
    page.wait_for_function("document.querySelector('#batch-progress').innerText.startsWith('2 / 3')")
    page.locator("#batch-stop").click()
    assert idle_within(synthesizer, 5)
    page.locator("#batch-result a").first.wait_for()
    assert "已停止：2" in page.locator("#batch-progress").inner_text()
    kept = {path.name for path in (outputs / "batch" / "news").iterdir()}
    assert {"output_001.wav", "output_002.wav", "report.jsonl"} < kept


def test_the_button_changes_the_language_of_the_browser(studio):
    page = studio("zh-CN")
    for tab, refusal, other in (("合成", "没有文本", "English"), ("Synthesize", "there is no text", "中文")):
        page.get_by_role("tab", name=tab, exact=True).wait_for()
        page.locator("#go").click()
        page.get_by_text(refusal).first.wait_for()
        page.locator("#language", has_text=other).click()
    page.get_by_role("tab", name="合成", exact=True).wait_for()


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
def test_it_speaks_one_language_at_a_time(studio, language):
    page = studio(language)
    for tab in page.get_by_role("tab").all():
        tab.click()
        shown = page.locator("body").inner_text()
        for choice in page.locator("fieldset:visible").all():
            names = choice.locator("label").all_inner_texts()
            assert len(set(names)) == len(names), "two of the choices read the same"
        assert " / " not in re.sub(r"\d+ / \d+", "", shown)
        if language == "en-US":
            rest = re.sub("中文|乐.*|重庆.*|派森|你好.*", "", shown)
            assert not re.search("[\u4e00-\u9fff]", rest), rest


def test_on_a_phone_the_text_and_its_buttons_come_first(studio):
    page = studio(viewport={"width": 390, "height": 844})
    bottom = page.locator("#go").bounding_box()
    assert bottom["y"] + bottom["height"] < 844
    assert abs(page.locator("#stop").bounding_box()["y"] - bottom["y"]) < 5
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_who_comes_before_the_voice_is_loaded_waits_for_it(browser, synthesizer, tmp_path):
    loaded = []
    app = FastAPI()
    mount(
        app,
        lambda: loaded[0] if loaded else None,
        engine="kokoro",
        transcribe=lambda samples, rate: "",
        dictionary=tmp_path / "dict.jsonl",
        library=Library(tmp_path / "library"),
        outputs=tmp_path / "outputs",
    )
    with serving(app) as address:
        page = browser().new_context(locale="en-US").new_page()
        page.goto(f"{address}/studio/")
        page.locator("#text textarea").fill("一。")
        page.locator("#go").click()
        page.get_by_text("The voice is being loaded").first.wait_for()
        loaded.append(synthesizer)
        page.locator("#download a").first.wait_for()
        page.close()
    [made] = (tmp_path / "outputs").glob("*.wav")
    assert re.fullmatch(r"tts_\d{8}_\d{6}\.wav", made.name)
