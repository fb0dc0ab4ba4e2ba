"""The studio as people use it: `glm-tts studio` in a process of its own, a real browser in front of it."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import TimeoutError

import tts_service
from tts_service.workshop.audio_file import read_label
from tts_service.workshop.label import content_id

pytest.importorskip("gradio", reason="the extra `studio` is not installed")
pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
TEXT = "重庆火锅，今天3.5折！<img src=x onerror=alert(1)>银行行长来了。"
SECONDS = 120_000  # of patience, in milliseconds: two busy cores speak slowly


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    (folder / "dict.jsonl").write_text('{"word": "乐高", "phoneme": "lè gāo"}\n', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def address(folder):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from tts_service.cli import main; main()", "studio", "--port", str(port)]
    command += ["--voices", str(folder / "voices"), "--dict", str(folder / "dict.jsonl")]
    log = (folder / "log").open("w+")
    process = subprocess.Popen(command, stderr=log, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 180
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/studio/", timeout=30).raise_for_status()
            break
        except httpx.TransportError:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(30)
    log.close()


@pytest.fixture
def studio(browser, address):
    """`studio(width)` -> the page; afterwards it must have asked no stranger and run no script of a text."""
    pages, strangers, alerts = [], [], []

    def open(width=1280, height=900):
        page = browser().new_page(viewport={"width": width, "height": height}, locale="zh-CN")
        page.set_default_timeout(SECONDS)
        page.on(
            "request",
            lambda request: request.url.startswith((address, "data:", "blob:")) or strangers.append(request.url),
        )
        page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
        page.goto(f"{address}/studio/")
        page.wait_for_function("document.querySelector('#voice input')?.value")  # what the page asks for first
        pages.append(page)
        return page

    yield open
    assert strangers == []
    assert alerts == []


def tab(page, name):
    """Open a tab; on a narrow page it may be behind the menu of three dots."""
    button = page.get_by_role("tab", name=re.compile(name))
    if not button.first.is_visible():
        page.locator(".overflow-menu > button").click()
        page.get_by_role("button", name=re.compile(name)).or_(button).last.click()
    else:
        button.first.click()


def write(page, text, shown):
    """Type a text until the page answers: what is typed before it has come to life on a slow machine is not read."""
    for patience in (SECONDS / 4, SECONDS):
        page.locator("#text textarea").fill("")
        page.locator("#text textarea").fill(text)
        with contextlib.suppress(TimeoutError):
            page.wait_for_function(shown, timeout=patience)
            return
    raise AssertionError("the page does not read what is typed")


def upload(page, where, path):
    """Give a file and wait until it is listed; while it travels only its name is shown, maybe for no time at all."""
    page.locator(f"{where} input[type=file]").set_input_files(path)
    page.locator(f"{where} .file [aria-label='{path.name}']").wait_for()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_text_is_read_spoken_and_downloaded(studio, width, tmp_path):
    page = studio(width)
    write(page, TEXT, "document.querySelectorAll('#pinyin rt').length > 10")
    assert page.locator("#pinyin rt").first.inner_text() == "chóng"
    assert "<img" in page.locator("#pinyin").inner_text()
    page.locator("#go").click()
    page.wait_for_selector("#live audio")
    page.wait_for_function("document.querySelector('#live audio').currentTime > 0.3")
    page.wait_for_selector("#mel img")
    assert re.search(r"首音 [\d.]+ s.*时长 [\d.]+ s.*RTF [\d.]+.*kokoro / lian", page.locator("#stats").inner_text())
    with page.expect_download() as waiting:
        page.locator("#download a").first.click()
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.suffix == ".wav"
    assert content_id(read_label(path))
    samples, rate = soundfile.read(path)
    assert 3 < len(samples) / rate < 20
    assert np.sqrt((samples**2).mean()) > 0.01
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_button_says_whether_it_streams(studio):
    page = studio()
    assert "▶ 开始流式合成" in page.locator("#go").inner_text()
    # A click before the page has come to life on a slow machine is undone by it, so click until it holds.
    page.wait_for_function(
        """() => {
            const box = document.querySelector('#stream input');
            if (box.checked) box.click();
            return !document.querySelector('#go').innerText.includes('▶');
        }""",
        polling=1000,
    )
    page.locator("#text textarea").fill("你好。")
    page.locator("#go").click()
    page.wait_for_selector("#mel img")
    assert page.locator("#live audio").count() == 0


def test_it_says_which_engine_speaks_and_what_that_cannot_do(studio):
    page = studio()
    assert "不能克隆" in page.locator("body").inner_text()
    page.get_by_role("button", name=re.compile("选项")).click()
    assert page.get_by_label(re.compile("种子")).first.is_disabled()
    page.locator("#free").click()
    page.wait_for_function("/\\d+ MB/.test(document.querySelector('#freed').innerText)")


def test_nothing_to_say_is_told(studio):
    page = studio()
    page.locator("#go").click()
    page.get_by_text("没有文本").first.wait_for()


def test_a_batch(studio, tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    lines = [
        {"input_text": "第一句。"},
        {"input_text": "二", "prompt_audio": "missing.wav"},
        {"input_text": "<b>三</b>"},
    ]
    tasks.write_text("\n".join(map(json.dumps, lines)))
    page = studio()
    tab(page, "批量")
    upload(page, "#tasks", tasks)
    page.locator("#batch-go").click()
    page.wait_for_selector("#batch-result a")
    log = page.locator("#batch-log textarea").input_value()
    assert "[✓] 1 -> output_001.wav" in log
    assert "missing.wav" in log
    with page.expect_download() as waiting:
        page.locator("#batch-result a").first.click()
    path = tmp_path / "result.zip"
    waiting.value.save_as(path)
    assert set(zipfile.ZipFile(path).namelist()) == {"output_001.wav", "output_003.wav", "report.jsonl"}


def test_an_archive_that_leads_out_is_refused(studio, tmp_path, folder):
    tasks, archive = tmp_path / "tasks.jsonl", tmp_path / "evil.zip"
    tasks.write_text('{"input_text": "一"}')
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("../../../../../../../../tmp/evil-from-the-studio.wav", b"x")
    page = studio()
    tab(page, "批量")
    upload(page, "#tasks", tasks)
    upload(page, "#recordings", archive)
    page.locator("#batch-go").click()
    page.get_by_text("指向文件夹之外").first.wait_for()
    assert not Path("/tmp/evil-from-the-studio.wav").exists()


def test_the_dictionary_is_checked_and_effective_at_once(studio, folder):
    page = studio()
    tab(page, "词典")
    text = page.locator("#dictionary textarea")
    page.wait_for_function("document.querySelector('#dictionary textarea').value.includes('乐高')")
    good = text.input_value()
    text.fill(good + '{"word": "重庆"}\n')
    page.wait_for_selector("#problems", state="visible")
    page.locator("#save-dictionary").click()
    page.get_by_text("没有保存").first.wait_for()
    assert (folder / "dict.jsonl").read_text(encoding="utf-8") == good
    text.fill(good + '{"word": "重庆", "phoneme": "zhòng qìng"}\n')
    page.locator("#save-dictionary").click()
    page.get_by_text("已保存").first.wait_for()
    assert "zhòng qìng" in (folder / "dict.jsonl").read_text(encoding="utf-8")
    tab(page, "合成")
    changed, deadline = False, time.monotonic() + 60
    while not changed and time.monotonic() < deadline:  # the file is read again in the background
        page.locator("#text textarea").fill("")
        page.locator("#text textarea").fill("重庆")
        with contextlib.suppress(TimeoutError):
            page.locator("#pinyin rt", has_text="zhòng").first.wait_for(timeout=3000)
            changed = True
    assert changed


def test_a_voice_is_added_kept_with_its_consent_and_matched(studio, address, folder, tmp_path):
    with tts_service.load("kokoro") as voice:
        spoken = [chunk.samples for chunk in voice.stream("今天天气很好，我们去公园散步，然后回家吃饭。")]
    soundfile.write(tmp_path / "me.wav", np.concatenate(spoken), 24000)
    page = studio()
    tab(page, "声音")
    page.locator("#new-voice input[type=file]").set_input_files(tmp_path / "me.wav")
    page.wait_for_function("document.querySelector('#new-transcript textarea').value.includes('公园')")
    page.locator("#new-name input, #new-name textarea").first.fill("../我")
    page.locator("#new-consent textarea").fill("本人<script>alert(1)</script>同意")
    page.locator("#add-voice").click()
    page.get_by_text("不能作名字").first.wait_for()
    page.locator("#new-name input, #new-name textarea").first.fill("我")
    page.locator("#add-voice").click()
    page.wait_for_function("document.querySelector('#card').innerText.includes('同意')")
    assert "<script>" in page.locator("#card").inner_text()
    assert "同意" in (folder / "voices" / "我" / "voice.yaml").read_text(encoding="utf-8")
    page.locator("#match").click()
    page.wait_for_function(
        "document.querySelector('#card').innerText.includes('声音匹配（内置）')", timeout=5 * SECONDS
    )
    listed = {voice["id"]: voice for voice in httpx.get(f"{address}/v1/voices").json()["data"]}
    assert "voice matching (embedded)" in listed["我"]["description"]
