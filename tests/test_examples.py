"""What stands in examples/ is run as its reader would run it."""

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import soundfile
from pipecat.evals.scenario import EvalScenarioFile
from pipecat.evals.session import EvalSession, EvalSessionParams

from tests.agent.endpoint import Endpoint, delta
from tests.agent_process import free_port

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_pipeline_speaks(tmp_path):
    run = subprocess.run(
        [sys.executable, EXAMPLES / "pipeline.py", "你好，世界。", "hello.wav"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    samples, rate = soundfile.read(tmp_path / "hello.wav")
    assert rate == 24000
    assert 1.0 < len(samples) / rate < 6.0
    assert abs(samples).max() > 0.05


@pytest.fixture
def bot(tmp_path):
    """`bot(url)` -> the port of a bot whose brain is there, bot.py or another."""
    running = []

    def start(url, name="bot.py"):
        port = free_port()
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, EXAMPLES / name, "--host", "127.0.0.1", "--port", str(port)],
                cwd=tmp_path,
                env={**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "any"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        running.append(process)
        deadline = time.monotonic() + 300
        while not answers(port):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        return port

    yield start
    for process in running:
        process.kill()
        process.wait()


def answers(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code < 500
    except httpx.TransportError:
        return False


async def test_the_bot_passes_its_evals(tmp_path, bot):
    (scenario,) = EvalScenarioFile.load(EXAMPLES / "bot_eval.yaml")
    endpoint = Endpoint()
    async with endpoint.running() as url:
        port = await asyncio.to_thread(bot, url)
        params = EvalSessionParams(default_timeout_ms=60_000)
        result = await EvalSession.from_scenario(scenario, f"ws://127.0.0.1:{port}/ws", params=params).run()
    assert result.passed, (result, (tmp_path / "log").read_text())
    said = [(message["role"], message["content"]) for message in endpoint.requests[-1]["messages"]]
    assert ("assistant", "你好，很高兴认识你。") in said
    assert ("user", "今天天气怎么样？") in said


class Waiter(Endpoint):
    """A brain that asks, and notes what it is told."""

    calls = {"三位。": ("note_people", '{"people": 3}'), "晚上七点。": ("note_time", '{"time": "晚上七点"}')}

    async def _answer(self, request):
        last = self.requests[-1]["messages"][-1]
        if last["role"] != "user":
            return await super()._answer(request)
        name, arguments = self.calls[last["content"]]
        call = {"index": 0, "id": f"call_{name}", "function": {"name": name, "arguments": arguments}}
        return await self._stream(request, delta(tool_calls=[call]), b"data: [DONE]\n\n")


async def test_the_flow_passes_its_evals_step_by_step(tmp_path, bot):
    (scenario,) = EvalScenarioFile.load(EXAMPLES / "flow_eval.yaml")
    waiter = Waiter()
    waiter.text = "请问一下？"
    async with waiter.running() as url:
        port = await asyncio.to_thread(bot, url, "flow.py")
        params = EvalSessionParams(default_timeout_ms=60_000)
        result = await EvalSession.from_scenario(scenario, f"ws://127.0.0.1:{port}/ws", params=params).run()
    assert result.passed, (result, (tmp_path / "log").read_text())
    offered = [[tool["function"]["name"] for tool in request["tools"]] for request in waiter.requests]
    assert offered == [["note_people"], ["note_people"], ["note_time"], ["note_time"]]
    said = [float(seconds) for seconds in re.findall(r"'audio': ([\d.]+)", (tmp_path / "log").read_text())]
    assert len(said) == 3
    assert said[2] > 2 * max(said[:2]), "what was noted was not said"
