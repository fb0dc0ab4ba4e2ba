"""A running agent, and callers that speak WebRTC without a browser."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from tests.agent_process import AgentProcess, running_agent


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    log = tmp_path_factory.mktemp("agent") / "agent.log"
    with running_agent(log, "--set", "brain.greeting=") as process:
        process.wait_until("ready")
        yield process


class Caller:
    """One browser's worth of WebRTC."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.peer = RTCPeerConnection()
        self.peer.addTransceiver("audio", direction="sendrecv")
        self.channel: RTCDataChannel = self.peer.createDataChannel("chat")
        self.connected = asyncio.Event()
        self.peer.on("connectionstatechange", self._look)

    def _look(self) -> None:
        if self.peer.connectionState == "connected":
            self.connected.set()

    async def offer(self, connect: bool = True) -> httpx.Response:
        """Send an offer and take up the answer, if there is one and if told to."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        description = {"sdp": self.peer.localDescription.sdp, "type": "offer"}
        async with httpx.AsyncClient(timeout=30) as http:
            response = await http.post(f"{self.url}/api/offer", json=description)
        if connect and response.status_code == 200:
            answer = response.json()
            await self.peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        return response


@pytest.fixture
async def caller() -> AsyncIterator[Callable[[str], Caller]]:
    """`caller(url)` -> a caller that has not called yet; it hangs up after the test."""
    peers = []

    def make(url: str) -> Caller:
        made = Caller(url)
        peers.append(made.peer)
        return made

    yield make
    for peer in peers:
        await peer.close()
