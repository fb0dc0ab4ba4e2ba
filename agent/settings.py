"""Typed settings: profile YAML < environment < command line.

A profile is a YAML file with one mapping per section; `configs/profiles/default.yaml` shows every field. In the
environment a field is called `GLM_TTS_<SECTION>_<FIELD>` (the three names every OpenAI client knows,
`OPENAI_BASE_URL`, `OPENAI_API_KEY` and `OPENAI_MODEL`, are read as well, and `GLM_TTS_API_KEY` for the server's token);
on the command line it is `section.field=value`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipecat_glm_tts.wording import tr
from tts_service.engine import SPEEDS

PREFIX = "GLM_TTS_"
SHORT_NAMES = {
    "GLM_TTS_API_KEY": "server.token",
    "OPENAI_BASE_URL": "brain.base_url",
    "OPENAI_API_KEY": "brain.api_key",
    "OPENAI_MODEL": "brain.model",
}


SERVICE = r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$"
"""A module and a class in it."""


class SettingsError(Exception):
    """A setting is unknown or wrong. The message says where it was set and what was expected."""


class Section(BaseModel):
    """One group of settings; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """Where the agent listens and whom it lets in."""

    host: str = "127.0.0.1"
    port: int = Field(7860, ge=0, le=65535)
    """0 picks a free port."""
    max_sessions: int = Field(4, ge=1, le=1000)
    """Conversations at once; one more gets a clear 503."""
    token: SecretStr | None = None
    """Asked of every client when set; needed to listen beyond loopback."""


class ApiSettings(Section):
    """The speech API, for programs that expect OpenAI's."""

    origins: tuple[str, ...] = ()
    """Web pages that may call it from a browser, such as http://localhost:3000 or app://obsidian.md; `*`: all."""
    hosts: tuple[str, ...] = ("host.docker.internal",)
    """Further names under which programs reach this computer while it listens on loopback only."""
    voices: dict[str, str] = {}
    """Names that clients send -> our voices, before those of `tts_service.serving.asked.OFFICIAL_VOICES`."""

    @field_validator("origins")
    @classmethod
    def _plain(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin not in ("*", "null") and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s]+", origin):
                raise ValueError(
                    tr("{origin!r} is no origin; write scheme://host[:port] without a path", origin=origin)
                )
        return value

    @field_validator("voices")
    @classmethod
    def _in_small_letters(cls, value: dict[str, str]) -> dict[str, str]:
        return {name.lower(): voice for name, voice in value.items()}


class VoiceSettings(Section):
    """How it speaks; all but `engine`, `model` and `steps` can change during a conversation."""

    engine: str = "kokoro"
    model: Path | None = None
    """kokoro: a local copy of the model; None: the one that comes as packages. glm: the checkpoint folder; None: the
    one that `glm-tts download` fills. remote: the address of the Ray cluster; None: this machine's."""
    name: str | None = None
    """One of the engine's voices; None: its first."""
    speed: float = Field(1.0, ge=SPEEDS[0], le=SPEEDS[1])
    native: bool = True
    """While `name` is None, answers in English are spoken by the engine's first native speaker of it, if it has one."""
    language: Literal["zh", "en"] | None = None
    """None: decide from the text."""
    seed: int = 0
    steps: int = Field(10, ge=1, le=50)
    """glm: of the flow; fewer than the published ten are faster and change the sound (docs/glm-roofline.md)."""


class LabelSettings(Section):
    """How it can be told that a machine speaks; see `tts_service.speech.audible` and `tts_service.speech.watermark`."""

    audible: Literal["off", "rhythm", "spoken"] = "off"
    """A mark that people hear: before the greeting of a conversation, and in what speech API and studio make."""
    at: Literal["beginning", "end", "both"] = "beginning"
    """Where, in what speech API and studio make."""
    watermark: bool = True
    """A mark in the samples of all speech that only machines find."""


