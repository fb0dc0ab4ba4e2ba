"""Everything at once, for long: `python -m tests.benchmarks.soak [--minutes 20] [--work DIR]`.

One agent serves a browser that types and speaks, telephones by SIP, and clients of the API, while batches run beside it
and its dictionary is rewritten. In between things break as they do: pages are closed in mid-word, callers vanish,
clients hang up, batches are killed and their disk fills, and so does the one that calls are recorded on.

Goals: memory stays flat, nothing hangs, every error is a sentence, whatever was reported as done is there and whole,
and in the end the agent is idle and answers as on the first minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import httpx
import soundfile
from playwright.sync_api import Browser, TimeoutError, sync_playwright

import tts_service
from tests.agent_process import ROOT, AgentProcess, free_port, free_ports, running_agent
from tests.e2e.conftest import NO_EGRESS, RECORDER, Talk, chromium
from tests.phone.softphone import Softphone, tone

TEXTS = (
    "好。",
    "今天下午我们去公园散步，你要一起来吗？",
    "重庆的银行行长说，2026年一季度增长了3.5%，比上海快。",
    "The meeting starts at half past nine, and nobody has booked a room for it yet.",
    "他说：“你先别急。”然后打开了门。屋里很暗，什么也看不见，只听见钟在走。" * 4,
    "😀😀😀",
)
WRONG = ({"input": ""}, {"input": "好", "voice": "nobody"}, {"input": "好", "speed": 99}, {"input": "好" * 30_000}, {})
FORMATS = ("wav", "mp3", "opus", "flac", "pcm", "aac")
PATIENCE = 120.0
"""Seconds after which something hangs, on two cores that everybody shares."""
SAMPLE_SECONDS = 5.0


class Record:
    """What was done and what went wrong, from all threads."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.done: Counter[str] = Counter()
        self.faults: list[str] = []

    @property
    def going_on(self) -> bool:
        return time.monotonic() < self.until

    def fault(self, what: str) -> None:
        print(f"! {what}", flush=True)
        self.faults.append(what)

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.fault(what)


# The browser


def browsing(record: Record, url: str, spoken: list[Path], chance: random.Random) -> None:
    with sync_playwright() as playwright:
        flags = ["--autoplay-policy=no-user-gesture-required", NO_EGRESS]
        flags += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        while record.going_on:
            chrome = playwright.chromium.launch(executable_path=chromium(), args=flags)
            try:
                visit(record, chrome, url, spoken, chance)
            finally:
                chrome.close()  # one in three visits: in the middle of an answer


def visit(record: Record, chrome: Browser, url: str, spoken: list[Path], chance: random.Random) -> None:
    context = chrome.new_context(locale="zh-CN", bypass_csp=True)
    context.add_init_script(RECORDER.replace("SCRIPTED", "true"))
    talk = Talk(context.new_page())
    talk.page.set_default_timeout(PATIENCE * 1000)
    talk.page.goto(url)
    talk.wait_for("idle")
    talk.page.click("#call")
    talk.page.wait_for_function(
        "document.body.dataset.state !== 'connecting' && (document.body.dataset.state !== 'idle' || !notice.hidden)"
    )
    if talk.page.locator("body[data-state=idle]").count():
        record.done["pages told that all calls are taken"] += 1
        time.sleep(2)
        return
    for _ in range(chance.randint(1, 5)):
        if chance.random() < 0.5:
            talk.type(chance.choice(["你好", "现在几点了？", "请讲个故事", "十二加三十等于多少？"]))
            record.done["typed turns"] += 1
        else:
            talk.say(chance.choice(spoken))
            record.done["spoken turns"] += 1
        if chance.random() < 0.3:
            talk.page.wait_for_timeout(chance.uniform(100, 2500))  # and then interrupts
        else:
            answers = talk.page.locator(".turn.agent .words").count()
            talk.page.wait_for_function(
                "count => document.querySelectorAll('.turn.agent .words').length > count", arg=answers - 1
            )
            until_silent(talk)
    if chance.random() < 0.3:
        talk.page.reload()
        talk.wait_for("idle")
        record.done["pages reloaded in mid-call"] += 1
    elif chance.random() < 0.5:
        talk.hang_up()
    else:
        record.done["browsers closed in mid-call"] += 1
    record.expect(not talk.errors, f"the page threw {talk.errors[:1]}")
    record.expect(not talk.strangers, f"the page asked {talk.strangers[:1]}")


