"""Four telephone providers: how each signs its webhooks, is answered, and speaks over its media websocket."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.serializers.exotel import ExotelFrameSerializer
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pydantic import SecretStr

from agent.settings import PhoneSettings

TIMESTAMP_TOLERANCE = 300
"""Seconds that a signed timestamp may be off."""


@dataclass(frozen=True)
class Webhook:
    """What a provider asked, as its signature sees it."""

    method: str
    url: str
    """As the provider knows it, with the query."""
    headers: Mapping[str, str]
    """Names in lower case."""
    form: list[tuple[str, str]]
    body: bytes


class Provider(Protocol):
    """What differs from one provider to the next."""

    name: str
    chunk: int
    """Audio to send at once, in units of 10 ms."""

    def checks(self) -> bool:
        """Whether a secret is set that callers can be checked with."""
        ...

    def genuine(self, webhook: Webhook) -> bool:
        """Whether a webhook comes from the provider. Only asked when `checks`."""
        ...

    def answer(self, stream: str) -> tuple[str, str]:
        """Media type and text that tell the provider to connect the call to the websocket at `stream`."""
        ...

    def serializer(self, start: dict[str, Any]) -> FrameSerializer | None:
        """Translator for a stream that begins with this message; None when the message is another provider's."""
        ...


def providers(settings: PhoneSettings) -> dict[str, Provider]:
    """All four, by name."""
    known: list[Provider] = [Twilio(settings), Telnyx(settings), Plivo(settings), Exotel(settings)]
    return {provider.name: provider for provider in known}


class Twilio:
    """Twilio Media Streams. Signs webhooks with the account's token."""

    name = "twilio"
    chunk = 2

    def __init__(self, settings: PhoneSettings) -> None:
        self._account = settings.twilio_account_sid
        self._token = settings.twilio_auth_token

    def checks(self) -> bool:
        """See `Provider`."""
        return self._token is not None

    def genuine(self, webhook: Webhook) -> bool:
        """HMAC-SHA1 over the URL and the form fields in order of their names."""
        signed = webhook.url + "".join(name + value for name, value in sorted(set(webhook.form)))
        expected = hmac.new(_bytes(self._token), signed.encode(), hashlib.sha1).digest()
        return _matches(expected, webhook.headers.get("x-twilio-signature", ""))

    def answer(self, stream: str) -> tuple[str, str]:
        """TwiML."""
        return _xml(f'<Connect><Stream url="{escape(stream, {chr(34): "&quot;"})}"/></Connect>')

    def serializer(self, start: dict[str, Any]) -> FrameSerializer | None:
        """See `Provider`."""
        details = _object(start, "start")
        if "streamSid" not in details or "callSid" not in details:
            return None
        hangs_up = bool(self._account and self._token)
        return TwilioFrameSerializer(
            str(details["streamSid"]),
            str(details["callSid"]),
            self._account if hangs_up else None,
            _text(self._token) if hangs_up else None,
            params=TwilioFrameSerializer.InputParams(auto_hang_up=hangs_up),
        )


class Telnyx:
    """Telnyx media streaming, answered with TeXML. Signs webhooks with its own Ed25519 key."""

    name = "telnyx"
    chunk = 2

    def __init__(self, settings: PhoneSettings) -> None:
        self._api_key = settings.telnyx_api_key
        self._public_key = settings.telnyx_public_key

    def checks(self) -> bool:
        """See `Provider`."""
        return self._public_key is not None

    def genuine(self, webhook: Webhook) -> bool:
        """Ed25519 over the timestamp, a bar and the body; an old timestamp is a replay."""
        timestamp = webhook.headers.get("telnyx-timestamp", "")
        if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TIMESTAMP_TOLERANCE:
            return False
        try:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(_bytes(self._public_key)))
            signature = base64.b64decode(webhook.headers.get("telnyx-signature-ed25519", ""))
            key.verify(signature, timestamp.encode() + b"|" + webhook.body)
        except (InvalidSignature, ValueError):
            return False
        return True

    def answer(self, stream: str) -> tuple[str, str]:
        """TeXML."""
        url = escape(stream, {'"': "&quot;"})
        return _xml(f'<Connect><Stream url="{url}" bidirectionalMode="rtp"/></Connect><Pause length="40"/>')

    def serializer(self, start: dict[str, Any]) -> FrameSerializer | None:
        """See `Provider`."""
        details = _object(start, "start")
        if "stream_id" not in start or "call_control_id" not in details:
            return None
        encoding = str(_object(details, "media_format").get("encoding", "PCMU"))
        if encoding not in ("PCMU", "PCMA"):
            raise ValueError(f"Telnyx streams {encoding}; set the stream's codec to PCMU or PCMA")
        hangs_up = self._api_key is not None
        return TelnyxFrameSerializer(
            str(start["stream_id"]),
            outbound_encoding=encoding,
            inbound_encoding=encoding,
            call_control_id=str(details["call_control_id"]),
            api_key=_text(self._api_key) if hangs_up else None,
            params=TelnyxFrameSerializer.InputParams(auto_hang_up=hangs_up),
        )