class EarsSettings(Section):
    """Speech recognition: a Whisper model in CTranslate2 form, or a service of Pipecat's."""

    service: str | None = Field(None, pattern=SERVICE)
    """An installed Pipecat speech-to-text service, `module:Class`, instead of what follows: see `agent.services`."""
    arguments: dict[str, Any] = {}
    """For its constructor; `settings` for its Settings, `$NAME` for an environment variable."""
    engine: Literal["whisper", "sensevoice", "paraformer"] = "whisper"
    """The last two through sherpa-onnx, which has to be installed."""
    model: Path | None = None
    """For Whisper a directory with model.bin, config.json, tokenizer.json; None: Whisper base int8 from the packages.
    For the others, as sherpa-onnx publishes them: model.onnx or model.int8.onnx, and tokens.txt."""
    languages: tuple[str, ...] = ("zh", "en")
    """What may be heard, as Whisper language codes. With several, every turn is told apart on its own."""
    beam_size: int = Field(5, ge=1, le=10)
    threads: int = Field(1, ge=1, le=64)
    """Cores that one transcription may use. To Whisper base a second one brings nothing with VNNI instructions and
    at most a sixth without, and it is missed elsewhere."""
    window: float = Field(12.0, ge=4.0, le=30.0)
    """Seconds that a short turn is padded to. Whisper was trained on 30; 12 hears as well and takes half the time."""
    max_no_speech: float = Field(0.6, gt=0, le=1)
    """A result that Whisper believes with more than this probability not to be speech is dropped."""
    max_compression: float = Field(2.4, gt=1)
    """A result that deflates better than this is Whisper repeating itself, and is dropped."""


