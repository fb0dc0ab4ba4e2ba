"""Pipecat's own way to say how words sound reaches the front end, in the middle of a Chinese sentence too."""

import pytest

from tests.tts_service.stage import Stage, stage
from tts_service.service import GLMTTSService

SAID = {"重庆": "zhòng qìng", "Metformin": "mɛtˈfɔɹmɪn", "LEGO": "lè gāo", "New York": "njuː jɔːk"}
TEXT = "我在重庆买了metformin和LEGO，去New York，不去重庆路。Legos."


async def test_what_is_set_in_pipecat_is_what_the_engine_is_given(monkeypatch):
    given, synthesize = [], Stage(token_seconds=0.02).synthesizer.engine.__class__.synthesize

    def listening(engine, pronunciation, *rest):
        given.append(pronunciation)
        return synthesize(engine, pronunciation, *rest)

    monkeypatch.setattr("tests.tts_service.tone_engine.ToneEngine.synthesize", listening)
    pronounce = GLMTTSService.pronunciation_transform_ipa(SAID)
    async with stage(token_seconds=0.02, service={"text_transforms": [("*", pronounce)]}) as it:
        await it.say(*TEXT)
        await it.end()
        assert it.messages == [TEXT]  # the markup is for the voice alone
        assert not it.errors
    tokens = [token for pronunciation in given for token in pronunciation.tokens]
    readings = [token.reading for token in tokens if token.source == "markup"]
    assert readings == ["zhong4", "qing4", "mɛtˈfɔɹmɪn", "le4", "gao1", "njuː", "jɔːk", "zhong4", "qing4"]
    assert [token.reading for token in tokens if token.text == "Legos"] == [""]


@pytest.mark.parametrize(
    ("word", "reading"),
    [("重庆", "chóng"), ("重庆", "ʈʂʰʊŋ˧˥ tɕʰiŋ˥˩"), ("GIF", "˥"), ("New York", "jɔːk"), ("LEGO", "")],
)
def test_what_cannot_be_read_is_spoken_as_written(word, reading):
    assert GLMTTSService.format_pronunciation(word, reading) is None