def until_silent(talk: Talk) -> None:
    """Wait for the end of an answer. A story takes its minutes; what may not take long is its next word."""
    words = "[...document.querySelectorAll('.turn.agent .said')].map(each => each.textContent).join()"
    over = "['listening', 'muted'].includes(document.body.dataset.state)"
    while not talk.page.evaluate(over):
        shown = talk.page.evaluate(words)
        try:
            talk.page.wait_for_function(f"shown => {over} || {words} !== shown", arg=shown)
        except TimeoutError:
            state = talk.page.evaluate("[document.body.dataset.state, notice.textContent]")
            raise AssertionError(f"nothing happens any more; the page is {state}, after {shown[-40:]!r}") from None


# The telephone


async def telephoning(record: Record, port: int, chance: random.Random) -> None:
    while record.going_on:
        async with Softphone(port) as phone:
            answer = await phone.invite(timeout=PATIENCE)
            if answer.status != 200:
                record.done["calls refused"] += 1
                await asyncio.sleep(1)
                continue
            await phone.until_heard(lambda _, level: level > 0.01, timeout=PATIENCE)
            await phone.speak(tone(chance.uniform(0.1, 2.0), level=chance.uniform(0, 0.3)))
            if chance.random() < 0.3:
                record.done["callers vanished"] += 1
                await asyncio.sleep(chance.uniform(0, 2))
            else:
                await phone.press(chance.choice("0123456789*#"))
                await phone.bye()
                record.done["telephone calls"] += 1


# The API


async def asking(record: Record, url: str, chance: random.Random) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http:
        while record.going_on:
            if chance.random() < 0.15:
                answer = await http.post("/v1/audio/speech", json={"model": "kokoro", **chance.choice(WRONG)})
                said = answer.json()["error"]["message"] if answer.status_code in (400, 404, 413, 422) else ""
                record.expect(" " in said, f"wrong request: {answer.status_code} {answer.text[:200]}")
                record.done["wrong requests"] += 1
                continue
            await speech(record, http, chance)


async def speech(record: Record, http: httpx.AsyncClient, chance: random.Random) -> None:
    text, form = chance.choice(TEXTS), chance.choice(FORMATS)
    asked = {"model": "kokoro", "input": text, "response_format": form, "speed": chance.choice([0.5, 1.0, 1.0, 1.7])}
    leaves = chance.random() < 0.25
    heard = b""
    async with http.stream("POST", "/v1/audio/speech", json=asked) as answer:
        if answer.status_code != 200:
            said = json.loads(await answer.aread())["error"]["message"]
            allowed = answer.status_code in (429, 503) or "nothing" in said or "say" in said
            record.expect(allowed, f"{answer.status_code} {said}")
            record.done[f"answers of {answer.status_code}"] += 1
            return
        async for piece in answer.aiter_bytes():
            heard += piece
            if leaves and len(heard) > 8000:
                record.done["clients left"] += 1
                return
    if form in ("wav", "mp3", "flac", "opus"):
        samples, rate = soundfile.read(BytesIO(heard)) if form != "flac" else (heard, 48000)
        record.expect(len(samples) / rate > 0.2, f"{form} of {text[:10]!r} has {len(samples) / rate:.2f} s")
    record.done["streams of the API"] += 1


# Batches


