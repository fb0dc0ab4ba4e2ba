"""A batch: names, the report, going on where it was, and how much memory ten thousand tasks take."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tts_service.tone_engine import TOKEN_SECONDS, ToneEngine
from tts_service import AudioChunk, SpeechError, Synthesizer
from tts_service.voices.library import Library
from tts_service.workshop.audio_file import read_label, save
from tts_service.workshop.batch import REPORT, Batch
from tts_service.workshop.label import Label, content_id
from tts_service.workshop.maker import REFERENCES, LocalMaker

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("GLM_TTS_LANG", "en")


def write(path, *tasks):
    path.write_text("".join(json.dumps(task, ensure_ascii=False) + "\n" for task in tasks), encoding="utf-8")
    return path


def batch(folder, tasks, synthesizer, **options):
    maker = LocalMaker(synthesizer, Library(folder / "library"), folder / "out" / REFERENCES)
    return Batch(tasks, folder / "out", maker, engine="tone", **options)


def spoken(engine):
    """How many segments an engine has begun."""
    return sum(index == 0 for _, index in engine.steps)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("新闻 1", "新闻 1"),
        ("../../x", "_.._x"),
        ("a/b:c？", "a_b_c？"),
        ("CON", "CON_"),
        ("（一）.wav", "（一）"),
        ("a\u202eb", "a_b"),
        (" .. ", "output_001"),
        ("长" * 400, "长" * 83),
    ],
)
def test_names_are_made_safe_and_the_report_says_how(tmp_path, tone, asked, name):
    tasks = write(tmp_path / "tasks.jsonl", {"input_text": "一", "output_name": asked})
    [outcome] = batch(tmp_path, tasks, tone).run()
    assert outcome.file == f"{name}.wav"
    assert outcome.asked == (None if asked.removesuffix(".wav") == name else asked)
    assert [path.name for path in (tmp_path / "out").glob("*.wav")] == [outcome.file]
    assert json.loads((tmp_path / "out" / REPORT).read_text())["asked"] == outcome.asked


def test_long_names_that_are_taken_are_cut_for_their_numbers(tmp_path, tone):
    tasks = write(tmp_path / "tasks.jsonl", *({"input_text": "一", "output_name": "长" * 90} for _ in range(3)))
    files = [outcome.file for outcome in batch(tmp_path, tasks, tone).run()]
    assert len(set(files)) == 3
    assert all(len(file.encode()) <= 255 for file in files)


def test_a_tempo_of_its_own(tmp_path, tone):
    tasks = write(tmp_path / "tasks.jsonl", {"input_text": "一", "speed": 2}, {"input_text": "一"})
    fast, usual = batch(tmp_path, tasks, tone).run()
    assert (fast.status, usual.status) == ("done", "done")
    assert fast.key != usual.key


def test_twenty_tasks_of_which_three_are_bad(tmp_path, tone):
    tasks = [{"input_text": f"第{i}句"} for i in range(20)]
    tasks[2] = {"input_text": "好", "prompt_audio": "ref_voice_child.wav"}
    tasks[7] = {"input_text": "坏"}
    tasks[11] = {"input_text": "好", "voice": "nobody"}
    tasks[4]["output_name"] = "finance_001"
    work = batch(tmp_path, write(tmp_path / "tasks.jsonl", *tasks), tone, jobs=3)
    outcomes = {outcome.task: outcome for outcome in work.run()}
    failed = {number: outcome.error for number, outcome in outcomes.items() if outcome.status == "failed"}
    assert failed.keys() == {3, 8, 12}
    assert "ref_voice_child.wav not found" in failed[3]
    assert "cannot be spoken" in failed[8]
    assert "available: low, high" in failed[12]
    assert outcomes[5].file == "finance_001.wav"
    files = {path.name for path in (tmp_path / "out").glob("*.wav")}
    assert files == {outcome.file for outcome in outcomes.values() if outcome.file}
    assert len(files) == 17
    report = [json.loads(line) for line in (tmp_path / "out" / REPORT).read_text().splitlines()]
    assert sorted(entry["task"] for entry in report) == list(range(1, 21))
    entry = next(entry for entry in report if entry["task"] == 5)
    assert entry["seconds"] == pytest.approx(3 * TOKEN_SECONDS)
    assert entry["rtf"] > 0
    with zipfile.ZipFile(work.archive()) as archive:
        assert set(archive.namelist()) == files | {REPORT}
        assert archive.testzip() is None


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_subtitles_beside_every_file_of_an_earlier_run_too(tmp_path, tone, form):
    tasks = write(tmp_path / "t.jsonl", {"input_text": "你好，世界。", "output_name": "a"}, {"input_text": "再见。"})
    assert [outcome.status for outcome in batch(tmp_path, tasks, tone).run()] == ["done", "done"]
    work = batch(tmp_path, tasks, tone, subtitles=form)
    assert [outcome.status for outcome in work.run()] == ["done", "done"]
    assert [outcome.status for outcome in work.run()] == ["kept", "kept"]
    written = (tmp_path / "out" / f"a.{form}").read_text(encoding="utf-8")
    assert f"00:00:00{',' if form == 'srt' else '.'}400 --> 00:00:00" in written
    assert "世界。" in written
    with zipfile.ZipFile(work.archive()) as archive:
        assert {f"a.{form}", f"output_002.{form}", "a.wav"} <= set(archive.namelist())


def test_names_that_are_taken_get_a_suffix(tmp_path, tone):
    (tmp_path / "out").mkdir()
    foreign = tmp_path / "out" / "a.wav"
    foreign.write_bytes(b"somebody else's")
    texts = ["一", "二", "二"]
    tasks = write(tmp_path / "tasks.jsonl", *({"input_text": text, "output_name": "a"} for text in texts))
    assert [outcome.file for outcome in batch(tmp_path, tasks, tone).run()] == ["a_2.wav", "a_3.wav", "a_4.wav"]
    assert foreign.read_bytes() == b"somebody else's"
    again = list(batch(tmp_path, tasks, tone).run())
    assert [(outcome.file, outcome.status) for outcome in again] == [(f"a_{i}.wav", "kept") for i in (2, 3, 4)]


def test_names_that_differ_only_in_case_do_not_share_a_file(tmp_path, tone):
    tasks = write(tmp_path / "tasks.jsonl", *({"input_text": "一", "output_name": name} for name in ("A", "a")))
    assert [outcome.file for outcome in batch(tmp_path, tasks, tone).run()] == ["A.wav", "a_2.wav"]


def test_a_changed_task_is_spoken_again_beside_the_old_result(tmp_path, tone):
    tasks = write(tmp_path / "tasks.jsonl", {"input_text": "一"}, {"input_text": "二"})
    list(batch(tmp_path, tasks, tone).run())
    write(tasks, {"input_text": "一"}, {"input_text": "三三"})
    kept, done = batch(tmp_path, tasks, tone).run()
    assert (kept.status, done.status, done.file) == ("kept", "done", "output_002_2.wav")


@pytest.mark.parametrize("change", [{"seed": 3}, {"voice": "high"}, {"preset": "dubbing"}])
def test_whatever_changes_the_sound_changes_the_hash(tmp_path, tone, change):
    tasks = write(tmp_path / "tasks.jsonl", {"input_text": "一"})
    list(batch(tmp_path, tasks, tone).run())
    write(tasks, {"input_text": "一", **change})
    [outcome] = batch(tmp_path, tasks, tone).run()
    assert outcome.status == "done"


SCRIPT = """
import sys, zipfile
from pathlib import Path
from tests.tts_service.tone_engine import ToneEngine
from tests.workshop.test_batch import batch
from tts_service import Synthesizer
folder = Path(sys.argv[1])
engine = ToneEngine()
if sys.argv[2] == "zip":
    whole = zipfile.ZipFile.write
    def write(self, *args):
        whole(self, *args)
        self.fp.flush()
        print("packed", flush=True)
        sys.stdin.read()
    zipfile.ZipFile.write = write
