"""Nothing that a person starts here speaks to anybody whom he did not name, or makes him an identity."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from tests.agent_process import ROOT, free_port

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

CALL = re.compile(r"^\d+ +(connect|sendto|sendmsg|sendmmsg)\((.*)")
RESUMED = re.compile(r"^\d+ +<\.\.\. \w+ resumed>(.*)")
ADDRESS = re.compile(r'inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"|->\[?([0-9a-f.:]+?)\]?:\d+\]')
LOOKUP = re.compile(r"htons\(53\)|->\S+:53\]|systemd\.resolve|/run/systemd/resolve/io")


def is_here(address):
    """Whether an address belongs to this machine: what is sent to it leaves through no wire."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return ip_address(address).is_loopback
    return True


def calls(log):
    """The lines of a log of strace; a call that others came between is put together again."""
    begun = {}
    for line in log.read_text(errors="replace").splitlines():
        thread = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>")
        elif (rest := RESUMED.match(line)) and thread in begun:
            yield begun.pop(thread) + rest[1]
        else:
            yield line
    yield from begun.values()


def strangers(log):
    """The system calls that looked up a name or sent anything beyond this machine."""
    found = []
    for line in calls(log):
        call = CALL.match(line)
        if call is None or (call[1] == "connect" and "<UDP" in call[2]):
            continue  # connecting a datagram socket sends nothing: it is how one's own address is found out
        addresses = [one or other for one, other in ADDRESS.findall(call[2])]
        if LOOKUP.search(call[2]) or not all(is_here(address) for address in addresses):
            found.append(line)
    return found


