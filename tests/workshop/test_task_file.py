"""What may stand in a file of tasks, and how what may not is told."""

import json

import pytest

from tts_service.voices.library import MAX_BYTES
from tts_service.workshop.task_file import MAX_LINE
from tts_service.workshop.tasks import Flaw, Task, read_tasks


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("GLM_TTS_LANG", "en")


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


def test_a_long_line_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b"x" * (3 * MAX_LINE + 5) + b'\n{"input_text": "a"}\n')
    long, good = read_tasks(path)
    assert isinstance(long, Flaw)
    assert (good.number, good.line) == (2, 2)