work = batch(folder, folder / "tasks.jsonl", Synthesizer(engine))
for outcome in work.run():
    print(outcome.file, flush=True)
    if sys.argv[2] == "run" and outcome.task == 5:
        engine.gate.clear()  # the next task stays in the middle
work.archive()
"""


def killed(folder, mode, lines):
    """Run a batch in a process of its own and kill it after so many lines of output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(folder), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT) as process:
        printed = [process.stdout.readline().decode().strip() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
    return printed


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_batch_goes_on_where_it_was(tmp_path):
    write(tmp_path / "tasks.jsonl", *({"input_text": f"第{i}句"} for i in range(12)))
    finished = killed(tmp_path, "run", 5)
    for path in (tmp_path / "out").glob("[!.]*.wav"):
        assert soundfile.info(path).duration == pytest.approx(3 * TOKEN_SECONDS)
        assert content_id(read_label(path))
    with (tmp_path / "out" / REPORT).open("ab") as report:
        report.write(b'{"task": 6, "sta')  # as if it had been killed in the middle of this line
    engine = ToneEngine()
    with Synthesizer(engine) as synthesizer:
        outcomes = list(batch(tmp_path, tmp_path / "tasks.jsonl", synthesizer).run())
    assert [outcome.status for outcome in outcomes] == ["kept"] * 5 + ["done"] * 7
    assert [outcome.file for outcome in outcomes[:5]] == finished
    assert spoken(engine) == 7
    entries = [json.loads(line) for line in (tmp_path / "out" / REPORT).read_text().splitlines()]
    assert [entry["task"] for entry in entries] == list(range(1, 13))


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_batch_killed_while_packing_leaves_no_half_archive(tmp_path):
    write(tmp_path / "tasks.jsonl", *({"input_text": f"第{i}句"} for i in range(3)))
    assert killed(tmp_path, "zip", 4)[-1] == "packed"
    assert list((tmp_path / "out").glob("[!.]*.zip")) == []
    [unfinished] = (tmp_path / "out").glob(".*.part")
    os.utime(unfinished, (0, 0))
    (fresh := tmp_path / "out" / ".other.wav.0.part").touch()
    engine = ToneEngine()
    with Synthesizer(engine) as synthesizer:
        work = batch(tmp_path, tmp_path / "tasks.jsonl", synthesizer)
        assert [outcome.status for outcome in work.run()] == ["kept"] * 3
        with zipfile.ZipFile(work.archive()) as archive:
            assert len(archive.namelist()) == 4
    assert spoken(engine) == 0
    assert list((tmp_path / "out").glob(".*.part")) == [fresh], "another run may be making it"


def test_an_archive_of_other_tasks_is_left_alone(tmp_path, tone):
    tasks = write(tmp_path / "tasks.jsonl", {"input_text": "一", "output_name": "a"})
    first = batch(tmp_path, tasks, tone)
    list(first.run())
    old = first.archive()
    write(tasks, {"input_text": "二", "output_name": "b"})
    second = batch(tmp_path, tasks, tone)
    list(second.run())
    assert second.archive() != old
    assert "a.wav" in zipfile.ZipFile(old).namelist()


def test_stopping_leaves_no_partial_file(tmp_path, paced):
    paced.engine.permits.release(1)
    tasks = write(tmp_path / "tasks.jsonl", {"input_text": "一二三四五"}, {"input_text": "一二三四五"})
    work = batch(tmp_path, tasks, paced)
    run = work.run()
    work.maker.stop()
    assert "interrupted" in next(run).error
    run.close()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [REPORT]


class Copier:
    """A maker whose work is to copy one small file."""

    def __init__(self, folder):
        save(folder / "one.wav", [AudioChunk(np.zeros(24, np.float32), 24000)], 24000, Label("none", "none"))
        self._bytes = (folder / "one.wav").read_bytes()

    def identity(self, task):
        return ["copier"]

    def check(self, task):
        return None

    def make(self, job, path):
        path.write_bytes(self._bytes)
        return 0.001, 1.0

    def stop(self):
        pass


def test_ten_thousand_tasks_use_flat_memory(tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    with tasks.open("w") as file:
        for i in range(10_000):
            file.write(json.dumps({"input_text": f"{i} " + "字" * 1000}) + "\n")
    work = Batch(tasks, tmp_path / "out", Copier(tmp_path), jobs=4)
    tracemalloc.start()
    try:
        assert sum(outcome.status == "done" for outcome in work.run()) == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20  # the texts alone have 30 MB


def test_ten_thousand_tasks_of_one_name_take_seconds_and_flat_memory(tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    with tasks.open("w") as file:
        for i in range(10_000):
            file.write(json.dumps({"input_text": f"{i}", "output_name": "same"}) + "\n")
    work = Batch(tasks, tmp_path / "out", Copier(tmp_path))
    began = time.process_time()
    files = {outcome.file for outcome in work.run()}
    assert len(files) == 10_000
    assert time.process_time() - began < 30
    tracemalloc.start()
    try:
        assert zipfile.ZipFile(work.archive()).testzip() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20


def test_a_report_that_is_something_else_is_not_touched(tmp_path, tone):
    (tmp_path / "out").mkdir()
    report = tmp_path / "out" / REPORT
    report.write_text("shopping list\n")
    with pytest.raises(SpeechError, match="is no report"):
        list(batch(tmp_path, write(tmp_path / "tasks.jsonl", {"input_text": "一"}), tone).run())
    assert report.read_text() == "shopping list\n"
