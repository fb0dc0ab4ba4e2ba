"""Who answers in which language, as long as nobody has chosen a voice."""

import pytest
from pipecat.frames.frames import LLMFullResponseStartFrame, LLMTextFrame, TTSUpdateSettingsFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.settings import is_given

from agent.brain.mother_tongue import MotherTongue
from agent.pipeline import Models
from agent.settings import VoiceSettings
from tests.pipeline import run_test
from tts_service.rehearsal import HeldAnswerFrame
from tts_service.service import GLMTTSSettings

ENGLISH, CHINESE = "What time is it?", "现在 OK 吗？"


@pytest.mark.parametrize(
    ("question", "settings", "voices"),
    [
        (ENGLISH, VoiceSettings(), ["rose"]),
        (CHINESE, VoiceSettings(), ["lian"]),
        (ENGLISH, VoiceSettings(name="bai"), []),
        (ENGLISH, VoiceSettings(native=False), []),
    ],
)
async def test_an_answer_is_spoken_by_who_grew_up_with_its_language(
    synthesizer, recogniser, question, settings, voices
):
    models = Models(synthesizer, recogniser)
    context = LLMContext([{"role": "user", "content": question}])
    processor = MotherTongue(context, lambda language: models.native(language, settings))
    answer = [LLMFullResponseStartFrame(), LLMTextFrame("…")]
    down, _ = await run_test(processor, frames_to_send=answer + answer)
    changes = [frame.delta.voice for frame in down if isinstance(frame, TTSUpdateSettingsFrame)]
    assert changes == voices, "once, and only if it has not been chosen"
    if voices:
        assert isinstance(down[0], TTSUpdateSettingsFrame), "ahead of the answer"
    assert [type(frame) for frame in down if not isinstance(frame, TTSUpdateSettingsFrame)] == [*map(type, answer)] * 2


@pytest.mark.parametrize(("change", "voices"), [({"speed": 1.1}, ["rose"]), ({"voice": "bai"}, ["bai"])])
async def test_whoever_is_chosen_in_the_conversation_speaks_from_then_on(change, voices):
    processor = MotherTongue(LLMContext([{"role": "user", "content": ENGLISH}]), {"en": "rose"}.get)
    chosen = TTSUpdateSettingsFrame(delta=GLMTTSSettings(**change))
    down, _ = await run_test(processor, frames_to_send=[chosen, LLMFullResponseStartFrame(), LLMTextFrame("…")])
    set_to = [frame.delta.voice for frame in down if isinstance(frame, TTSUpdateSettingsFrame)]
    assert [voice for voice in set_to if is_given(voice)] == voices


async def test_who_will_speak_is_known_before_an_answer_that_is_held_back():
    processor = MotherTongue(LLMContext([{"role": "user", "content": CHINESE}]), {"en": "rose", "zh": "lian"}.get)
    held = [HeldAnswerFrame("12 "), HeldAnswerFrame("12 plus"), HeldAnswerFrame("12 plus 3")]
    down, _ = await run_test(processor, frames_to_send=held)
    assert [frame.delta.voice for frame in down if isinstance(frame, TTSUpdateSettingsFrame)] == ["rose"]
    assert [frame for frame in down if isinstance(frame, HeldAnswerFrame)] == held
