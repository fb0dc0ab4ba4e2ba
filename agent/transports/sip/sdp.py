"""What two phones agree on: SDP offers and answers for one audio stream (RFC 3264)."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable

from aiortp import get_codec
from aiosipua.sdp import (
    ConnectionData,
    MediaDescription,
    Origin,
    SdpMessage,
    TimingField,
    parse_sdp,
    serialize_sdp,
)
from loguru import logger

from agent.transports.sip.rtp import CLOCK_RATE, Peer

PAYLOAD_TYPES = {"PCMU": 0, "PCMA": 8, "G722": 9}
DTMF_PAYLOAD_TYPE = 101
"""Ours when we offer; when we answer, the peer's own number is kept, since many phones expect that."""
ANSWERS = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


def installed(codecs: Iterable[str]) -> tuple[str, ...]:
    """Those codecs that this machine can do: G.722 is a native extension that not every platform has."""
    found = []
    for name in codecs:
        try:
            get_codec(PAYLOAD_TYPES[name])
        except ImportError:
            logger.warning(f"SIP: {name} is not offered; install it with: pip install 'aiortp[g722]'")
        else:
            found.append(name)
    return tuple(found)


class NotAcceptable(Exception):
    """The SDP asks for something that we cannot do; the message says what. SIP calls this 488."""


class MalformedSdp(Exception):
    """The text is no SDP. SIP calls this 400."""


class SdpSession:
    """Our side of one call's SDP: who we are, and what was said last.

    Args:
        host: Address that we want audio sent to.
        port: RTP port.
        codecs: Names in order of preference.
    """

    def __init__(self, host: str, port: int, codecs: tuple[str, ...]) -> None:
        self._host = host
        self._port = port
        self._codecs = codecs
        self._id = str(time.time_ns() // 1000)
        self._version = 0

    def offer(self) -> str:
        """Everything we can do."""
        return self._describe([self._audio(self._codecs, DTMF_PAYLOAD_TYPE, "sendrecv")])

    def answer(self, text: str) -> tuple[str, Peer]:
        """Answer an offer: our first codec among those offered, one stream, everything else refused.

        Raises:
            MalformedSdp, NotAcceptable: See there.
        """
        offer = _parse(text)
        audio, peer, codec = self._agree(offer)
        ours = self._audio((codec,), peer.dtmf_payload_type, ANSWERS[audio.direction])
        media = [
            ours if stream is audio else MediaDescription(stream.media, 0, stream.proto, list(stream.formats))
            for stream in offer.media
        ]
        ours.proto = audio.proto
        return self._describe(media), peer

    def accept(self, text: str) -> Peer:
        """Read the answer to our offer.

        Raises:
            MalformedSdp, NotAcceptable: See there.
        """
        return self._agree(_parse(text))[1]

    def _agree(self, sdp: SdpMessage) -> tuple[MediaDescription, Peer, str]:
        audio = next(
            (m for m in sdp.media if m.media == "audio" and m.port and m.proto in ("RTP/AVP", "RTP/AVPF")), None
        )
        if audio is None:
            raise NotAcceptable("no plain RTP audio stream (SRTP needs a SIP proxy in front)")
        numbers = {codec.payload_type for codec in audio.codecs}
        codec = next((name for name in self._codecs if PAYLOAD_TYPES[name] in numbers), None)
        if codec is None:
            theirs = ", ".join(c.encoding_name or str(c.payload_type) for c in audio.codecs) or "nothing"
            raise NotAcceptable(f"no codec in common: they have {theirs}, we have {', '.join(self._codecs)}")
        dtmf = next((c.payload_type for c in audio.codecs if c.encoding_name.lower() == "telephone-event"), None)
        connection = audio.connection or sdp.connection
        try:
            host = ipaddress.ip_address(connection.address if connection else "")
        except ValueError:
            raise NotAcceptable("the c= line has no IP address") from None
        nowhere = host.is_unspecified  # how RFC 2543 phones say hold
        peer = Peer(
            (str(host), audio.port),
            PAYLOAD_TYPES[codec],
            dtmf if dtmf is not None and 96 <= dtmf <= 127 else None,
            sends=audio.direction in ("sendrecv", "sendonly"),
            listens=audio.direction in ("sendrecv", "recvonly") and not nowhere,
        )
        return audio, peer, codec

    def _audio(self, codecs: tuple[str, ...], dtmf: int | None, direction: str) -> MediaDescription:
        formats = [str(PAYLOAD_TYPES[name]) for name in codecs]
        attributes: dict[str, list[str]] = {"rtpmap": [f"{PAYLOAD_TYPES[name]} {name}/{CLOCK_RATE}" for name in codecs]}
        if dtmf is not None:
            formats.append(str(dtmf))
            attributes["rtpmap"].append(f"{dtmf} telephone-event/{CLOCK_RATE}")
            attributes["fmtp"] = [f"{dtmf} 0-15"]
        attributes |= {"ptime": ["20"], direction: []}
        return MediaDescription("audio", self._port, "RTP/AVP", formats, attributes=attributes)

    def _describe(self, media: list[MediaDescription]) -> str:
        self._version += 1
        family = "IP6" if ":" in self._host else "IP4"
        return serialize_sdp(
            SdpMessage(
                origin=Origin("agent", self._id, str(self._version), "IN", family, self._host),
                session_name="-",
                connection=ConnectionData("IN", family, self._host),
                timing=TimingField(),
                media=media,
            )
        )


def _parse(text: str) -> SdpMessage:
    try:
        sdp = parse_sdp(text)
    except (ValueError, IndexError) as error:
        raise MalformedSdp(f"malformed SDP: {error}") from None
    if not text.lstrip().startswith("v="):
        raise MalformedSdp("malformed SDP: it must begin with v=0")
    if any(not 0 <= media.port <= 65535 for media in sdp.media):
        raise MalformedSdp("malformed SDP: a port lies outside 0 to 65535")
    return sdp
