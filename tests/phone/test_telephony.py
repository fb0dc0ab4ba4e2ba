"""Provider websockets and webhooks, over a real server and in real time."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import socket
import time

import httpx
import numpy as np
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from pipecat.frames.frames import EndFrame, InterruptionFrame
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.settings import PhoneSettings, ServerSettings, Settings
from agent.switchboard import Refused
from agent.transports import PROVIDERS
from agent.transports.providers import Plivo, Twilio, Webhook, providers
from agent.transports.telephony import Telephony
from tests.phone import bots
from tests.phone.carrier import CALL, Carrier
from tests.phone.softphone import tone

EVERY = pytest.mark.parametrize("provider", list(CALL))


class Switchboard:
    """Seats everybody with a bot."""

    def __init__(self, settings):
        self.settings = settings
        self.listener = None
        self.workers = []
        self.ended = asyncio.Event()
        self.say = None
        self.full = False

    def seat(self, transport):
        if self.full:
            raise Refused("full", "the house is full")
        return transport

    async def converse(self, seat, transport, *, rtvi, audio_in_sample_rate, audio_out_sample_rate, duck):
        assert (rtvi, audio_in_sample_rate, audio_out_sample_rate) == (False, 8000, 8000)
        self.listener, self.duck = bots.Listener(), duck
        try:
            await bots.run(
                transport,
                self.listener,
                in_rate=audio_in_sample_rate,
                out_rate=audio_out_sample_rate,
                on_worker=self.workers.append,
                say=self.say() if self.say else None,
            )
        finally:
            self.ended.set()


class Server:
    def __init__(self, switchboard, port):
        self.switchboard = switchboard
        self.http = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}/ws"

    async def webhook(self, path, **options):
        async with httpx.AsyncClient() as client:
            return await client.request(options.pop("method", "POST"), self.http + path, **options)


@pytest.fixture
async def serve():
    """`await serve(say=..., token=..., **phone_settings)` -> a Server."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(say=None, token=None, **phone):
            settings = Settings(phone=PhoneSettings(**phone), server=ServerSettings(token=token))
            switchboard = Switchboard(settings)
            switchboard.say = say
            line = Telephony(switchboard)
            app = FastAPI()
            app.include_router(line.router)
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
            serving = asyncio.create_task(server.serve(sockets=[sock]))

            async def stop():
                await line.close()
                server.should_exit = True
                await serving

            stack.push_async_callback(stop)
            while not server.started:
                await asyncio.sleep(0.01)
            return Server(switchboard, sock.getsockname()[1])

        yield start


