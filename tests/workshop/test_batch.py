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
from tts_service.audio_file import read_label, save
from tts_service.batch import REPORT, Batch
from tts_service.label import Label, content_id
from tts_service.maker import REFERENCES, LocalMaker
from tts_service.task_file import MAX_LINE
from tts_service.tasks import Flaw, Task, read_tasks
from tts_service.voices import MAX_BYTES, Library

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


# The task file


def flaw(tmp_path, line):
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(line if isinstance(line, bytes) else json.dumps(line).encode())
    [item] = read_tasks(path)
    return item


@pytest.mark.parametrize(
    ("line", "field", "said"),
    [
        ({}, "input_text", "missing"),
        ({"input_text": " \n"}, "input_text", "empty"),
        ({"input_text": 3}, "input_text", "must be a text"),
        ({"input_text": "\ud800"}, "input_text", "surrogates"),
        ({"input_text": "a", "seed": True}, "seed", "whole number"),
        ({"input_text": "a", "seed": -1}, "seed", "0 to 4294967295"),
        ({"input_text": "a", "preset": "loud"}, "preset", "dubbing"),
        ({"input_text": "a", "promt_audio": "x.wav"}, "promt_audio", "known: input_text, prompt_audio"),
        ({"input_text": "a", "voice": "b", "prompt_audio": "c.wav"}, "voice", "keep one"),
        ({"input_text": None}, "input_text", "missing"),
        ({"input_text": ["a"]}, "input_text", "must be a text"),
        ({"input_text": "a", "output_name": 1}, "output_name", "must be a text"),
        ({"input_text": "a", "seed": 1.5}, "seed", "whole number"),
        ({"input_text": "a", "speed": "fast"}, "speed", "must be a number"),
        ({"input_text": "a", "speed": 9}, "speed", "between 0.25 and 4.0"),
        ({"input_text": "a", "preset": "dubing"}, "preset", "did you mean dubbing?"),
        ({"input_text": "a", "promt_audio": "x.wav"}, "promt_audio", "did you mean prompt_audio?"),
        ({"input_text": "a", "prompt_audio": "../x.wav"}, "prompt_audio", "leads out"),
        ({"input_text": "a", "prompt_audio": "a/../../x.wav"}, "prompt_audio", "leads out"),
        ({"input_text": "a", "prompt_audio": "..\\x.wav"}, "prompt_audio", "leads out"),
        ({"input_text": "a", "prompt_audio": "/etc/passwd"}, "prompt_audio", "leads out"),
        ({"input_text": "a", "prompt_audio": "C:\\x.wav"}, "prompt_audio", "leads out"),
        ({"input_text": "a", "prompt_audio": "\\\\host\\x.wav"}, "prompt_audio", "leads out"),
        ({"input_text": "a", "prompt_audio": "x\0.wav"}, "prompt_audio", "leads out"),
        ({"input_text": "a", "prompt_audio": "ref_voice_child.wav"}, "prompt_audio", "ref_voice_child.wav not found"),
        ({"input_text": "a", "prompt_audio": "x" * 5000}, "prompt_audio", "not found"),
        ({"input_text": "a", "prompt_audio": "."}, "prompt_audio", "not found"),
        (b'{"input_text": "\xff\xfe"}', "the line", "not UTF-8 at byte 17"),
        (b"{'input_text': 'a'}", "the line", "use double quotes"),
        (b'{"input_text": "a",}', "the line", "remove the comma before the closing bracket"),
        ('{“input_text”: "a"}'.encode(), "the line", "use plain quotes"),
        (b"# tasks", "the line", "remove the comment"),
        (b'{"input_text": "a"} {"input_text": "b"}', "the line", "not JSON at character 21"),
        (b"hello", "the line", 'write it as {"input_text"'),
        (b'["input_text"]', "the line", "no JSON object"),
        (b"[" * 100_000, "the line", "not JSON"),
        (b'{"input_text": "a", "seed": ' + b"9" * 10_000 + b"}", "the line", "not JSON"),
        (b'{"input_text": "' + b"a" * (1 << 20) + b'"}', "the line", f"longer than {MAX_LINE >> 10} KB"),
    ],
)
def test_a_bad_line_is_told_with_field_problem_and_fix(tmp_path, line, field, said):
    found = flaw(tmp_path, line)
    assert isinstance(found, Flaw)
    assert (found.line, found.field) == (1, field)
    assert said in f"{found.problem}; {found.fix}"
    assert found.fix