def batching(record: Record, folder: Path, chance: random.Random, environment: dict[str, str]) -> None:
    round_ = 0
    while record.going_on:
        round_ += 1
        place = folder / f"batch{round_}"
        place.mkdir(parents=True)
        count = chance.randint(3, 8)
        tasks = [
            {"input_text": f"第{i}条。{chance.choice(TEXTS[:4])}", "output_name": f"新闻 {i}"} for i in range(count)
        ]
        (place / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks), encoding="utf-8")
        room = 60_000 if chance.random() < 0.25 else None
        number = chance.choice([None, None, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
        told, status = run_batch(place, environment, room, number, chance)
        record.expect(b"Traceback" not in told, f"batch: {told[-300:]!r}")
        record.expect(number is not None or status in (0, 1), f"batch ended with {status}: {told[-200:]!r}")
        whole(record, place)
        if number is not None or room:
            told, status = run_batch(place, environment, None, None, chance)
            record.expect(status == 0, f"the batch was not resumed: {status} {told[-300:]!r}")
            record.expect(whole(record, place) == count, "the resumed batch is not complete")
            record.done["batches resumed"] += 1
        record.done["batches"] += 1
        shutil.rmtree(place)


def run_batch(
    place: Path, environment: dict[str, str], room: int | None, number: int | None, chance: random.Random
) -> tuple[bytes, int]:
    def small() -> None:
        """Every file may have so many bytes, as on a disk that is nearly full."""
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    command = [sys.executable, "-m", "tts_service.cli", "batch", "tasks.jsonl", "-o", "out"]
    log = place / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=output, preexec_fn=small
        )
        try:
            if number is not None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(chance.uniform(2, 25))
                process.send_signal(number)
            process.wait(PATIENCE * 3)
        finally:
            process.kill()
    return log.read_bytes(), process.returncode


def whole(record: Record, place: Path) -> int:
    """How many files the report names; each must be there and whole."""
    report = place / "out" / "report.jsonl"
    entries = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()] if report.exists() else []
    files = {entry["file"] for entry in entries if entry["status"] in ("done", "kept")}
    for name in files:
        try:
            record.expect(len(soundfile.read(place / "out" / name)[0]) > 4000, f"{name} is reported and hardly there")
        except (soundfile.LibsndfileError, OSError) as error:
            record.fault(f"{name} is reported and cannot be read: {error}")
    return len(files)


# The dictionary


def editing(record: Record, file: Path, chance: random.Random) -> None:
    while record.going_on:
        lines = [
            json.dumps({"word": "乐高", "phoneme": chance.choice(["lè gāo", "le4 gao1", "乐糕"])}, ensure_ascii=False)
        ]
        if chance.random() < 0.3:
            lines.append(chance.choice(["{", "[1]", '{"word": "x"}', "\udcff"]))
        content = "\n".join(lines).encode("utf-8", "surrogateescape")
        if chance.random() < 0.5:
            file.write_bytes(content)  # in place: readers may see half of it
        else:
            file.with_suffix(".new").write_bytes(content)
            file.with_suffix(".new").replace(file)
        record.done["edits of the dictionary"] += 1
        time.sleep(chance.uniform(0.5, 3))


# Watching