class BrainSettings(Section):
    """Who answers. Without `base_url`, `model` and `service` it is the rule-based demo brain."""

    service: str | None = Field(None, pattern=SERVICE)
    """An installed Pipecat LLM service, `module:Class`, instead of an endpoint: see `agent.services`."""
    arguments: dict[str, Any] = {}
    """For its constructor; `settings` for its Settings, `$NAME` for an environment variable."""
    base_url: HttpUrl | None = None
    """Any OpenAI-compatible endpoint, such as http://localhost:11434/v1."""
    api_key: SecretStr | None = None
    model: str | None = None
    instructions: str | None = None
    """System prompt; None: a short one that asks for speakable answers."""
    greeting: str | None = None
    """What the agent says first; None: the brain's own greeting; an empty string: nothing but the introduction."""
    introduction: str | None = None
    """How a real brain's greeting says, after its hello, that this is an AI; None: 我是人工智能语音助手, or in English,
    unless the greeting says so itself; an empty string: not at all."""
    first_token_timeout: float = Field(15.0, gt=0)
    """Seconds to wait for the beginning of an answer before the agent says that the model is slow."""
    stall_timeout: float = Field(8.0, gt=0)
    """Seconds without a token in the middle of an answer."""
    think_aloud_after: float | None = Field(5.0, gt=0)
    """Seconds that a model may think before the agent says that it is thinking; None: it keeps silent."""
    extra: dict[str, Any] = {}
    """Further fields of every request, such as `reasoning_effort` or `chat_template_kwargs`."""
    functions: tuple[Annotated[str, Field(pattern=SERVICE)], ...] = ()
    """What it may call besides the clock, `module:function` or `module`: see `agent.brain.functions`."""

    @field_validator("base_url", "api_key", "model", mode="before")
    @classmethod
    def _blank_is_unset(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    @model_validator(mode="after")
    def _endpoint_has_a_model(self) -> BrainSettings:
        if self.service is not None and (self.base_url is not None or self.extra):
            raise ValueError(
                tr("service and base_url or extra exclude each other; what a service needs are its arguments")
            )
        if self.base_url is not None and self.model is None:
            raise ValueError(
                tr("base_url is set but model is not; name the model to ask for (brain.model or OPENAI_MODEL)")
            )
        return self

    @property
    def is_demo(self) -> bool:
        """Whether no model is connected."""
        return self.base_url is None and self.model is None and self.service is None


class TurnSettings(Section):
    """When a turn begins and ends, and what interrupts."""

    interrupt: Literal["auto", "voice", "words"] = "auto"
    """What stops a speaking agent. `auto`: what is no nod, such as 停 or a question, while 嗯 and uh-huh go by;
    `voice`: any voice, at once; `words`: only `min_characters` recognised ones."""
    min_characters: int = Field(3, ge=1, le=50)
    """For `words`: hanzi or letters that count as a real interruption rather than a murmur of agreement."""
    duck: float = Field(12.0, ge=0, le=60)
    """For `auto`: decibels by which the agent gives way from the first moment of a voice until it is known whether that
    interrupts; 0: not at all."""
    start_seconds: float = Field(0.15, ge=0.05, le=2)
    """Voice needed before it counts as speech."""
    stop_seconds: float = Field(0.2, ge=0.1, le=2)
    """Silence after which the turn model is asked whether the user has finished."""
    max_pause: float = Field(2.5, ge=0.5, le=10)
    """Silence that ends a turn even when the sentence sounds unfinished."""
    speculate: bool = True
    """The brain begins when the end of a turn is likely, and its answer waits until it is certain. An answer that is
    dropped because the user goes on has been paid for."""
    confidence: float = Field(0.7, ge=0.1, le=1)
    """Speech probability from which a frame counts as voice."""
    min_volume: float = Field(0.5, ge=0, le=1)
    """Loudness below which nothing counts as voice."""
    idle_timeout: float | None = Field(300.0, gt=0)
    """Seconds without a word from either side after which the conversation is closed; null: never."""


class AudioSettings(Section):
    """Cleaning what comes in by SIP or through a telephone provider; browsers do it themselves."""

    echo_cancellation: bool = False
    """Takes out the agent's own voice, which speakerphones and analogue lines send back."""
    noise_suppression: bool = False


class PhoneSettings(Section):
    """Calls through the media websockets of a telephone provider."""

    public_url: HttpUrl | None = None
    """Where the provider reaches this server, such as https://agent.example; None: where the webhook was asked."""
    twilio_account_sid: str | None = None
    """With it and the token calls are also ended through Twilio's API."""
    twilio_auth_token: SecretStr | None = None
    """Verifies that a webhook really comes from Twilio."""
    telnyx_api_key: SecretStr | None = None
    telnyx_public_key: SecretStr | None = None
    """Base64; verifies that a webhook really comes from Telnyx."""
    plivo_auth_id: str | None = None
    plivo_auth_token: SecretStr | None = None
    """Verifies that a webhook really comes from Plivo, and with `plivo_auth_id` ends calls."""
    exotel_token: SecretStr | None = None
    """Exotel signs nothing: a secret that its webhook and websocket addresses must carry as `?token=`."""
    record_to: Path | None = None
    """Folder for a record of every call: both voices, the transcript and the timings. None: nothing is kept."""


class SipSettings(Section):
    """The agent's own telephone, for a PBX or a trunk. It has no TLS and no SRTP: those need a SIP proxy in front."""

    listen: str = Field("127.0.0.1:5060", pattern=r"^.+:\d{1,5}$")
    """Address for UDP and TCP; port 0 picks one."""
    tcp: bool = True
    advertise: str | None = Field(None, validate_default=True)
    """The public IP address, behind a NAT; needed when `listen` is 0.0.0.0."""
    allow: tuple[IPvAnyNetwork, ...] = Field(
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"), validate_default=True
    )
    """Networks that may call. SIP callers do not log in: whoever may send from here may talk to the agent."""
    max_calls: int = Field(8, ge=1, le=1000)
    """Calls at once; one more hears the busy tone."""
    rtp_ports: tuple[int, int] = (20000, 20999)
    """UDP ports for audio, two for every call."""
    codecs: tuple[Literal["G722", "PCMU", "PCMA"], ...] = Field(("G722", "PCMU", "PCMA"), min_length=1)
    """In order of preference. G.722 is wideband."""
    answer_within: float = Field(5.0, ge=0, le=60)
    """Seconds that it rings at most. It is picked up as soon as the greeting can be heard."""
    ack_timeout: float = Field(32.0, gt=0, le=64)
    """Seconds after which a call whose answer nobody acknowledged is dropped."""
    rtp_timeout: float = Field(30.0, gt=0)
    """Seconds without audio, except on hold, after which a call is taken for dead."""
    ring_timeout: float = Field(45.0, gt=0, le=180)
    """Seconds that an outgoing call rings."""
    register_as: str | None = Field(None, pattern=r"^sip:[^@\s<>]+@[^@\s<>]+$")
    """sip:user@registrar to sign on as; None: no registration."""
    register_seconds: int = Field(300, ge=30, le=86400)
    username: str | None = None
    """For digest authentication; None: the user of `register_as`."""
    password: SecretStr | None = None
    proxy: str | None = Field(None, pattern=r"^sip:[^\s<>]+$")
    """sip:host[:port][;transport=tcp] that everything is sent through; None: straight to the address called."""

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if int(port) > 65535:
            raise ValueError(tr("port {port} lies beyond 65535", port=port))
        try:
            ip_address(host.strip("[]"))
        except ValueError:
            raise ValueError(tr("{host} is not an IP address", host=host)) from None
        return value

    @field_validator("advertise")
    @classmethod
    def _reachable(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("listen", "").startswith(("0.0.0.0:", "[::]:")):
            raise ValueError(tr("it is needed, as an IP address, when sip.listen names every address"))
        if value is not None:
            ip_address(value)
        return value

    @field_validator("rtp_ports")
    @classmethod
    def _room(cls, value: tuple[int, int]) -> tuple[int, int]:
        low, high = value
        if not 1024 <= low <= high - 3 <= 65532:
            raise ValueError(
                tr("it must be the first and the last of a range within 1024 to 65535 with room for a call")
            )
        return value


class Settings(Section):
    """Everything that can be set."""

    server: ServerSettings = ServerSettings()
    api: ApiSettings = ApiSettings()
    voice: VoiceSettings = VoiceSettings()
    label: LabelSettings = LabelSettings()
    ears: EarsSettings = EarsSettings()
    brain: BrainSettings = BrainSettings()
    turns: TurnSettings = TurnSettings()
    audio: AudioSettings = AudioSettings()
    phone: PhoneSettings = PhoneSettings()
    sip: SipSettings = SipSettings()

    @classmethod
    def load(
        cls,
        profile: str | Path = "default",
        environment: Mapping[str, str] | None = None,
        overrides: Iterable[str] = (),
    ) -> Settings:
        """Read settings from their three sources, later ones winning.

        Args:
            profile: Path of a YAML file, or the name of one in `configs/profiles`.
            environment: Usually `os.environ`; None: no environment.
            overrides: `section.field=value`, as given on the command line.

        Raises:
            SettingsError: With one line for every unknown or bad value: where it stands, what it is, what was expected.
        """
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        _read_profile(profile_path(profile), values, origins)
        _read_environment(environment or {}, values, origins)
        for override in overrides:
            field, equals, value = override.partition("=")
            if not equals or field.count(".") != 1:
                raise SettingsError(
                    tr(
                        "{override!r} is not a setting; write section.field=value, such as voice.speed=1.1",
                        override=override,
                    )
                )
            _put(values, origins, field, value, "command line")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError("\n".join(_complaint(e, origins) for e in error.errors())) from None


def profile_path(profile: str | Path) -> Path:
    """The file of a profile given by path or by name.

    Raises:
        SettingsError: There is no such file; the message lists the known names.
    """
    path = Path(profile)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise SettingsError(tr("{path}: there is no such profile file", path=path))
    folder = Path(__file__).resolve().parent.parent / "configs" / "profiles"
    if (found := folder / f"{profile}.yaml").is_file():
        return found
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    raise SettingsError(
        tr(
            "there is no profile named {profile!r}; known: {known}, or give the path of a .yaml file",
            profile=profile,
            known=", ".join(known),
        )
    )


def _read_profile(path: Path, values: dict[str, Any], origins: dict[str, str]) -> None:
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(tr("{path} is not valid YAML: {error}", path=path, error=error)) from None
    if root is None or document is None:  # nothing but comments, or a bare `null`
        return
    if not isinstance(document, dict):
        raise SettingsError(
            tr(
                "{path}: expected sections such as 'voice:' with fields below them, not a {kind}",
                path=path,
                kind=type(document).__name__,
            )
        )
    for section_key, section_node in root.value:
        section = section_key.value
        origins[section] = f"{path}, line {section_key.start_mark.line + 1}"
        if document[section] is None:  # a heading whose every field is commented out
            continue
        values[section] = document[section]
        if isinstance(section_node, yaml.MappingNode):
            for key, _ in section_node.value:
                origins[f"{section}.{key.value}"] = f"{path}, line {key.start_mark.line + 1}"


def _read_environment(environment: Mapping[str, str], values: dict[str, Any], origins: dict[str, str]) -> None:
    for name, field in SHORT_NAMES.items():
        if environment.get(name):
            _put(values, origins, field, environment[name], f"environment variable {name}")
    for name, value in environment.items():
        section, _, field = name.removeprefix(PREFIX).lower().partition("_")
        if name not in SHORT_NAMES and name.startswith(PREFIX) and section in Settings.model_fields and value:
            _put(values, origins, f"{section}.{field}", value, f"environment variable {name}")


def _put(values: dict[str, Any], origins: dict[str, str], field: str, value: str, origin: str) -> None:
    """Set one field from text: `null` unsets it, `[a, b]` is a list, anything else is left to the field's own type."""
    section, _, name = field.partition(".")
    if not isinstance(values.setdefault(section, {}), dict):
        return  # the profile's own error about this section comes first
    parsed: Any = value
    if value.strip() in ("null", "~"):
        parsed = None
    elif value.strip().startswith("[") and value.strip().endswith("]"):
        parsed = [part.strip(" '\"") for part in value.strip()[1:-1].split(",") if part.strip()]
    values[section][name] = parsed
    origins[field] = origin


def _complaint(error: Any, origins: dict[str, str]) -> str:
    field = ".".join(str(part) for part in error["loc"][:2])
    origin = origins.get(field) or origins.get(str(error["loc"][0]), "settings")
    if error["type"] == "extra_forbidden":
        parent: type[BaseModel] = Settings
        if len(error["loc"]) > 1:
            parent = type(getattr(Settings(), str(error["loc"][0])))
        known = ", ".join(parent.model_fields)
        return tr("{origin}: there is no setting {field!r}; known: {known}", origin=origin, field=field, known=known)
    fault = _fault(error["type"], error["msg"], error.get("ctx", {}))
    if re.search("key|token|password", field):
        return f"{origin}: {field}; {fault}"
    return tr("{origin}: {field} is {given!r}; {fault}", origin=origin, field=field, given=error["input"], fault=fault)


def _fault(kind: str, message: str, limits: Mapping[str, Any]) -> str:
    """Pydantic's usual faults in our words; it has them in English only."""
    match kind:
        case "bool_parsing" | "bool_type":
            return tr("it must be true or false")
        case "int_parsing" | "int_type" | "int_from_float":
            return tr("it must be a whole number")
        case "float_parsing" | "float_type":
            return tr("it must be a number")
        case "string_type":
            return tr("it must be a text")
        case "literal_error" | "enum":
            return tr("it must be one of {expected}", expected=limits["expected"])
        case "greater_than":
            return tr("it must be more than {limit}", limit=limits["gt"])
        case "greater_than_equal":
            return tr("it must be at least {limit}", limit=limits["ge"])
        case "less_than":
            return tr("it must be less than {limit}", limit=limits["lt"])
        case "less_than_equal":
            return tr("it must be at most {limit}", limit=limits["le"])
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