class Watched:
    """A command in a home of its own, with every system call for the network written down."""

    def __init__(self, folder, *command):
        self.home, self.log, self.output = folder / "home", folder / "network.log", folder / "output"
        self.home.mkdir()
        silence = (
            "ORT_DISABLE_TELEMETRY",
            "GRADIO_ANALYTICS_ENABLED",
            "HF_HUB_DISABLE_TELEMETRY",
            "RAY_USAGE_STATS_ENABLED",
        )
        environment = {name: value for name, value in os.environ.items() if name not in silence}
        environment |= {"HOME": str(self.home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        if "GLM_TTS_CACHE" not in environment:
            environment["GLM_TTS_CACHE"] = str(Path("~/.cache/glm-tts").expanduser())
        # -D makes the command, not strace, our child: signals reach it, and its exit status is ours
        watcher = ("strace", "-D", "-f", "--seccomp-bpf", "-yy", "-s", "60", "-e", "trace=network", "-o", self.log)
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*watcher, sys.executable, *command],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ask(self, method, url, seconds=180, **request):
        """The answer of a server that may still be starting."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, self.output.read_text()
            try:
                answer = httpx.request(method, url, timeout=60, follow_redirects=True, **request)
                if answer.status_code == 200:
                    return answer
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def end(self, status=0, seconds=300):
        """Wait for the end of the command and of its log."""
        assert self.process.wait(seconds) == status, self.output.read_text()
        deadline = time.monotonic() + 30
        while f"{self.process.pid} +++ exited" not in re.sub(" +", " ", self.log.read_text(errors="replace")):
            assert time.monotonic() < deadline, "the log does not end"
            time.sleep(0.05)

    def was_silent(self, *asked_for, left=()):
        assert [line for line in strangers(self.log) if not any(name in line for name in asked_for)] == []
        files = {str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()}
        assert files == set(left), "something else is left in the home folder"


@pytest.mark.parametrize(
    "program",
    [
        "import socket; socket.getaddrinfo('nobody.invalid', 80)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
        "import socket; s = socket.socket(); s.settimeout(0.1); s.connect_ex(('192.0.2.1', 80))",
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('127.0.0.1', 53)); s.send(b'x')",
        "import socket; s = socket.socket(socket.AF_INET6); s.settimeout(0.1); s.connect_ex(('2001:db8::1', 80))",
    ],
)
def test_the_watcher_sees_who_speaks(tmp_path, program):
    with Watched(tmp_path, "-c", f"import contextlib\nwith contextlib.suppress(OSError):\n  {program}") as command:
        command.end()
    assert strangers(command.log)


def test_the_watcher_puts_a_call_together_that_another_thread_came_between(tmp_path):
    log = tmp_path / "network.log"
    log.write_text(
        "7  sendmmsg(24<UDP:[192.0.2.2:55006->192.0.2.53:53]>,  <unfinished ...>\n"
        "8  socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 3<TCP:[9]>\n"
        '7  <... sendmmsg resumed>[{msg_iov=[{iov_base="\\7example\\0"}]}], 2, MSG_NOSIGNAL) = 2\n'
        '9  connect(3<TCP:[10]>, {sin_port=htons(443), sin_addr=inet_addr("192.0.2.9")}, <unfinished ...>\n'
    )
    sent, connected = strangers(log)
    assert "example" in sent
    assert "192.0.2.9" in connected


def test_the_watcher_lets_this_machine_talk_to_itself(tmp_path):
    program = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).sendall(b"x")
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.sendto(b"x", server.getsockname())
    datagrams.connect(("192.0.2.1", 9))
"""
    with Watched(tmp_path, "-c", program) as command:
        command.end()
    assert command.log.read_text().count("127.0.0.1") >= 2
    assert strangers(command.log) == []


@pytest.mark.parametrize(
    "command",
    [
        ("-c", "import g2p; print(g2p.readings('重庆的银行行长'))"),
        ("-c", "import tts_service as t\nwith t.load('kokoro') as voice: print(len(list(voice.stream('你好。'))))"),
        ("-c", "import agent\nfrom pipecat.audio.vad.silero import SileroVADAnalyzer\nSileroVADAnalyzer()"),
        ("-m", "pipecat_glm_tts", "say", "你好，世界。", "-o", "hello.wav"),
        ("-m", "pipecat_glm_tts", "g2p", "重庆的银行行长"),
    ],
    ids=["g2p", "library", "ears", "say", "reading"],
)
def test_library_and_commands(tmp_path, command):
    with Watched(tmp_path, *command) as watched:
        watched.end()
    watched.was_silent()


def test_who_comes_too_late_is_told(tmp_path):
    with Watched(tmp_path, "-c", "import onnxruntime\nimport tts_service") as watched:
        watched.end()
    assert "import pipecat_glm_tts first" in watched.output.read_text()


def test_the_agent(tmp_path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with Watched(tmp_path, ROOT / "run_agent.py", "--port", str(port)) as watched:
        speech = {"model": "tts-1", "input": "你好，世界。", "response_format": "pcm"}
        assert len(watched.ask("POST", f"{url}/v1/audio/speech", json=speech).content) > 24000
        watched.ask("GET", f"{url}/studio/")
        watched.process.send_signal(signal.SIGINT)
        watched.end()
    watched.was_silent()


def test_the_studio(tmp_path):
    pytest.importorskip("gradio")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with Watched(tmp_path, "-m", "pipecat_glm_tts", "studio", "--port", str(port)) as watched:
        watched.ask("GET", f"{url}/studio/")
        speech = {"model": "tts-1", "input": "你好，世界。", "response_format": "pcm"}
        assert len(watched.ask("POST", f"{url}/v1/audio/speech", json=speech).content) > 24000
        watched.process.send_signal(signal.SIGINT)
        watched.end(status=130)
    watched.was_silent()


def test_workers_on_a_cluster(tmp_path):
    pytest.importorskip("ray")
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(json.dumps({"input_text": "你好。", "voice": "lian", "output_name": "a"}), encoding="utf-8")
    with Watched(tmp_path, "-m", "pipecat_glm_tts", "batch", tasks, "--ray", "local", "-o", "out") as watched:
        watched.end()
    assert list((tmp_path / "out").rglob("*.wav"))
    # A new cluster asks for the cloud that it may be running in, and no setting of Ray's keeps it from that.
    # The token is the secret of this machine's clusters; it identifies nobody.
    watched.was_silent("169.254.169.254", r"\10metadata\6google\10internal", left={".ray/auth_token"})
