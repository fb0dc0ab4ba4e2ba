"""Signalling and calls, seen from a telephone that shares no code with the agent."""

import asyncio
import re
import time

import numpy as np
import pytest
from pipecat.frames.frames import InterruptionFrame, OutputDTMFFrame

from tests.phone import bots
from tests.phone.conftest import until
from tests.phone.softphone import Message, Softphone, tone

LOUD = 0.03


def loud(_, level):
    return level > LOUD


async def test_a_call_from_ring_to_bye(line):
    made = await line(lambda: [bots.Echo()])
    async with Softphone(made.port) as phone:
        answer = await phone.invite()
        assert "m=audio" in answer.body
        assert {100, 180} <= {message.status for message in phone.stray}
        await phone.speak(np.zeros(1600))
        await phone.speak(tone(0.4))
        await phone.until_heard(loud)
        assert (await phone.bye()).status == 200
    await until(lambda: not made.endpoint.calls)
    assert made.calls[0].reason == "the other side hung up"
    assert made.calls[0].media.port == 0 or not made.calls[0].media._sockets


async def test_we_hang_up_after_the_last_word(line):
    made = await line(say=lambda: bots.speech(0.5))
    async with Softphone(made.port) as phone:
        await phone.invite()
        await phone.until_heard(loud)
        await made.end_calls()
        bye = await phone.expect("BYE")
        phone.reply(bye)
        voiced = sum(level > LOUD for _, level in phone.levels()) * 0.02
    assert voiced == pytest.approx(0.5, abs=0.15), "the end of the sentence was cut off or stretched"
    await until(lambda: not made.endpoint.calls)


async def test_the_agent_gives_way_on_the_line(line):
    made = await line(say=lambda: bots.speech(60))
    async with Softphone(made.port) as phone:
        await phone.invite()
        spoken = await phone.until_heard(loud) + 1.0
        await phone.until_heard(lambda at, _: at > spoken)
        before, asked = phone.levels()[-1][1], time.perf_counter()
        made.ducks[0](12)
        lower = before * 10 ** (-12 / 20)
        await phone.until_heard(lambda at, level: at > asked and level == pytest.approx(lower, rel=0.1))
        made.ducks[0](0)
        await phone.until_heard(lambda at, level: at > asked + 0.3 and level == pytest.approx(before, rel=0.1))
        await phone.bye()


async def test_the_call_is_answered_when_there_is_something_to_hear(line):
    """The caller hears ringing, not a silent line, while the voice gets ready."""
    made = await line(answer_within=20.0)
    waits = []
    for call in range(3):
        async with Softphone(made.port) as phone:
            phone.send(phone.request("INVITE", phone.sdp()))
            await phone.expect(180)
            await until(lambda call=call: len(made.workers) > call)
            with pytest.raises(TimeoutError):
                await phone.expect(200, timeout=0.5)
            await made.workers[call].queue_frame(bots.speech(1))
            answered = await phone.expect(200)
            at = time.perf_counter()
            phone.follow(answered.body)
            phone.to_tag = re.search(r"tag=([^;]+)", answered["To"]).group(1)
            phone.send(phone.request("ACK"))
            waits.append(await phone.until_heard(loud) - at)
            await phone.bye()
    print("greeting after the answer, ms:", [round(1000 * wait) for wait in waits])
    assert max(waits) < 1.0
    assert min(waits) < 0.3, "the quickest of three: a busy machine may hold one up"


class TestOffers:
    async def test_late_offer(self, line):
        """An INVITE without SDP: we offer, the ACK answers."""
        made = await line(lambda: [bots.Echo()])
        async with Softphone(made.port) as phone:
            phone.send(phone.request("INVITE"))
            answer = await phone.expect(200)
            offered = re.search(r"m=audio \d+ RTP/AVP (.*)", answer.body).group(1).split()
            assert {"0", "8"} <= set(offered)
            phone.follow(answer.body)
            phone.to_tag = re.search(r"tag=([^;]+)", answer["To"]).group(1)
            phone.send(phone.request("ACK", phone.sdp("0 101")))
            await phone.speak(np.zeros(1600))
            await phone.speak(tone(0.4))
            await phone.until_heard(loud)
            await phone.bye()

    async def test_wideband_is_preferred(self, line):
        made = await line()
        async with Softphone(made.port) as phone:
            answer = await phone.invite(phone.sdp("0 8 9 101"))
            assert re.search(r"m=audio \d+ RTP/AVP 9 101", answer.body)
            await phone.bye()

    @pytest.mark.parametrize(
        ("formats", "maps", "proto"),
        [("18", [], "RTP/AVP"), ("96", ["96 opus/48000/2"], "RTP/AVP"), ("0", [], "RTP/SAVP")],
    )
    async def test_what_we_cannot_do_is_488(self, line, formats, maps, proto):
        made = await line()
        async with Softphone(made.port) as phone:
            answer = await phone.invite(phone.sdp(formats, maps, proto=proto))
            assert answer.status == 488
            assert answer["Warning"]
        await until(lambda: not made.endpoint.calls)

    @pytest.mark.parametrize(
        "body", ["rubbish", "v=0\r\nm=audio x RTP/AVP 0\r\n", "v=0\r\nm=audio 99999 RTP/AVP 0\r\n"]
    )
    async def test_broken_sdp_is_400(self, line, body):
        made = await line()
        async with Softphone(made.port) as phone:
            assert (await phone.invite(body)).status == 400
        await until(lambda: not made.endpoint.calls)

    async def test_the_callers_number_for_keys_is_kept(self, line):
        made = await line()
        async with Softphone(made.port) as phone:
            answer = await phone.invite(phone.sdp("0 96", ["96 telephone-event/8000"]))
            assert "96 telephone-event/8000" in answer.body
            await phone.press("7", 96)
            await until(lambda: made.calls and True)
            await phone.bye()


