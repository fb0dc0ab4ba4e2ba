"""Scenarios for sipp, the SIP test tool, written as steps instead of XML."""

import asyncio
import os
import socket
from pathlib import Path
from xml.sax.saxutils import quoteattr

from tests.agent_process import free_ports

HEAD = """
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[call_number]
To: <sip:agent@[remote_ip]:[remote_port]>{to}
Call-ID: [call_id]
CSeq: {number} {method}
Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70"""

SDP = """
v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio {port} RTP/AVP {formats}
a=rtpmap:101 telephone-event/8000
a={direction}"""


def sdp(port="[auto_media_port]", formats="0 101", direction="sendrecv"):
    return SDP.format(port=port, formats=formats, direction=direction)


def send(method, body="", *, number=1, to="[peer_tag_param]", retrans=True):
    again = ' retrans="500"' if retrans and method != "ACK" else ""
    head = HEAD.format(number=number, method=method, to=to)
    content = "\nContent-Type: application/sdp" if body else ""
    text = f"\n{method} sip:agent@[remote_ip]:[remote_port] SIP/2.0{head}{content}\nContent-Length: [len]\n{body}\n\n"
    return f"<send{again}><![CDATA[{text}]]></send>"


def invite(body=None, number=1, to=""):
    return send("INVITE", sdp() if body is None else body, number=number, to=to)


def recv(what, *, optional=False, action=""):
    kind = "response" if str(what).isdigit() else "request"
    maybe = ' optional="true"' if optional else ""
    return f'<recv {kind}="{what}"{maybe} rrs="true">{action}</recv>'


RINGING = recv(100, optional=True) + recv(180, optional=True)


def pause(milliseconds):
    return f'<pause milliseconds="{milliseconds}"/>'


def play(pcap):
    return f"<nop><action><exec play_pcap_audio={quoteattr(pcap)}/></action></nop>"


def ok():
    """Answer whatever was received last."""
    copied = "\n".join(f"[last_{name}:]" for name in ("Via", "From", "To", "Call-ID", "CSeq"))
    text = f"\nSIP/2.0 200 OK\n{copied}\nContent-Length: 0\n\n"
    return f"<send><![CDATA[{text}]]></send>"


BYE = send("BYE", number=9) + recv(200)


async def run(folder: Path, agent_port: int, *steps: str, calls=1, options=(), timeout=60):
    """Let sipp go through the steps; fails with its own words when the agent does anything else."""
    scenario = folder / "scenario.xml"
    scenario.write_text(f'<?xml version="1.0"?><scenario name="test">{"".join(steps)}</scenario>')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        local = probe.getsockname()[1]
    command = [
        "sipp", "-sf", str(scenario), f"127.0.0.1:{agent_port}",
        "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(local), "-mp", str(free_ports(4 * calls)),
        "-m", str(calls), "-l", str(calls), "-r", "10", "-timeout", f"{timeout}s", "-timeout_error",
        "-nostdin", "-trace_err", "-error_file", str(folder / "errors.log"), *options,
    ]  # fmt: skip
    environment = {**os.environ, "TERM": "dumb"}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    log = folder / "errors.log"
    assert process.returncode == 0, errors.decode() + (log.read_text(errors="replace") if log.exists() else "")