class Plivo:
    """Plivo audio streaming. Signs webhooks with the account's token (version 3)."""

    name = "plivo"
    chunk = 2

    def __init__(self, settings: PhoneSettings) -> None:
        self._account = settings.plivo_auth_id
        self._token = settings.plivo_auth_token

    def checks(self) -> bool:
        """See `Provider`."""
        return self._token is not None

    def genuine(self, webhook: Webhook) -> bool:
        """HMAC-SHA256 over the URL with its query in order, the form fields in order, and a nonce."""
        url = urlsplit(webhook.url)
        query = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(url.query, keep_blank_values=True)))
        signed = f"{url.scheme}://{url.netloc}{url.path}"
        if webhook.method == "POST" and webhook.form:
            fields = "".join(name + value for name, value in sorted(webhook.form))
            signed += f"?{query}{'.' if query else ''}{fields}"
        elif query:
            signed += f"?{query}"
        signed += "." + webhook.headers.get("x-plivo-signature-v3-nonce", "")
        expected = hmac.new(_bytes(self._token), signed.encode(), hashlib.sha256).digest()
        given = webhook.headers.get("x-plivo-signature-v3", "")
        return any(_matches(expected, one.strip()) for one in given.split(","))

    def answer(self, stream: str) -> tuple[str, str]:
        """Plivo XML."""
        attributes = 'bidirectional="true" keepCallAlive="true" contentType="audio/x-mulaw;rate=8000"'
        return _xml(f"<Stream {attributes}>{escape(stream)}</Stream>")

    def serializer(self, start: dict[str, Any]) -> FrameSerializer | None:
        """See `Provider`."""
        details = _object(start, "start")
        if "streamId" not in details or "callId" not in details:
            return None
        hangs_up = bool(self._account and self._token)
        return PlivoFrameSerializer(
            str(details["streamId"]),
            str(details["callId"]),
            self._account if hangs_up else None,
            _text(self._token) if hangs_up else None,
            params=PlivoFrameSerializer.InputParams(auto_hang_up=hangs_up),
        )


class Exotel:
    """Exotel's Voicebot applet. It signs nothing, so a secret of ours in the address stands in."""

    name = "exotel"
    chunk = 10  # Exotel asks for at least 100 ms at a time

    def __init__(self, settings: PhoneSettings) -> None:
        self._token = settings.exotel_token

    def checks(self) -> bool:
        """See `Provider`."""
        return self._token is not None

    def genuine(self, webhook: Webhook) -> bool:
        """The secret is in the query."""
        given = dict(parse_qsl(urlsplit(webhook.url).query)).get("token", "")
        return hmac.compare_digest(given.encode(), _bytes(self._token))

    def answer(self, stream: str) -> tuple[str, str]:
        """The applet asks for JSON."""
        return "application/json", json.dumps({"url": stream})

    def serializer(self, start: dict[str, Any]) -> FrameSerializer | None:
        """See `Provider`."""
        details = _object(start, "start")
        if "stream_sid" not in details or "call_sid" not in details:
            return None
        return ExotelFrameSerializer(str(details["stream_sid"]), str(details["call_sid"]))


def _object(message: dict[str, Any], key: str) -> dict[str, Any]:
    value = message.get(key)
    return value if isinstance(value, dict) else {}


def _xml(content: str) -> tuple[str, str]:
    return "application/xml", f'<?xml version="1.0" encoding="UTF-8"?><Response>{content}</Response>'


def _matches(expected: bytes, given: str) -> bool:
    try:
        return hmac.compare_digest(expected, base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError):
        return False


def _text(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""


def _bytes(secret: SecretStr | None) -> bytes:
    return _text(secret).encode()