async def test_hold_and_resume(line):
    made = await line(say=lambda: bots.speech(60))
    async with Softphone(made.port) as phone:
        await phone.invite()
        await phone.until_heard(loud)
        phone.send(phone.request("INVITE", phone.sdp(direction="sendonly")))
        answer = await phone.expect(200)
        assert "a=recvonly" in answer.body
        phone.send(phone.request("ACK"))
        await until(lambda: made.holds == [True])
        await asyncio.sleep(0.1)
        count = len(phone.heard)
        await asyncio.sleep(0.5)
        assert len(phone.heard) == count, "audio was sent to a phone that has us on hold"
        phone.send(phone.request("INVITE", phone.sdp()))
        assert "a=sendrecv" in (await phone.expect(200)).body
        phone.send(phone.request("ACK"))
        resumed = time.perf_counter()
        await phone.until_heard(lambda at, level: at > resumed and level > LOUD)
        assert made.holds == [True, False]
        await phone.bye()


class TestKeys:
    async def test_in(self, line):
        listeners = []
        made = await line(lambda: [listeners.append(bots.Listener()) or listeners[-1]])
        async with Softphone(made.port) as phone:
            await phone.invite()
            await until(lambda: made.workers)
            await phone.press("0123456789*#")
            await until(lambda: len(listeners[0].keys) == 12)
            phone.send(phone.request("INFO", "Signal=5\r\nDuration=160\r\n", content="application/dtmf-relay"))
            await phone.expect(200)
            await until(lambda: len(listeners[0].keys) == 13)
            await phone.bye()
        assert "".join(listeners[0].keys) == "0123456789*#5"

    async def test_out(self, line):
        made = await line(say=lambda: OutputDTMFFrame.from_string("12#"))
        async with Softphone(made.port) as phone:
            await phone.invite()

            def events():
                return [(stamp, p) for _, _, stamp, kind, p, _ in phone.heard if kind == 101]

            await until(lambda: sum(payload[1] & 0x80 > 0 for _, payload in events()) == 9)
            await phone.bye()
        keys = list(dict.fromkeys((stamp, payload[0]) for stamp, payload in events()))
        assert [code for _, code in keys] == [1, 2, 11]
        for stamp, _ in keys:
            durations = [int.from_bytes(p[2:4], "big") for s, p in events() if s == stamp]
            assert durations == sorted(durations)
            assert durations[-3:] == [1280] * 3


async def test_barge_in_is_silent_within_250_ms(line):
    """In one of three calls: a busy machine may hold one up, and would hold up anything."""
    made = await line(say=lambda: bots.speech(60))
    delays = []
    for call in range(3):
        async with Softphone(made.port) as phone:
            await phone.invite()
            await phone.until_heard(loud)
            await asyncio.sleep(0.5)
            await made.workers[call].queue_frame(InterruptionFrame())
            at = time.perf_counter()
            await asyncio.sleep(1.5)
            delays.append(max(when for when, level in phone.levels() if level > LOUD) - at)
            await phone.bye()
        if delays[-1] < 0.25:
            break
    print("silent after the interruption, ms:", [round(1000 * delay) for delay in delays])
    assert max(delays) < 1.0
    assert min(delays) < 0.25


async def test_the_piece_under_way_is_not_heard_after_an_interruption(line, one_piece):
    made = await line(say=lambda: bots.speech(60))
    async with Softphone(made.port) as phone:
        await phone.invite()
        await phone.until_heard(loud)
        await one_piece.take()
        await made.workers[0].queue_frame(InterruptionFrame())
        await asyncio.sleep(0.5)
        at = time.perf_counter()
        one_piece.let_go.set()
        await asyncio.sleep(0.5)
        assert not [when for when, level in phone.levels() if when > at and level > LOUD]
        await made.workers[0].queue_frame(bots.speech(60))
        await phone.until_heard(lambda when, level: when > at and level > LOUD)
        await phone.bye()