def watching(record: Record, agent: AgentProcess, memory: list[tuple[float, float]]) -> None:
    began = time.monotonic()
    while record.going_on:
        for line in Path(f"/proc/{agent.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                memory.append((time.monotonic() - began, int(line.split()[1]) / 1024))
        if agent.process.poll() is not None:
            record.fault(f"the agent ended with {agent.process.returncode}")
            record.until = 0
        time.sleep(SAMPLE_SECONDS)


def at_rest(record: Record, agent: AgentProcess) -> None:
    """Afterwards nobody is left in a call, the engine is idle, and somebody new is served."""
    for transport in ("webrtc", "sip"):
        with suppress(AssertionError):
            agent.wait_for_metric(f'agent_sessions{{transport="{transport}"}}', 0, 60)
        left = agent.metric(f'agent_sessions{{transport="{transport}"}}')
        record.expect(left == 0, f"{left:.0f} sessions of {transport} are left")
    before, began = cpu_seconds(agent.process.pid), time.monotonic()
    time.sleep(5)
    load = (cpu_seconds(agent.process.pid) - before) / (time.monotonic() - began)
    record.expect(load < 0.2, f"the idle agent takes {load:.2f} of a core")
    asked = {"model": "kokoro", "input": "好。", "response_format": "wav"}
    began = time.monotonic()
    answer = httpx.post(f"{agent.url}/v1/audio/speech", json=asked, timeout=PATIENCE)
    record.expect(answer.status_code == 200, f"afterwards: {answer.status_code}")
    print(f"afterwards: {load:.3f} of a core when idle, a syllable in {time.monotonic() - began:.2f} s")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of 3 MB; None where none can be made."""
    folder.mkdir()
    made = (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True).returncode == 0
    )
    try:
        yield folder if made else None
    finally:
        if made:
            subprocess.run(["umount", "-l", folder])


def soak(minutes: float, folder: Path, seed: int) -> int:
    configs = folder / "configs"
    shutil.copytree(ROOT / "configs", configs)
    spoken = []
    with tts_service.load("kokoro") as voice:
        for text in ("请问，十二加三十等于多少？", "你好。", "Hello, what time is it now?"):
            pieces = [chunk.samples for chunk in voice.stream(text)]
            spoken.append(folder / f"{len(spoken)}.wav")
            soundfile.write(spoken[-1], [sample for piece in pieces for sample in piece], 24000)
    own = {**os.environ, "PYTHONPATH": str(ROOT), "GLM_TTS_CONFIGS": str(configs)}
    sip, rtp = free_port(), free_ports(40)
    with small_disk(folder / "calls") as calls:
        arguments = [
            "-t",
            "webrtc,sip",
            "--sip-listen",
            f"127.0.0.1:{sip}",
            "--set",
            f"sip.rtp_ports=[{rtp}, {rtp + 39}]",
        ]
        arguments += ["--set", f"phone.record_to={calls}"] if calls else []
        print(f"calls are recorded on a disk of 3 MB: {'yes' if calls else 'no, it cannot be mounted here'}")
        with running_agent(folder / "agent.log", *arguments, GLM_TTS_CONFIGS=str(configs)) as agent:
            agent.wait_until("ready", 300)
            record, memory = Record(time.monotonic() + 60 * minutes), []
            work: list[Callable[[], object]] = [
                lambda: browsing(record, agent.url, spoken, random.Random(seed)),
                lambda: asyncio.run(telephoning(record, sip, random.Random(seed + 1))),
                *(lambda n=n: asyncio.run(asking(record, agent.url, random.Random(seed + n))) for n in (2, 3)),
                lambda: batching(record, folder / "batches", random.Random(seed + 4), own),
                lambda: editing(record, configs / "G2P_replace_dict.jsonl", random.Random(seed + 5)),
                lambda: watching(record, agent, memory),
            ]
            threads = [threading.Thread(target=guarded, args=(record, each), daemon=True) for each in work]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60 * minutes + 4 * PATIENCE)
                record.expect(not thread.is_alive(), "a client hangs")
            at_rest(record, agent)
            log = (folder / "agent.log").read_text(errors="replace")
            record.expect("Traceback" not in log, f"a traceback in {folder / 'agent.log'}")
            record.expect(agent.interrupt(10) < 10, "Ctrl-C did not end the agent")
    return report(record, memory)


def guarded(record: Record, work: Callable[[], object]) -> None:
    """Start again what fails of itself, and count that as a fault."""
    while record.going_on:
        try:
            work()
        except Exception as error:
            ours = [
                f"{at.name}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__) if "/tests/" in at.filename
            ]
            record.fault(f"{type(error).__name__}: {str(error)[:300]} ({' > '.join(ours)})")
            time.sleep(1)


def report(record: Record, memory: list[tuple[float, float]]) -> int:
    for what, count in sorted(record.done.items()):
        print(f"{count:6} {what}")
    quarters = [
        statistics.median(size for _, size in memory[i * len(memory) // 4 : (i + 1) * len(memory) // 4])
        for i in range(4)
    ]
    print("memory of the agent, MiB, median of each quarter: " + ", ".join(f"{size:.0f}" for size in quarters))
    record.expect(
        quarters[3] - quarters[1] < 60, f"memory grew by {quarters[3] - quarters[1]:.0f} MiB from the second quarter"
    )
    print(f"faults: {len(record.faults)}")
    for what, count in Counter(record.faults).most_common():
        print(f"  {count} x {what}")
    return 1 if record.faults else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--work", type=Path, help="an empty folder that stays; left out: a temporary one")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sys.exit(soak(asked.minutes, folder, asked.seed))


if __name__ == "__main__":
    main()
