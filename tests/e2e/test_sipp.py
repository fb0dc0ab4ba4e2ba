"""sipp, a SIP implementation that is not ours, goes through the corners of a call."""

import os
import shutil

import pytest

from tests.e2e.sipp import BYE, RINGING, invite, ok, pause, play, recv, run, sdp, send
from tests.phone import bots
from tests.phone.conftest import line, until

__all__ = ["line"]
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not shutil.which("sipp"), reason="sipp is not installed")]
ACK = send("ACK")


def ack_as(steps_back):
    """The ACK of a rejection, which carries the branch of the INVITE so many steps before."""
    return ACK.replace("[branch]", f"[branch-{steps_back}]")


async def test_caller_hangs_up(line, tmp_path):
    made = await line()
    await run(tmp_path, made.port, invite(), RINGING, recv(200), ACK, pause(300), BYE)
    await until(lambda: not made.endpoint.calls)
    assert made.calls[0].reason == "the other side hung up"


async def test_agent_hangs_up(line, tmp_path):
    made = await line(rtp_timeout=1.0)
    await run(tmp_path, made.port, invite(), RINGING, recv(200), ACK, recv("BYE"), ok())
    await until(lambda: not made.endpoint.calls)


async def test_over_tcp(line, tmp_path):
    made = await line()
    steps = (invite(), RINGING, recv(200), ACK, pause(300), BYE)
    await run(tmp_path, made.port, *steps, options=("-t", "t1"))
    assert made.calls[0].hop.protocol == "tcp"


async def test_late_offer(line, tmp_path):
    made = await line()
    await run(tmp_path, made.port, invite(""), RINGING, recv(200), send("ACK", sdp()), pause(500), BYE)
    assert made.calls[0].media.codec == "PCMU"
    assert made.calls[0].media.statistics.sent > 10


async def test_hold_and_resume(line, tmp_path):
    made = await line()
    hold = invite(sdp(direction="sendonly"), number=2, to="[peer_tag_param]")
    resume = invite(number=3, to="[peer_tag_param]")
    await run(
        tmp_path, made.port,
        invite(), RINGING, recv(200), ACK, pause(300),
        hold, recv(100, optional=True), recv(200), send("ACK", number=2), pause(500),
        resume, recv(100, optional=True), recv(200), send("ACK", number=3), pause(300),
        BYE,
    )  # fmt: skip
    assert made.holds == [True, False]


async def test_unknown_codec(line, tmp_path):
    made = await line()
    await run(tmp_path, made.port, invite(sdp(formats="18")), recv(100, optional=True), recv(488), ack_as(3))
    await until(lambda: not made.endpoint.calls)


async def test_busy(line, tmp_path):
    made = await line(max_calls=1)
    made.endpoint.calls["somebody"] = None
    await run(tmp_path, made.port, invite(), recv(486), ack_as(2))
    del made.endpoint.calls["somebody"]


async def test_cancel(line, tmp_path):
    made = await line(answer_within=30.0)
    cancel = send("CANCEL", to="", retrans=False).replace("[branch]", "[branch-3]")
    await run(
        tmp_path, made.port,
        invite(), recv(100, optional=True), recv(180), cancel, recv(200), recv(487), ack_as(6),
    )  # fmt: skip
    await until(lambda: not made.endpoint.calls)
    assert made.calls[0].reason == "the caller gave up"


async def test_never_acknowledged(line, tmp_path):
    made = await line(ack_timeout=1.2)
    await run(tmp_path, made.port, invite(), RINGING, recv(200), recv("BYE"), ok())
    await until(lambda: not made.endpoint.calls)


@pytest.mark.skipif(os.geteuid() != 0, reason="sipp plays packet captures through a raw socket")
async def test_keys(line, tmp_path):
    listeners = []
    made = await line(lambda: [listeners.append(bots.Listener()) or listeners[-1]])
    keys = [play(f"/usr/share/sip-tester/dtmf_2833_{key}.pcap") + pause(1200) for key in ("1", "5", "pound")]
    await run(tmp_path, made.port, invite(), RINGING, recv(200), ACK, pause(500), *keys, BYE)
    assert "".join(listeners[0].keys) == "15#"
