"""The server against callers that are too many, junk, slow, strange or gone."""

import asyncio
import socket
from types import SimpleNamespace

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from prometheus_client.parser import text_string_to_metric_families

from agent.transports.webrtc import Offer, WebRTC, hear_at_once
from tests.agent_process import get, post
from tts_service.serving import gate
from tts_service.serving.gate import MAX_BODY, Gate

SESSIONS = 'agent_sessions{transport="webrtc"}'
STARTED = 'agent_sessions_started_total{transport="webrtc"}'
AUDIO_WITHOUT_KEYS = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"


@pytest.mark.parametrize(
    "sdp",
    ["junk", "v=0\r\n", "m=audio\r\n", "\x00" * 500, AUDIO_WITHOUT_KEYS, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 900],
)
def test_junk_for_a_session_description_starts_nothing(agent, sdp):
    started = agent.metric(STARTED)
    response = post(f"{agent.url}/api/offer", json={"sdp": sdp, "type": "offer"})
    assert response.status_code == 400
    assert "session description" in response.json()["error"]
    assert agent.metric(STARTED) == started
    assert get(f"{agent.url}/health").json()["sessions"] == 0


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "body"),
        (b"{", "JSON"),
        (b"[]", "body"),
        (b'{"type": "offer"}', "sdp"),
        (b'{"sdp": "x", "type": "answer"}', "type"),
    ],
)
def test_a_body_that_is_no_offer_is_told_what_is_wrong(agent, body, complaint):
    response = post(f"{agent.url}/api/offer", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert complaint in response.json()["error"]


def test_a_body_that_is_too_large_is_refused_announced_or_not(agent):
    announced = post(f"{agent.url}/api/offer", content=b"x" * (MAX_BODY + 1))
    assert announced.status_code == 413
    unannounced = post(f"{agent.url}/api/offer", content=(b"x" * 1000 for _ in range(MAX_BODY // 1000 + 2)))
    assert unannounced.status_code == 413
    assert get(f"{agent.url}/health").status_code == 200


async def test_a_body_that_never_comes_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.05)

    async def application(scope, receive, send):
        await receive()
        raise AssertionError("there is no body to receive")

    async def receive():
        await asyncio.Event().wait()

    sent = []

    async def send(message):
        sent.append(message)

    guarded = Gate(application, host="127.0.0.1", token=None, open_paths=())
    headers = [(b"host", b"localhost"), (b"content-length", b"100")]
    await guarded({"type": "http", "method": "POST", "path": "/api/offer", "headers": headers}, receive, send)
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    "path", ["/nothing", "/docs", "/openapi.json", "/api/nothing", "/web/nothing.js", "/web/%2e%2e/server.py"]
)
def test_what_does_not_exist_is_not_found(agent, path):
    assert get(agent.url + path).status_code == 404


def test_a_request_that_is_no_http_is_refused_and_the_server_lives(agent):
    with socket.create_connection(("127.0.0.1", agent.port), timeout=10) as sock:
        sock.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 400")
    assert get(f"{agent.url}/health").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "[", ""])
def test_only_names_of_this_computer_are_answered(agent, host):
    assert get(f"{agent.url}/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example"]
)
def test_pages_of_others_may_not_call(agent, origin):
    started = agent.metric(STARTED)
    offer = {"sdp": "v=0", "type": "offer"}
    assert post(f"{agent.url}/api/offer", json=offer, headers={"Origin": origin}).status_code == 403
    assert agent.metric(STARTED) == started
    own = get(f"{agent.url}/api/agent", headers={"Origin": agent.url})
    assert own.status_code == 200


def test_the_page_may_run_no_script_but_its_own(agent):
    response = get(agent.url)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in response.text
    assert "http" not in response.text.replace("http-equiv", "")  # nothing from elsewhere


def test_a_client_learns_who_answers_and_with_which_voices(agent):
    told = get(f"{agent.url}/api/agent").json()
    assert told["state"] == "ready"
    assert told["brain"] == "demo"
    assert told["voice"] in [voice["name"] for voice in told["voices"]]


