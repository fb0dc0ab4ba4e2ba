"""The agent as its users start it: `python run_agent.py` in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx

ROOT = Path(__file__).parent.parent
START_SECONDS = 120
get, post = partial(httpx.get, timeout=30), partial(httpx.post, timeout=30)


class AgentProcess:
    def __init__(self, process: subprocess.Popen, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    def wait_until(self, status: str, seconds: float = START_SECONDS) -> None:
        """Poll `/health` until it says so; fail at once when the process ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the agent ended with {self.process.returncode}:\n{self.log.read_text()}")
            try:
                if get(f"{self.url}/health").json()["status"] == status:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"the agent is not {status} after {seconds} s:\n{self.log.read_text()}")

    def metric(self, name: str) -> float:
        """The value of a metric, labels included in the name; 0.0 before it was first counted."""
        for line in get(f"{self.url}/metrics").text.splitlines():
            if line.startswith(f"{name} "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def wait_for_metric(self, name: str, value: float, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while (now := self.metric(name)) != value:
            assert time.monotonic() < deadline, f"{name} is {now}, not {value}, after {seconds} s"
            time.sleep(0.1)

    def interrupt(self, seconds: float) -> float:
        """Press Ctrl-C; how long it took to end, which may be `seconds` at most."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(seconds)
        return time.monotonic() - began


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def free_ports(count: int) -> int:
    """The first of so many UDP ports in a row, an even one, that the system gives to nobody who asks for any port."""
    for first in range(20000, 32000, 100):
        with ExitStack() as taken:
            try:
                for port in range(first, first + count):
                    taken.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError(f"no {count} free ports in a row")


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "run_agent.py"), *arguments]


@contextmanager
def running_agent(log: Path, *arguments: str, port: int | None = None, **environment: str) -> Iterator[AgentProcess]:
    """Start the agent on a free port; it is still loading when the block begins."""
    port = port or free_port()
    with log.open("a") as output:
        process = subprocess.Popen(
            command("--port", str(port), *arguments),
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield AgentProcess(process, port, log)
    finally:
        process.terminate()
        try:
            process.wait(6)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
