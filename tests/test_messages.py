"""Every message that a person reads is said through `tr` and stands in the table in both languages."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipecat_glm_tts.wording import TABLE, nearest, tr

ROOT = Path(__file__).parent.parent
PACKAGES = ("agent", "g2p", "pipecat_glm_tts", "tts_service")
FOR_PROGRAMS = (
    "tts_service/serving/socket.py",
    "tts_service/serving/gate.py",
    "tts_service/serving/wyoming.py",
)
"""Modules that answer programs, by a protocol, in English."""
ERRORS = {
    *("SpeechError", "Busy", "Closed", "UnknownVoice", "CannotServe", "CheckpointError", "DownloadError"),
    *("LexiconError", "SettingsError", "BadParameter", "Broken", "_Wrong", "_TooMuch", "Problem", "Finding"),
}
SHOWN = {"print", "status", "warn", "note", "confirm", "add_task", "Table", "exit", "progress", "report"}
"""Methods and functions that show their arguments to a person."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "training" not in path.parts:
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def name(function: ast.expr) -> str:
    if ast.unparse(function) == "warnings.warn":  # read by whoever writes a program
        return ""
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def messages() -> Iterator[tuple[str, str, set[str]]]:
    """Where, the English template, and the fields that it is given."""
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name(node.func) in ("tr", "label", "Refused"):
                template = node.args[name(node.func) == "Refused"]
                where = f"{path}:{node.lineno}"
                assert isinstance(template, ast.Constant), f"{where}: the table cannot have {ast.unparse(template)}"
                spread = {key for word in node.keywords if word.arg is None for key in fields(str(template.value))}
                yield where, str(template.value), {word.arg for word in node.keywords if word.arg} | spread


def fields(template: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}


def table() -> list[tuple[str, ...]]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("\t")) for line in lines if line and not line.startswith("#")]


def test_every_message_is_in_the_table_and_every_row_is_said():
    said = {template for _, template, _ in messages()}
    listed = [row[0].replace(r"\n", "\n") for row in table()]
    assert len(listed) == len(set(listed))
    assert said - set(listed) == set(), "say these in Chinese, in messages.tsv"
    assert set(listed) - said == set(), "nothing says these any more"


def test_both_languages_fill_the_same_fields():
    for english, *rest in table():
        (chinese,) = rest
        assert fields(english) == fields(chinese), english
        assert re.search("[\u4e00-\u9fff]", chinese) or len(english.split()) < 4, f"no Chinese: {chinese}"
    for where, template, given in messages():
        assert fields(template) == given, where


def unsaid(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Literals that people would read and that do not go through `tr`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name(node.func) in ERRORS | SHOWN:
            for part in outside_tr([*node.args, *(word.value for word in node.keywords)]):
                if re.search(r"[a-z]{2,} [a-z]{2,}|[\u4e00-\u9fff]", re.sub(r"\[[^]]*\]", "", part.value)):
                    yield part.lineno, part.value
        elif isinstance(node, ast.keyword) and node.arg in ("help", "epilog") and isinstance(node.value, ast.Constant):
            yield node.value.lineno, node.value.value


def outside_tr(nodes: list[ast.expr]) -> Iterator[ast.Constant]:
    for node in nodes:
        if isinstance(node, ast.Call) and name(node.func) in ("tr", "label", "chinese"):
            continue
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield node
        else:
            yield from outside_tr([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)])


def test_no_message_goes_past_the_table():
    found = [
        f"{path}:{line}: {text!r}"
        for path, tree in modules()
        if path not in FOR_PROGRAMS
        for line, text in unsaid(tree)
    ]
    assert found == []


def test_the_search_finds_what_it_looks_for():
    bad = "raise SpeechError(f'the file is at {path}')\nout.print('没有声音')\nOption(help='the folder')"
    good = (
        "raise SpeechError(tr('the file {path} is gone', path=path))\nout.print(f'{path}  3 s')\nOption(help=tr('a b'))"
    )
    assert [line for line, _ in unsaid(ast.parse(bad))] == [1, 2, 3]
    assert list(unsaid(ast.parse(good))) == []


@pytest.mark.parametrize(("language", "expected"), [("zh", "没有文件 a.wav"), ("en", "there is no file a.wav")])
def test_a_message_is_in_the_language_asked_for(monkeypatch, language: str, expected: str):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8" if language == "en" else "en_US.UTF-8")
    monkeypatch.setenv("GLM_TTS_LANG", language)
    assert tr("there is no file {path}", path="a.wav") == expected
    assert nearest("lain", ["lian", "bai"]) == ("（是不是 lian？）" if language == "zh" else " (did you mean lian?)")
