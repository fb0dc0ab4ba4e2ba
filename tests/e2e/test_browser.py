"""Real conversations in a real browser: microphone to transcript, loudspeaker to Whisper."""

import numpy as np
import pytest

from tests.agent.speech import error_rate, syllables
from tts_service.kokoro.cast import CAST

GREETING = "你好，请讲。"
pytestmark = pytest.mark.e2e

FRAME = 480  # 10 ms
QUIET = 0.004


def loudness(samples: np.ndarray) -> np.ndarray:
    """RMS of every 10 ms."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return np.sqrt((frames**2).mean(1))


def first_silence(level: np.ndarray, start: int, length: int = 40) -> int:
    """The first frame from `start` on after which all is quiet for `length` frames."""
    quiet = level < QUIET
    return next(i for i in range(start, len(level) - length) if quiet[i : i + length].all())


def test_a_spoken_question_is_understood_and_answered(agent, browser, talk, speech, transcribe):
    question = "你会做什么？"
    # The file plays from the moment that the microphone opens: on a slow machine, too, the call is up and the greeting
    # over when it speaks.
    page = talk(browser(microphone=speech(question, before=9.0)))
    page.call()
    answer = page.wait_for_answer("时间和日期")
    page.wait_for("listening")

    assert error_rate(page.mine(), question) < 0.4
    assert error_rate(page.last_answer(), answer["text"]) < 0.1
    sound = page.recording()
    asked = np.flatnonzero(loudness(sound[:, 0]) > 0.02)[-1]
    heard = transcribe(sound[asked * FRAME :, 1])
    assert error_rate(heard, answer["text"]) < 0.35, (heard, answer["text"])
    assert page.page.locator("#latency").is_visible()
    assert agent.metric("agent_voice_to_voice_seconds_count") >= 1
    assert agent.metric("tts_time_to_first_audio_seconds_count") >= 1


def test_speaking_up_silences_the_answer(agent, browser, talk, speech, record_property):
    page = talk(browser(), scripted=True)
    interruption = speech("不要说了。", before=0, after=1.0)
    interrupted_before = agent.metric("agent_interruptions_total")
    page.call()
    page.wait_for_answer("请讲")
    begin = len(page.recording())
    page.type("请讲一个故事。")
    page.page.wait_for_function("document.querySelector('.turn.agent:last-child .said')?.textContent.length > 12")
    page.say(interruption)
    page.page.wait_for_function("__tape.states.includes('interrupted')")
    page.page.wait_for_selector(".turn.agent.interrupted .unsaid")
    page.wait_for_answer("我不说了")

    sound = page.recording()
    mine, theirs = loudness(sound[:, 0]), loudness(sound[:, 1])
    onset = int(np.flatnonzero(mine > 0.02)[0])
    silence = first_silence(theirs, onset)
    milliseconds = (silence - onset) * 10
    record_property("speech_to_silence_ms", milliseconds)
    print(f"from the user's first sound to silence at the client: {milliseconds} ms")
    assert milliseconds < 5000

    story = page.page.locator(".turn.agent.interrupted")
    said = story.locator(".said").inner_text()
    remembered = next(answer for answer in page.answers() if answer["interrupted"] and answer["text"])
    assert said.strip("，。") == remembered["text"].strip("，。")
    assert len(story.locator(".unsaid").inner_text()) > 50
    # As much is remembered as was audible: about five syllables to the second, and not the four hundred of the story.
    audible = (theirs[begin // FRAME : silence] > QUIET).sum() * FRAME / 48000
    assert 2 < len(syllables(said)) / audible < 40, (said, audible)
    assert agent.metric("agent_interruptions_total") > interrupted_before


def test_two_callers_are_answered_at_the_same_time(agent, browser, talk, speech):
    chrome = browser()
    first, second = talk(chrome, scripted=True), talk(chrome, scripted=True)
    for page in (first, second):
        page.call()
        page.wait_for_answer("请讲")
    assert agent.metric('agent_sessions{transport="webrtc"}') == 2
    first.say(speech("现在几点了？"))
    second.say(speech("你会做什么？"))
    first.wait_for_answer("现在是")
    second.wait_for_answer("时间和日期")
    for page in (first, second):
        assert np.max(loudness(page.recording()[:, 1])) > 0.02
    assert "时间和日期" not in first.page.inner_text("#transcript")


def test_typing_does_without_a_microphone(browser, talk, transcribe):
    page = talk(browser(allow_microphone=False))
    page.call()
    assert "麦克风" in page.page.inner_text("#notice")
    page.wait_for_answer("请讲")
    page.type("你会做什么？")
    answer = page.wait_for_answer("时间和日期")
    page.wait_for("listening")
    assert page.mine() == "你会做什么？"
    spoken = transcribe(page.recording()[:, 1])
    assert error_rate(spoken, GREETING + answer["text"]) < 0.35, (spoken, answer["text"])


def test_a_lost_connection_comes_back_with_the_conversation(agent, browser, talk):
    page = talk(browser(), scripted=True)
    page.call()
    page.wait_for_answer("请讲")
    started = agent.metric('agent_sessions_started_total{transport="webrtc"}')
    # What Chromium reports some time after the network has gone.
    page.page.evaluate(
        """() => {
            const peer = __tape.peers.at(-1);
            Object.defineProperty(peer, "connectionState", { get: () => "failed" });
            peer.dispatchEvent(new Event("connectionstatechange"));
        }"""
    )
    page.page.wait_for_function(
        """() => {
            const lost = __tape.states.indexOf("reconnecting");
            return lost >= 0 && __tape.states.indexOf("listening", lost) > 0;
        }"""
    )
    heard = loudness(page.recording()[:, 1])
    page.type("八加九等于多少？")
    page.wait_for_answer("17")
    assert np.max(loudness(page.recording()[:, 1])[len(heard) :]) > 0.02
    assert page.page.evaluate("__tape.peers.length") == 2
    assert agent.metric('agent_sessions_started_total{transport="webrtc"}') == started
    assert page.page.inner_text("#transcript").count("请讲") == 1  # it does not greet again


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
@pytest.mark.parametrize("locale", ["zh-CN", "en-US"])
def test_the_page_fits_and_shows_its_characters(browser, talk, tmp_path, width, height, locale):
    phone = width < 500
    page = talk(
        browser(),
        recorded=False,  # so that the page's own content policy holds
        viewport={"width": width, "height": height},
        locale=locale,
        is_mobile=phone,
        has_touch=phone,
    ).page
    assert page.inner_text("#state") == ("未接通" if locale == "zh-CN" else "Not connected")
    assert cast_offered(page) == [role.description.split(" / ")[locale == "en-US"] for role in CAST]
    assert page.input_value("#voice") == CAST[0].name
    page.click("#call")
    page.wait_for_selector("body[data-state=speaking]")
    picture = page.screenshot(path=tmp_path / "speaking.png")
    assert len(picture) > 15_000
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for control in ("#call", "#mute", "#voice", "#text", "#language"):
        box = page.locator(control).bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
    assert "CJK" in font_of(page, "#language" if locale == "en-US" else "h1")
    page.click("#language")
    assert page.inner_text("h1") == ("Talk" if locale == "zh-CN" else "对话")
    assert cast_offered(page) == [role.description.split(" / ")[locale == "zh-CN"] for role in CAST]


def cast_offered(page) -> list[str]:
    """How the picker names the voices that come along."""
    return page.locator("#voice option").all_text_contents()[: len(CAST)]


def font_of(page, selector: str) -> str:
    """The font that Chromium really drew a node with."""
    session = page.context.new_cdp_session(page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    node = session.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
    fonts = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
    return ", ".join(font["familyName"] for font in fonts)