def test_links_that_lead_out_are_refused(tmp_path):
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.wav").symlink_to(outside)
    (tmp_path / "in" / "folder").symlink_to(tmp_path, target_is_directory=True)
    for name in ("link.wav", "folder/outside.wav"):
        found = flaw(tmp_path / "in", {"input_text": "a", "prompt_audio": name})
        assert "leads out" in found.problem


def test_a_reference_of_a_gigabyte_is_refused(tmp_path):
    with (tmp_path / "huge.wav").open("wb") as file:
        file.truncate(1 << 30)
    found = flaw(tmp_path, {"input_text": "a", "prompt_audio": "huge.wav"})
    assert f"at most {MAX_BYTES >> 20}" in f"{found.problem} {found.fix}" or f"{MAX_BYTES >> 20} MB" in found.fix


def test_byte_order_mark_line_ends_and_empty_lines(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_bytes('\ufeff{"input_text": "一"}\r\n\r\n  \r\n{"input_text": "二", "output_name": "b.wav"}'.encode())
    first, second = read_tasks(path)
    assert first == Task(1, 1, "一", "output_001")
    assert second == Task(2, 4, "二", "b")


GOOD = '{"input_text": "今天，好", "output_name": "甲", "seed": 3}'
TABLE = 'input_text,output_name,seed,voice\n"今天，""好""",甲,3.0,\n\n,乙,,\n明天,,x,\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gbk", "gb18030"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_any_encoding_with_any_line_ends(tmp_path, encoding, ends):
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(ends.join([GOOD, "", GOOD.replace("甲", "乙")]).encode(encoding))
    notes = []
    first, second = read_tasks(path, note=notes.append)
    assert (first.input_text, first.output_name, first.seed, first.line) == ("今天，好", "甲", 3, 1)
    assert (second.output_name, second.number, second.line) == ("乙", 2, 3)
    assert notes == (["the file is not in UTF-8 and is read as GBK"] if encoding.startswith("gb") else [])


def test_one_broken_line_does_not_make_a_file_gbk(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(f"{GOOD}\n".encode() + GOOD.encode("gbk") + f"\n{GOOD}".encode())
    good, broken, last = read_tasks(path)
    assert good.input_text == last.input_text == "今天，好"
    assert "not UTF-8 at byte 17" in str(broken)


@pytest.mark.parametrize("text", ["[{0},\n {0}]", "[\n  {0}\n ,{0},\n]\n", "\n[{0}{0}]", "{0},\n{0},\n"])
def test_arrays_and_needless_commas(tmp_path, text):
    path = tmp_path / "tasks.json"
    path.write_text(text.replace("{0}", GOOD), encoding="utf-8")
    first, second = read_tasks(path)
    assert first.input_text == second.input_text == "今天，好"
    assert second.number == 2


def test_a_bad_element_of_an_array_is_told_and_the_rest_read(tmp_path):
    path = tmp_path / "tasks.json"
    path.write_text(f"[{GOOD},\n{{'input_text': 'x'}},\n3,\n{GOOD}\n] more", encoding="utf-8")
    good, quotes, number, last, more = read_tasks(path)
    assert good.input_text == last.input_text == "今天，好"
    assert "line 2" in str(quotes)
    assert "double quotes" in str(quotes)
    assert "line 3" in str(number)
    assert last.line == 4
    assert "goes on after the end of its array" in str(more)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "gbk", "utf-16"])
def test_tables(tmp_path, mark, encoding):
    path = tmp_path / "tasks.csv"
    path.write_bytes(TABLE.replace(",", mark).encode(encoding))
    first, empty, typed = read_tasks(path)
    assert (first.input_text, first.output_name, first.seed, first.voice) == ('今天，"好"', "甲", 3, None)
    assert (empty.line, empty.field) == (4, "input_text")
    assert (typed.line, typed.field) == (5, "seed")


def test_columns_of_a_table_that_are_somebodys_own(tmp_path):
    path = tmp_path / "tasks.tsv"
    path.write_text("id\tinput_text\toutputname\n7\t好\ta\n8\t好\t\n9\t好\ta\tb\n", encoding="utf-8")
    notes = []
    slip, good, long = read_tasks(path, note=notes.append)
    assert notes == ["columns that are ignored: id"]
    assert "did you mean output_name?" in str(slip)
    assert good.input_text == "好"
    assert "4 cells for 3 columns" in str(long)


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


def test_a_long_line_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b"x" * (3 * MAX_LINE + 5) + b'\n{"input_text": "a"}\n')
    long, good = read_tasks(path)
    assert isinstance(long, Flaw)
    assert (good.number, good.line) == (2, 2)


# Running


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