async def test_ten_callers_at_once_get_four_calls_and_six_clear_refusals(agent, caller):
    refused_before = agent.metric('agent_sessions_refused_total{reason="full"}')
    callers = [caller(agent.url) for _ in range(10)]
    answers = await asyncio.gather(*(one.offer() for one in callers))
    refusals = [answer for answer in answers if answer.status_code != 200]
    assert [answer.status_code for answer in refusals] == [503] * 6
    assert "4" in refusals[0].json()["zh"]
    assert "4" in refusals[0].json()["en"]
    assert refusals[0].headers["retry-after"]
    assert agent.metric('agent_sessions_refused_total{reason="full"}') == refused_before + 6
    assert agent.metric(SESSIONS) == 4

    # Who leaves while the connection is being made says no goodbye, and is missed only after a while.
    seated = [one for one, answer in zip(callers, answers, strict=True) if answer.status_code == 200]
    await asyncio.wait_for(asyncio.gather(*(one.connected.wait() for one in seated)), 60)
    for one in callers:
        await one.peer.close()
    await asyncio.to_thread(agent.wait_for_metric, SESSIONS, 0, 90)
    late = caller(agent.url)
    assert (await late.offer()).status_code == 200
    await asyncio.wait_for(late.connected.wait(), 60)


async def test_a_caller_that_hangs_up_before_anybody_listens_leaves_the_seat():
    class Deaf:
        """A switchboard whose conversation never hears that its client has gone."""

        left, asked = asyncio.Event(), asyncio.Event()

        def seat(self, transport):
            return SimpleNamespace(leave=self.left.set)

        async def converse(self, seat, transport, *, duck):
            assert duck == transport.output()._params.audio_out_filter.to, "the line gives way when it is told to"
            self.asked.set()
            await asyncio.Event().wait()

    line, peer = WebRTC(Deaf()), RTCPeerConnection()
    peer.addTransceiver("audio", direction="sendrecv")
    connected = asyncio.Event()
    peer.on("connectionstatechange", lambda: peer.connectionState == "connected" and connected.set())
    await peer.setLocalDescription(await peer.createOffer())
    answer = await line.answer(Offer(sdp=peer.localDescription.sdp, type="offer"))
    await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
    await asyncio.wait_for(connected.wait(), 20)
    await asyncio.wait_for(Deaf.asked.wait(), 20)
    await peer.close()
    await asyncio.wait_for(Deaf.left.wait(), 20)
    await line.close()


async def test_what_a_browser_sends_is_heard_with_the_next_packet():
    connection, peer = SmallWebRTCConnection(), RTCPeerConnection()
    peer.addTransceiver("audio", direction="sendrecv")
    await peer.setLocalDescription(await peer.createOffer())
    await connection.initialize(peer.localDescription.sdp, "offer")
    hear_at_once(connection)
    [receiver] = connection.pc.getReceivers()
    buffer = receiver._RTCRtpReceiver__jitter_buffer

    def hear(*numbers):
        for number in numbers:
            packet = RtpPacket(sequence_number=number, timestamp=960 * number)
            packet._data = b""
            _, frame = buffer.add(packet)
            yield frame.timestamp // 960 if frame else None

    assert list(hear(1, 3, 2, 4)) == [None, None, 1, 2], "in order, and not four packets later"
    after_a_loss = list(hear(*range(6, 30)))
    assert after_a_loss[-1] >= 26, "no later than before, but for the packets that were waited for"
    assert [number for number in after_a_loss if number][1:] == [*range(6, after_a_loss[-1] + 1)]
    await peer.close()
    await connection.disconnect()


async def test_callers_that_never_arrive_or_vanish_lose_their_seats(agent, caller):
    await asyncio.to_thread(agent.wait_for_metric, SESSIONS, 0, 90)
    vanishing, absent = caller(agent.url), caller(agent.url)
    opened = asyncio.Event()
    vanishing.channel.on("open", opened.set)
    await vanishing.offer()
    await asyncio.wait_for(opened.wait(), 20)
    vanishing.channel.send("ping: 1")  # and never again
    assert (await absent.offer(connect=False)).status_code == 200
    assert agent.metric(SESSIONS) == 2
    await asyncio.to_thread(agent.wait_for_metric, SESSIONS, 0, 60)


def test_metrics_are_prometheus_text(agent):
    families = {family.name: family for family in text_string_to_metric_families(get(f"{agent.url}/metrics").text)}
    assert families["agent_session_limit"].samples[0].value == 4
    for name in ("agent_voice_to_voice_seconds", "tts_time_to_first_audio_seconds", "tts_real_time_factor"):
        assert families[name].type == "histogram"
    for name in ("agent_turns", "agent_interruptions", "agent_errors"):
        assert families[name].type == "counter"
    assert families["process_resident_memory_bytes"].samples[0].value > 50e6