class TestStreams:
    @EVERY
    async def test_both_sides_hear_each_other(self, serve, provider):
        server = await serve(say=lambda: bots.speech(1.0, rate=8000))
        async with Carrier(provider, server.ws) as call:
            speaking = asyncio.create_task(call.speak(tone(1.5, 700, 0.4)))
            await call.until(lambda: len(call.heard()) >= 7900)
            await speaking
            await call.until(lambda: len(server.switchboard.listener.audio) >= 8000)
            received = np.frombuffer(bytes(server.switchboard.listener.audio), np.int16) / 32768
            await call.hang_up()
        assert dominant(call.heard()) == pytest.approx(400, abs=5)
        assert dominant(received[len(received) // 2 :]) == pytest.approx(700, abs=5)
        async with asyncio.timeout(10):
            await server.switchboard.ended.wait()

    async def test_the_agent_gives_way_on_the_line(self, serve):
        server = await serve(say=lambda: bots.speech(60, rate=8000))
        async with Carrier("twilio", server.ws) as call:
            call.keep_quiet()
            await call.until(lambda: len(call.heard()) > 8000)
            before = level(call.heard()[-1600:])
            server.switchboard.duck(12)
            already = len(call.heard())
            await call.until(lambda: len(call.heard()) > already + 6400)
            change = level(call.heard()[-1600:]) - before
            assert change == pytest.approx(-12, abs=2.5), "the level of the line still settles"
            await call.hang_up()

    @EVERY
    async def test_barge_in_empties_the_providers_buffer(self, serve, provider):
        """Within 250 ms, in one of three calls: a busy machine may hold one up."""
        server, clear, delays = await serve(say=lambda: bots.speech(60, rate=8000)), CALL[provider]["clear"], []
        for number in range(3):
            async with Carrier(provider, server.ws) as call:
                call.keep_quiet()
                await call.until(lambda call=call: len(call.heard()) > 8000)
                await server.switchboard.workers[number].queue_frame(InterruptionFrame())
                at = time.perf_counter()
                await call.until(lambda call=call: any(message == clear for _, message in call.received))
                await asyncio.sleep(0.5)
                cleared = next(when for when, message in call.received if message == clear)
                delays.append(cleared - at)
                assert call.received[-1] == (cleared, clear), "something followed the clear"
            if delays[-1] < 0.25:
                break
        print(f"{provider}: cleared after the interruption, ms:", [round(1000 * delay) for delay in delays])
        assert max(delays) < 1.0
        assert min(delays) < 0.25

    @EVERY
    async def test_the_piece_under_way_does_not_follow_the_clear(self, serve, provider, one_piece):
        server, clear = await serve(say=lambda: bots.speech(60, rate=8000)), CALL[provider]["clear"]
        async with Carrier(provider, server.ws) as call:
            call.keep_quiet()
            await call.until(lambda: len(call.heard()) > 4000)
            await one_piece.take()
            await server.switchboard.workers[0].queue_frame(InterruptionFrame())
            await call.until(lambda: any(message == clear for _, message in call.received))
            one_piece.let_go.set()
            await asyncio.sleep(0.3)
            assert call.received[-1][1] == clear
            heard = len(call.heard())
            await server.switchboard.workers[0].queue_frame(bots.speech(60, rate=8000))
            await call.until(lambda: len(call.heard()) > heard + 4000)

    @EVERY
    async def test_keys_arrive(self, serve, provider):
        server = await serve()
        async with Carrier(provider, server.ws) as call:
            call.keep_quiet()
            for digit in "12#":
                await call.press(digit)
            await call.until(lambda: server.switchboard.listener and len(server.switchboard.listener.keys) == 3)
        assert server.switchboard.listener.keys == ["1", "2", "#"]

    async def test_exotel_gets_the_piece_size_it_asks_for(self, serve):
        server = await serve(say=lambda: bots.speech(1.0, rate=8000))
        async with Carrier("exotel", server.ws) as call:
            call.keep_quiet()
            await call.until(lambda: len(call.heard()) >= 7900)
        sizes = {2 * len(samples) for _, samples in call.audio()}
        assert min(sizes) >= 1600
        assert all(size % 320 == 0 for size in sizes)

    async def test_when_we_end_the_call_the_websocket_closes(self, serve):
        """That is what tells every provider to go on, with or without credentials for its API."""
        server = await serve(say=lambda: bots.speech(0.3, rate=8000))
        async with Carrier("twilio", server.ws) as call:
            call.keep_quiet()
            await call.until(lambda: len(call.heard()) > 2000)
            await server.switchboard.workers[0].queue_frame(EndFrame())
            async with asyncio.timeout(10):
                await call.closed.wait()

    @pytest.mark.parametrize(
        "words",
        [
            ["not json"],
            ["[]"],
            ["{}"] * 5,
            ['{"event": "start", "start": 7}'] * 5,
            ['{"event": "start", "start": {"streamSid": "x"}}'] * 5,
            ["[" * 50000],
            ['{"stream_id": "1", "start": {"call_control_id": "1", "media_format": {"encoding": "OPUS"}}}'],
        ],
    )
    async def test_strange_beginnings_are_refused(self, serve, words):
        server = await serve()
        call = Carrier("twilio", server.ws)
        call.words = {**call.words, "hello": words}
        with contextlib.suppress(ConnectionClosed):
            async with call, asyncio.timeout(10):
                await call.closed.wait()
        assert call.socket.close_code == 1008
        assert server.switchboard.listener is None

    async def test_rubbish_in_the_middle_is_survived(self, serve):
        server = await serve()
        async with Carrier("twilio", server.ws) as call:
            for rubbish in ("{", '{"event": "media", "media": {}}', '{"event": "dtmf", "dtmf": {"digit": "x"}}'):
                await call.send(rubbish)
            await call.speak(tone(0.2))
            await call.press("7")
            await call.until(lambda: server.switchboard.listener and server.switchboard.listener.keys == ["7"])

    async def test_a_full_house_is_said_so(self, serve):
        server = await serve()
        server.switchboard.full = True
        async with Carrier("plivo", server.ws) as call, asyncio.timeout(10):
            await call.closed.wait()
        assert call.code == 1013


def level(samples):
    """dB."""
    return 10 * np.log10(np.mean(np.square(samples, dtype=float)))


def dominant(samples, rate=8000):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * rate / len(samples)


class TestWebhooks:
    @EVERY
    async def test_the_answer_names_our_websocket(self, serve, provider):
        server = await serve(public_url="https://agent.example")
        answer = await server.webhook(f"/phone/{provider}")
        assert answer.status_code == 200
        assert "wss://agent.example/ws" in answer.text
        kind = "application/json" if provider == "exotel" else "application/xml"
        assert answer.headers["content-type"].startswith(kind)

    async def test_without_a_public_url_it_is_where_we_were_asked(self, serve):
        server = await serve()
        assert server.ws in (await server.webhook("/phone/twilio")).text

    async def test_unknown_provider(self, serve):
        answer = await (await serve()).webhook("/phone/bell")
        assert answer.status_code == 404
        assert "twilio" in answer.text

    async def test_a_token_without_a_secret_lets_no_provider_in(self, serve):
        server = await serve(token="long and random")
        assert (await server.webhook("/phone/twilio")).status_code == 403
        async with Carrier("twilio", server.ws) as call, asyncio.timeout(10):
            await call.closed.wait()
        assert call.code == 1008


SECRETS = {
    "twilio": {"twilio_auth_token": "s3cret"},
    "plivo": {"plivo_auth_token": "s3cret"},
    "exotel": {"exotel_token": "s3cret"},
}
KEY = Ed25519PrivateKey.generate()
SECRETS["telnyx"] = {"telnyx_public_key": base64.b64encode(KEY.public_key().public_bytes_raw()).decode()}
FORM = {"CallSid": "CA1", "From": "+14158675309", "To": "+18005551212"}


def sign(provider, url, form, now=None):
    """Headers and query that the provider would send, written from its documentation."""
    fields = "".join(key + form[key] for key in sorted(form))
    if provider == "twilio":
        digest = hmac.new(b"s3cret", (url + fields).encode(), hashlib.sha1).digest()
        return {"X-Twilio-Signature": base64.b64encode(digest).decode()}, ""
    if provider == "plivo":
        digest = hmac.new(b"s3cret", f"{url}?{fields}.12345".encode(), hashlib.sha256).digest()
        return {"X-Plivo-Signature-V3": base64.b64encode(digest).decode(), "X-Plivo-Signature-V3-Nonce": "12345"}, ""
    if provider == "telnyx":
        stamp = str(int(now or time.time()))
        signature = KEY.sign(f"{stamp}|".encode() + httpx.Request("POST", url, data=form).content)
        return {"Telnyx-Signature-Ed25519": base64.b64encode(signature).decode(), "Telnyx-Timestamp": stamp}, ""
    return {}, "?token=s3cret"


class TestSignatures:
    @EVERY
    async def test_signed_webhooks_get_a_ticket_that_works_once(self, serve, provider):
        server = await serve(public_url="https://agent.example", **SECRETS[provider])
        headers, query = sign(provider, f"https://agent.example/phone/{provider}", FORM)
        answer = await server.webhook(f"/phone/{provider}{query}", data=FORM, headers=headers)
        assert answer.status_code == 200
        ticket = answer.text.split("wss://agent.example/ws/")[1].split('"')[0].split("<")[0]
        async with Carrier(provider, f"{server.ws}/{ticket}") as call:
            call.keep_quiet()
            await call.until(lambda: server.switchboard.listener is not None)
        with pytest.raises((InvalidStatus, ConnectionClosed)):
            async with Carrier(provider, f"{server.ws}/{ticket}"):
                pass

    @EVERY
    async def test_a_bad_signature_is_refused(self, serve, provider):
        server = await serve(public_url="https://agent.example", **SECRETS[provider])
        url = f"https://agent.example/phone/{provider}"
        headers, _ = sign(provider, url, FORM)
        assert (await server.webhook(f"/phone/{provider}", data=FORM)).status_code == 403
        if headers:
            forged = await server.webhook(f"/phone/{provider}", data={**FORM, "From": "+1000"}, headers=headers)
            assert forged.status_code == 403
            rubbish = dict.fromkeys(headers, "!!")
            assert (await server.webhook(f"/phone/{provider}", data=FORM, headers=rubbish)).status_code == 403
        else:
            assert (await server.webhook(f"/phone/{provider}?token=guess", data=FORM)).status_code == 403

    async def test_a_telnyx_webhook_is_not_replayed(self, serve):
        server = await serve(public_url="https://agent.example", **SECRETS["telnyx"])
        headers, _ = sign("telnyx", "https://agent.example/phone/telnyx", FORM, now=time.time() - 1000)
        assert (await server.webhook("/phone/telnyx", data=FORM, headers=headers)).status_code == 403

    @EVERY
    async def test_a_stream_without_a_ticket_is_refused(self, serve, provider):
        server = await serve(**SECRETS[provider])
        async with Carrier(provider, server.ws) as call, asyncio.timeout(10):
            await call.closed.wait()
        assert call.code == 1008
        assert server.switchboard.listener is None

    async def test_exotel_may_carry_the_secret_to_the_websocket(self, serve):
        server = await serve(**SECRETS["exotel"])
        async with Carrier("exotel", f"{server.ws}?token=s3cret") as call:
            call.keep_quiet()
            await call.until(lambda: server.switchboard.listener is not None)

    def test_twilios_own_example(self):
        """From https://www.twilio.com/docs/usage/security#validating-requests."""
        form = [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ]
        url = "https://mycompany.com/myapp.php?foo=1&bar=2"
        headers = {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
        twilio = Twilio(PhoneSettings(twilio_auth_token="12345"))
        assert twilio.genuine(Webhook("POST", url, headers, form, b""))
        assert not twilio.genuine(Webhook("POST", url + "&x=1", headers, form, b""))

    def test_plivo_signs_get_requests_by_their_query(self):
        plivo = Plivo(PhoneSettings(plivo_auth_token="t"))
        url = "https://agent.example/phone/plivo?b=2&a=1"
        signed = b"https://agent.example/phone/plivo?a=1&b=2.77"
        signature = base64.b64encode(hmac.new(b"t", signed, hashlib.sha256).digest()).decode()
        headers = {"x-plivo-signature-v3": f"other,{signature}", "x-plivo-signature-v3-nonce": "77"}
        assert plivo.genuine(Webhook("GET", url, headers, [], b""))
        assert not plivo.genuine(Webhook("GET", url, {**headers, "x-plivo-signature-v3-nonce": "78"}, [], b""))


def test_credentials_are_optional_and_hang_up_when_given():
    hello = {name: words["hello"][-1] for name, words in CALL.items()}
    without = providers(PhoneSettings())
    assert tuple(without) == PROVIDERS
    with_all = providers(
        PhoneSettings(
            twilio_account_sid="AC",
            twilio_auth_token="t",
            telnyx_api_key="k",
            plivo_auth_id="i",
            plivo_auth_token="t",
        )
    )
    for name in ("twilio", "telnyx", "plivo"):
        assert without[name].serializer(hello[name])._params.auto_hang_up is False
        assert with_all[name].serializer(hello[name])._params.auto_hang_up is True
    for name, provider in without.items():
        assert [other for other in hello if provider.serializer(hello[other])] == [name]
