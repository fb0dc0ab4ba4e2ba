import re

import pytest
from pipecat.services.llm_service import LLMService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.stt_service import STTService

from agent.brain.functions import named_functions
from agent.pipeline import make_brain, make_ears
from agent.services import NamedService
from agent.settings import Settings, SettingsError

OPENAI = "pipecat.services.openai.llm:OpenAILLMService"


@pytest.mark.parametrize(
    ("kind", "name", "arguments", "complaint"),
    [
        (STTService, "pipecat.services.nowhere.stt:X", {}, "cannot import pipecat.services.nowhere.stt.*pip install"),
        (STTService, "no_such_module", {}, "cannot import no_such_module.*installed"),
        (
            STTService,
            "pipecat.services.openai.stt:Nobody",
            {},
            "Nobody in .* is no STTService; write one of .*OpenAISTTService",
        ),
        (STTService, OPENAI, {}, "is no STTService"),
        (STTService, "json", {}, "json has no STTService"),
        (LLMService, OPENAI, {"api_kee": "x"}, "takes no api_kee; known: .*api_key"),
        (LLMService, OPENAI, {"api_key": "$NOT_SET_ANYWHERE"}, r"api_key is \$NOT_SET_ANYWHERE.*not set"),
        (LLMService, OPENAI, {"settings": {"temprature": 1}}, "brain.arguments, settings: .*temprature"),
    ],
)
def test_what_cannot_be_made_is_told_with_the_fix(kind, name, arguments, complaint):
    with pytest.raises(SettingsError) as error:
        NamedService("brain", name, arguments, kind).make()
    assert re.search(complaint, str(error.value), re.S), error.value


def test_a_constructor_that_refuses_is_quoted(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(SettingsError, match=r"brain.service .*api_key"):
        NamedService("brain", OPENAI, {}, LLMService).make()


def test_a_brain_by_name_has_its_arguments_and_the_instructions(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    profile = tmp_path / "my.yaml"
    profile.write_text(
        f"brain:\n  service: {OPENAI}\n  model: any\n  instructions: 用中文。\n"
        "  arguments: {api_key: $MY_KEY, settings: {temperature: 0.5}}\n",
        encoding="utf-8",
    )
    settings = Settings.load(profile)
    assert not settings.brain.is_demo
    brain = make_brain(settings.brain)
    assert type(brain) is OpenAILLMService
    assert brain._client.api_key == "secret"
    assert (brain._settings.model, brain._settings.temperature) == ("any", 0.5)
    assert brain._settings.system_instruction == "用中文。"


def test_ears_by_the_name_of_their_module(tmp_path):
    profile = tmp_path / "my.yaml"
    profile.write_text("ears: {service: pipecat.services.groq.stt, arguments: {api_key: x}}\n", encoding="utf-8")
    ears = make_ears(None, Settings.load(profile).ears)
    assert type(ears).__name__ == "GroqSTTService"


def test_an_endpoint_and_a_service_exclude_each_other():
    with pytest.raises(SettingsError, match="exclude each other"):
        Settings.load(overrides=[f"brain.service={OPENAI}", "brain.model=m", "brain.base_url=http://localhost:1/v1"])


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("no_such_module", "cannot import no_such_module.*PYTHONPATH"),
        ("table:cancel", "table:cancel names no .*table:find_tables, table:book_table"),
        ("json", "json names no"),
    ],
)
def test_functions_that_are_not_there(name, complaint, monkeypatch):
    monkeypatch.syspath_prepend("examples")
    with pytest.raises(SettingsError) as error:
        named_functions([name])
    assert re.search(complaint, str(error.value)), error.value


def test_a_module_names_all_its_functions(monkeypatch):
    monkeypatch.syspath_prepend("examples")
    settings = Settings.load(overrides=["brain.functions=[table]"])
    assert [f.__name__ for f in named_functions(settings.brain.functions)] == ["find_tables", "book_table"]
