import re
from pathlib import Path

import pytest

from agent.settings import Settings, SettingsError


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_default_profile_says_what_the_code_does():
    assert Settings.load() == Settings()


def test_the_default_profile_names_every_setting():
    profile = (Path(__file__).parents[2] / "configs" / "profiles" / "default.yaml").read_text(encoding="utf-8")
    for section, of in Settings.model_fields.items():
        _, _, rest = f"\n{profile}".partition(f"\n{section}:")
        own = re.split(r"^\w", rest, maxsplit=1, flags=re.MULTILINE)[0]
        for name in of.annotation.model_fields:
            assert re.search(rf"^ +(# )?{name}:", own, re.MULTILINE), f"{section}.{name}"


def test_later_sources_win(tmp_path):
    profile = write(tmp_path, "voice:\n  speed: 1.1\n  seed: 1\nbrain:\n  first_token_timeout: 3\n")
    settings = Settings.load(profile, {"GLM_TTS_VOICE_SPEED": "1.2", "GLM_TTS_VOICE_SEED": "2"}, ["voice.seed=3"])
    assert (settings.voice.speed, settings.voice.seed, settings.brain.first_token_timeout) == (1.2, 3, 3.0)


def test_the_names_that_openai_clients_know():
    settings = Settings.load(
        environment={"OPENAI_BASE_URL": "http://localhost:11434/v1", "OPENAI_API_KEY": "k", "OPENAI_MODEL": "qwen3"}
    )
    assert not settings.brain.is_demo
    assert str(settings.brain.base_url) == "http://localhost:11434/v1"
    assert settings.brain.api_key.get_secret_value() == "k"
    assert "k" not in repr(settings.brain.api_key)


def test_the_key_of_the_server_is_no_setting_of_the_api_section():
    token = Settings.load(environment={"GLM_TTS_API_KEY": "correct-horse"}).server.token
    assert token.get_secret_value() == "correct-horse"


@pytest.mark.parametrize(
    "environment",
    [{}, {"OPENAI_API_KEY": "left over from something else"}, {"OPENAI_BASE_URL": "", "OPENAI_MODEL": " "}],
)
def test_a_key_alone_connects_nothing(environment):
    assert Settings.load(environment=environment).brain.is_demo


def test_null_and_lists_on_the_command_line():
    settings = Settings.load(overrides=["turns.idle_timeout=null", "ears.languages=[zh, ja]"])
    assert settings.turns.idle_timeout is None
    assert settings.ears.languages == ("zh", "ja")


def test_a_section_whose_fields_are_all_commented_out(tmp_path):
    assert Settings.load(write(tmp_path, "voice:\n  # speed: 2\n")) == Settings()


def test_every_mistake_is_told_with_its_place(tmp_path):
    profile = write(tmp_path, "voice:\n  speed: 9\n  sped: 1\nbrian:\n  model: x\nturns:\n  interrupt: maybe\n")
    with pytest.raises(SettingsError) as caught:
        Settings.load(profile, {"GLM_TTS_EARS_BEAM_SIZE": "many"}, ["server.port=70000"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 6
    for place, field, expected in (
        (f"{profile}, line 2", "voice.speed is 9", "at most 4"),
        (f"{profile}, line 3", "no setting 'voice.sped'", "known: engine, model, name, speed"),
        (f"{profile}, line 4", "no setting 'brian'", "known: server, api, voice"),
        (f"{profile}, line 7", "turns.interrupt is 'maybe'", "'voice' or 'words'"),
        ("environment variable GLM_TTS_EARS_BEAM_SIZE", "ears.beam_size is 'many'", "whole number"),
        ("command line", "server.port is '70000'", "65535"),
    ):
        assert any(place in line and field in line and expected in line for line in lines), (place, lines)


def test_secrets_are_not_repeated_in_errors():
    with pytest.raises(SettingsError) as caught:
        Settings.load(overrides=["server.token=[hunter2]"])
    assert "server.token" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("voice: [1, 2]\n", "voice is [1, 2]"),
        ("- voice\n", "expected sections"),
        ("voice: {speed: 1.0\n", "not valid YAML"),
        ("brain:\n  base_url: http://localhost:1/v1\n", "model"),
        ("brain:\n  base_url: nonsense\n  model: x\n", "base_url"),
    ],
)
def test_files_that_are_no_profile(tmp_path, text, complaint):
    with pytest.raises(SettingsError, match=r"mine\.yaml") as caught:
        Settings.load(write(tmp_path, text))
    assert complaint in str(caught.value)


@pytest.mark.parametrize("override", ["speed=2", "voice.speed", "a.b.c=1"])
def test_overrides_that_are_no_setting(override):
    with pytest.raises(SettingsError, match=r"section\.field=value"):
        Settings.load(overrides=[override])


def test_profiles_that_do_not_exist(tmp_path):
    with pytest.raises(SettingsError, match="default"):
        Settings.load("no-such-profile")
    with pytest.raises(SettingsError, match=r"absent\.yaml"):
        Settings.load(tmp_path / "absent.yaml")
