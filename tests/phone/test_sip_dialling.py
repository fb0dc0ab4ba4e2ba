"""Calls that we place, and the registration with a trunk."""

import asyncio
import hashlib
import re

import pytest

from agent.transports.sip.endpoint import CallFailed
from tests.phone.softphone import Softphone


class TestDialling:
    async def answer(self, phone, status="200 OK", body=None, before=()):
        invite = await phone.expect("INVITE")
        phone.call_id, phone.invited = invite["Call-ID"], invite
        phone.follow(invite.body)
        for early in before:
            phone.reply(invite, early, to_tag="callee")
        phone.reply(invite, status, phone.sdp() if body is None and status.startswith("200") else body or "", "callee")
        return invite

    async def test_answered(self, line):
        made = await line()
        async with Softphone(made.port) as phone:
            dialling = asyncio.create_task(made.endpoint.dial(f"sip:bob@127.0.0.1:{phone.port}"))
            await self.answer(phone, before=["100 Trying", "180 Ringing"])
            await phone.expect("ACK")
            call = await dialling
            assert call.callee.startswith("sip:bob@")
            await phone.until_heard(lambda *_: True)
            call.hang_up()
            phone.reply(await phone.expect("BYE"))
            await made.endpoint.release(call)
        assert not made.endpoint.calls

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [("486 Busy", "busy"), ("603 Decline", "declined"), ("404 Not Found", "not found"), ("503 Down", "failed")],
    )
    async def test_not_answered(self, line, status, outcome):
        made = await line()
        async with Softphone(made.port) as phone:
            dialling = asyncio.create_task(made.endpoint.dial(f"sip:bob@127.0.0.1:{phone.port}"))
            await self.answer(phone, status)
            await phone.expect("ACK")
            with pytest.raises(CallFailed) as failure:
                await dialling
            assert failure.value.outcome == outcome
        assert not made.endpoint.calls

    async def test_nobody_picks_up(self, line):
        made = await line()
        async with Softphone(made.port) as phone:
            dialling = asyncio.create_task(made.endpoint.dial(f"sip:bob@127.0.0.1:{phone.port}", ring_timeout=0.5))
            await self.answer(phone, "180 Ringing")
            cancel = await phone.expect("CANCEL")
            assert cancel["Via"] == phone.invited["Via"]
            phone.reply(cancel)
            phone.reply(phone.invited, "487 Request Terminated", to_tag="callee")
            await phone.expect("ACK")
            with pytest.raises(CallFailed, match="nobody picked up"):
                await dialling
        assert not made.endpoint.calls

    async def test_with_a_password(self, line):
        made = await line(password="secret", username="agent")
        async with Softphone(made.port) as phone:
            dialling = asyncio.create_task(made.endpoint.dial(f"sip:bob@127.0.0.1:{phone.port}"))
            invite = await phone.expect("INVITE")
            phone.challenge(invite)
            await phone.expect("ACK")
            invite = await phone.expect("INVITE")
            assert proves(invite["Authorization"], "agent", "secret", "INVITE")
            phone.call_id = invite["Call-ID"]
            phone.reply(invite, "200 OK", phone.sdp(), "callee")
            await phone.expect("ACK")
            await made.endpoint.release(await dialling)

    async def test_nonsense_is_refused_in_words(self, line):
        made = await line()
        for uri in ("bob", "tel:123", "sip:", "sip:a b@c"):
            with pytest.raises(CallFailed, match="SIP address"):
                await made.endpoint.dial(uri)


def proves(authorization, user, password, method):
    """Whether a digest response is right (RFC 2617 with qop)."""
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', authorization))

    def md5(text):
        return hashlib.md5(text.encode()).hexdigest()

    secret = md5(f"{user}:{given['realm']}:{password}")
    proof = md5(f"{method}:{given['uri']}")
    return given["response"] == md5(f"{secret}:{given['nonce']}:{given['nc']}:{given['cnonce']}:auth:{proof}")


async def test_registration_with_digest_is_renewed_and_signed_off(line):
    async with Softphone(0) as registrar:
        made = await line(register_as=f"sip:agent@127.0.0.1:{registrar.port}", password="secret", register_seconds=60)
        first = await registrar.expect("REGISTER")
        assert not first["Authorization"]
        registrar.challenge(first)
        second = await registrar.expect("REGISTER")
        assert proves(second["Authorization"], "agent", "secret", "REGISTER")
        assert int(second["CSeq"].split()[0]) > int(first["CSeq"].split()[0])
        registrar.reply(second)
        async with asyncio.timeout(5):
            await made.endpoint.registered.wait()
        closing = asyncio.create_task(made.endpoint.close())
        last = await registrar.expect("REGISTER")
        assert last["Expires"] == "0"
        registrar.reply(last)
        await closing
