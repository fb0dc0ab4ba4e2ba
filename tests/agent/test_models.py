"""What is loaded once for all conversations."""

import asyncio

from threadpoolctl import ThreadpoolController

from agent import pipeline
from agent.settings import Settings
from tests.tts_service.tone_engine import ToneEngine
from tts_service import Synthesizer


def test_the_chosen_voice_has_spoken_before_the_first_caller_comes(monkeypatch):
    engine, told, who = ToneEngine(), [], []
    synthesize = engine.synthesize
    monkeypatch.setattr(
        engine, "synthesize", lambda text, voice, *rest: (who.append(voice.name), synthesize(text, voice, *rest))[1]
    )
    monkeypatch.setattr(pipeline.tts_service, "load", lambda *args, **settings: Synthesizer(engine))
    monkeypatch.setattr(pipeline, "Recogniser", lambda **settings: None)
    settings = Settings(voice={"name": "high"})
    models = asyncio.run(pipeline.Models.load(settings, told.append))
    try:
        assert who == ["high"]
        assert engine.steps, "it has been run to its end"
        assert "warming the voice up" in told
        blas = ThreadpoolController().select(internal_api="openblas").info()
        assert {library["num_threads"] for library in blas} <= {1}, "a second thread would spin on a core in need"
    finally:
        models.synthesizer.close()