class TestRefusals:
    async def test_the_ninth_call_is_busy_and_a_freed_line_is_not(self, line):
        made = await line(max_calls=2)
        async with Softphone(made.port) as one, Softphone(made.port) as two, Softphone(made.port) as three:
            assert (await one.invite()).status == 200
            assert (await two.invite()).status == 200
            assert (await three.invite()).status == 486
            await one.bye()
            await until(lambda: len(made.endpoint.calls) == 1)
            three.to_tag = ""
            three.call_id += "2"
            assert (await three.invite()).status == 200
            await three.bye()
            await two.bye()

    async def test_strangers_are_not_even_answered(self, line):
        made = await line(allow=("10.0.0.0/8",))
        async with Softphone(made.port) as phone:
            phone.send(phone.request("INVITE", phone.sdp()))
            with pytest.raises(TimeoutError):
                await phone.receive(0.5)
        assert made.endpoint.wire.refused == 1
        assert not made.calls

    async def test_an_extension_we_lack_is_420(self, line):
        made = await line()
        async with Softphone(made.port) as phone:
            answer = await phone.invite(extra=("Require: 100rel",))
            assert (answer.status, answer["Unsupported"]) == (420, "100rel")

    async def test_unknown_methods_and_dialogs(self, line):
        made = await line()
        async with Softphone(made.port) as phone:
            phone.send(phone.request("PUBLISH"))
            assert "INVITE" in (await phone.expect(405))["Allow"]
            phone.to_tag = "nobody"
            phone.send(phone.request("BYE"))
            await phone.expect(481)
            phone.send(phone.request("INVITE", phone.sdp()))
            await phone.expect(481)

    async def test_options_is_a_sign_of_life(self, line):
        made = await line()
        async with Softphone(made.port) as phone:
            phone.send(b"\r\n\r\n")
            phone.send(phone.request("OPTIONS"))
            assert "application/sdp" in (await phone.expect(200))["Accept"]


class TestLifeAndDeath:
    async def test_cancel_while_it_rings(self, line):
        made = await line(answer_within=30.0)
        async with Softphone(made.port) as phone:
            phone.send(phone.request("INVITE", phone.sdp()))
            await phone.expect(180)
            branch = phone.branch
            phone.send(phone.request("CANCEL", branch=branch))
            await phone.expect(200)
            gone = await phone.expect(487)
            phone.to_tag = re.search(r"tag=([^;]+)", gone["To"]).group(1)
            phone.send(phone.request("ACK", branch=branch))
            await until(lambda: not made.endpoint.calls)
            with pytest.raises(TimeoutError):
                await phone.receive(1.2)  # acknowledged, so it is not repeated
        assert made.calls[0].reason == "the caller gave up"

    async def test_a_call_never_acknowledged_is_freed(self, line):
        made = await line(ack_timeout=2.0)
        async with Softphone(made.port) as phone:
            await phone.invite(ack=False)
            repeated = await phone.expect(200)
            assert repeated.body, "the 200 is repeated while nobody acknowledges it"
            await phone.expect("BYE")
        await until(lambda: not made.endpoint.calls)
        assert "acknowledged" in made.calls[0].reason

    async def test_a_call_without_audio_is_ended(self, line):
        made = await line(rtp_timeout=1.0)
        async with Softphone(made.port) as phone:
            await phone.invite()
            await phone.speak(np.zeros(8000))
            assert not made.calls[0].ended.is_set()
            await phone.expect("BYE")
        await until(lambda: not made.endpoint.calls)
        assert "no audio" in made.calls[0].reason

    async def test_lost_packets_do_not_make_two_calls(self, line):
        made = await line()
        async with Softphone(made.port) as phone:
            invite = phone.request("INVITE", phone.sdp())
            for _ in range(3):
                phone.send(invite)
            answer = await phone.expect(200)
            phone.to_tag = re.search(r"tag=([^;]+)", answer["To"]).group(1)
            phone.send(invite)  # as if the 200 had been lost
            assert (await phone.expect(200)).body == answer.body
            phone.send(phone.request("ACK"))
            assert len(made.calls) == 1
            bye = phone.request("BYE")
            phone.send(bye)
            await phone.expect(200)
            phone.send(bye)
            await phone.expect(200)

    async def test_shutting_down_hangs_up(self, line):
        made = await line()
        async with Softphone(made.port) as phone:
            await phone.invite()
            closing = asyncio.create_task(made.endpoint.close())
            phone.reply(await phone.expect("BYE"))
            await closing


async def test_over_tcp(line):
    made = await line(lambda: [bots.Echo()])
    async with Softphone(made.port) as phone:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)

        async def read():
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"Content-Length: (\d+)", head, re.IGNORECASE).group(1))
            return Message((head + await reader.readexactly(length)).decode())

        def send(text):
            writer.write(text.replace("SIP/2.0/UDP", "SIP/2.0/TCP").encode())

        async with asyncio.timeout(20):
            writer.write(b"\r\n\r\n")
            assert await reader.readexactly(2) == b"\r\n"
            send(phone.request("INVITE", phone.sdp()))
            while (message := await read()).status != 200:
                assert message.status < 200
            assert "transport=tcp" in message["Contact"]
            phone.follow(message.body)
            phone.to_tag = re.search(r"tag=([^;]+)", message["To"]).group(1)
            send(phone.request("ACK"))
            await phone.speak(np.zeros(1600))
            await phone.speak(tone(0.3))
            await phone.until_heard(loud)
            await made.end_calls()
            while (message := await read()).method != "BYE":
                pass
            assert "SIP/2.0/TCP" in message["Via"]
        writer.close()
