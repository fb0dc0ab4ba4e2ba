"""Every command but `say`, and what all of them have in common: languages, mistakes, a quick start."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from g2p.normalization import english_expressions, expressions
from tests.workshop.conftest import process
from tts_service.cli.commands import app
from tts_service.kokoro.matching.voices import matched_file
from tts_service.voices.library import Library

ROOT = Path(__file__).resolve().parents[2]


def test_detect_tells_what_samples_and_metadata_say(run, tmp_path):
    run("say", "今天天气很好，我们一起去公园散步。走累了就坐在湖边的长椅上，看鸭子游来游去。", "-o", "said.mp3")
    soundfile.write("hum.wav", 0.1 * np.random.default_rng(1).standard_normal(5 * 24000), 24000)
    Path("no.wav").write_text("no sound")
    code, out, err = run("detect", "said.mp3", "hum.wav", "no.wav")
    said, hum = out.decode().splitlines()
    assert code == 1
    assert said.startswith("said.mp3: marked; score")
    assert "ContentProducer pipecat-glm-tts" in said
    assert hum.startswith("hum.wav: not marked;")
    assert hum.endswith("; no metadata")
    assert "no.wav cannot be read as audio" in err
    code, out, _ = run("detect", "said.mp3", "--json")
    assert (code, json.loads(out)["mark"]) == (0, "marked")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["say", ""], 1, "nothing to say"),
        (["say", "a", "--voice", "nobody"], 2, "available: lian"),
        (["say", "a", "--file", "b"], 2, "not both"),
        (["say", "--file", "missing.txt"], 2, "missing.txt cannot be read"),
        (["say", "--file", "latin.txt"], 2, "not UTF-8 near byte 3"),
        (["say", "a", "--speed", "9"], 2, "between 0.25 and 4.0"),
        (["say", "a", "--preset", "loud"], 2, "check, dubbing, dialogue, batch"),
        (["say", "a", "-o", "x.ogg"], 2, "wav, pcm, flac, mp3, opus"),
        (["say", "a", "-o", "text/x.wav"], 2, "cannot be written"),
        (["say", "a", "--sample-rate", "11"], 2, "11 Hz"),
        (["say", "a", "--dict", "missing.jsonl"], 2, "missing.jsonl"),
        (["say", "a", "--voice", "lain"], 2, "did you mean lian?"),
        (["say", "a", "--engine", "kokor"], 2, "did you mean kokoro?"),
        (["say", "a", "-o", "x.mp3", "--bitrate", "9999"], 2, "8 to 320"),
        (["batch", "empty.jsonl", "--root", "nowhere"], 2, "no folder nowhere"),
        (["batch", "empty.jsonl", "--sample-rate", "12345"], 2, "12345"),
        (["batch", "empty.jsonl", "-v", "nobody"], 2, "available: lian"),
        (["say", "a", "--no-label"], 2, "--no-label"),
        (["voices", "show", "nobody"], 1, "nobody"),
        (["dict", "check", "missing.jsonl"], 2, "missing.jsonl"),
        (["batch", "missing.jsonl"], 2, "missing.jsonl"),
        (["batch", "empty.jsonl"], 2, "no tasks"),
        (["batch", "empty.jsonl", "--format", "pcm"], 2, "wav, flac, mp3, opus"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_mistakes_are_told_without_a_traceback(run, tmp_path, arguments, code, said):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "text").write_text("in the way")
    (tmp_path / "empty.jsonl").write_text("\n")
    before = sorted(tmp_path.rglob("*"))
    status, _, err = run(*arguments)
    assert status == code
    assert said in " ".join(re.sub("[│╭╰─╮╯]", " ", err).split())
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_messages_follow_the_locale(run, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    _, _, err = run("say", "a", "-o", "x.ogg")
    assert "不支持格式" in err
    with process("--help", stdout=subprocess.PIPE, env={"LC_ALL": "zh_CN.UTF-8"}) as helping:
        assert "把文字说出来" in helping.stdout.read().decode()


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
def test_ctrl_c_ends_at_once_and_leaves_no_half_file(tmp_path):
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text("".join(json.dumps({"input_text": f"第{i}句。"}) + "\n" for i in range(100)))
    with process("batch", "tasks.jsonl", "-o", "out", cwd=tmp_path, stdout=subprocess.PIPE) as working:
        assert b"output_001.wav" in working.stdout.readline()
        working.send_signal(signal.SIGINT)
        working.stdout.read()
        assert working.wait(30) == 130
    kinds = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert kinds == {".wav", ".jsonl"}
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        (["--help"], ("asyncio", "av", "g2p", "gradio", "loguru", "numpy", "onnxruntime", "pipecat", "rich.progress")),
        (["presets"], ("asyncio", "g2p", "numpy", "onnxruntime", "pipecat", "rich.markdown")),
        (["say", "好", "--voice", "lain"], ("asyncio", "g2p", "loguru", "onnx", "onnxruntime", "rich.markdown")),
        (["g2p", "今天"], ("asyncio", "onnx", "pipecat", "rich.markdown", "tts_service.speech.synthesizer")),
    ],
)
def test_a_command_is_quick_because_it_loads_nothing_that_it_does_not_need(arguments, heavy):
    script = f"""
import sys, tts_service.cli
sys.argv = ["glm-tts", *{arguments}]
try:
    tts_service.cli.main()
finally:
    print([name for name in {heavy} if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[]"


def test_wrong_usage_is_told_in_one_language(run, monkeypatch):
    for language, sentence, hint in (
        ("zh", "没有选项 --vioce（是不是 --voice？）", "请看：glm-tts say --help"),
        ("en", "there is no option --vioce (did you mean --voice?)", "see: glm-tts say --help"),
    ):
        monkeypatch.setenv("GLM_TTS_LANG", language)
        assert run("say", "好", "--vioce", "lian")[::2] == (2, f"{sentence}\n{hint}\n")
    assert "there is no command bach (did you mean batch?)" in run("bach")[2]
    assert "tasks is missing" in run("batch")[2]


def test_the_first_number_of_a_talk_finds_the_rules_ready(engine):
    rules = [*expressions.RULES, *english_expressions.RULES]
    for rule in rules:
        vars(rule).pop("pattern", None)
    engine.warm_up()
    assert sum("pattern" in vars(rule) for rule in rules) > 0.9 * len(rules)


def test_g2p_shows_readings_and_reasons(run):
    code, out, _ = run("g2p", "重庆", "--json")
    tokens = json.loads(out)["tokens"]
    assert code == 0
    assert [(token["text"], token["reading"], token["start"]) for token in tokens] == [
        ("重", "chong2", 0),
        ("庆", "qing4", 1),
    ]
    assert all(token["source"] for token in tokens)
    _, out, _ = run("g2p", "重[zhòng]庆 [red]3%[/red]")
    assert "zhong4" in out.decode()
    assert "red" in out.decode()


def test_the_language_of_numbers_can_be_chosen(run):
    def said(*options):
        return "".join(token["text"] for token in json.loads(run("g2p", "2026", "--json", *options)[1])["tokens"])

    assert said("--language", "en") == "twentytwentysix"
    assert said("--language", "zh") == "两千零二十六"
    code, _, err = run("say", "2026", "-o", "out.wav", "--language", "xx")
    assert code == 2
    assert "zh" in err


def test_dict_check_names_line_problem_and_fix(run, tmp_path):
    path = tmp_path / "dict.jsonl"
    path.write_text('{"word": "乐高", "phoneme": "lè gāo"}\n{"word": "知乎"}\n', encoding="utf-8")
    code, out, _ = run("dict", "check", path, "--json")
    assert code == 1
    [problem] = json.loads(out)
    assert problem["line"] == 2
    assert "phoneme" in problem["problem"] + problem["fix"]
    assert "phoneme" in run("dict", "check", path)[1].decode()
    path.write_text('{"word": "乐高", "phoneme": "lè gāo"}\n', encoding="utf-8")
    assert run("dict", "check", path)[0] == 0


def test_presets(run):
    _, out, _ = run("presets", "--json")
    presets = {preset["name"]: preset for preset in json.loads(out)}
    assert list(presets) == ["check", "dubbing", "dialogue", "batch"]
    assert presets["dubbing"]["options"]["sample_rate"] == 32000
    assert presets["dubbing"]["options"]["sampling"] == "topk"
    assert presets["dialogue"]["stream"]


def test_a_preset_of_ones_own_stands_beside_those_that_come_along(run, tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "presets.yaml").write_text(
        "slow: {title: 慢 / Slow, about: 慢慢说 / Slowly, options: {speed: 0.8}, stream: true}"
    )
    assert [preset["name"] for preset in json.loads(run("presets", "--json")[1])][-2:] == ["batch", "slow"]
    slow, usual = (
        json.loads(run("say", "你好。", "-o", "x.wav", "--json", *options)[1])["seconds"]
        for options in (["--preset", "slow"], [])
    )
    assert slow > 1.1 * usual
    (tmp_path / "configs" / "presets.yaml").write_text("slow: {title: 慢 / Slow}")
    code, _, err = run("presets")
    assert code == 1
    assert "preset 'slow' must have exactly title, about, options and stream" in " ".join(err.split())


def test_doctor_says_what_is_missing(run, tmp_path):
    pytest.importorskip("torch")
    code, out, err = run("doctor", "--checkpoint", tmp_path, "--json")
    assert code == 1
    embedded, *others = json.loads(out)
    assert any(not finding["good"] and "glm-tts download" in finding["detail"] for finding in others)
    assert embedded["subject"] == "embedded voice"
    assert re.search(r"\d\.\d\d s of computing for a second of speech", embedded["detail"])
    assert "embedded voice" in err


def test_download_without_a_network_says_what_else_can_be_done(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    code, _, err = run("download", "--to", tmp_path / "checkpoint")
    assert code == 1
    assert "HF_ENDPOINT" in err
    assert run("download", "--from", "nowhere")[0] == 2


@pytest.fixture
def recording(engine, tmp_path):
    path = tmp_path / "recording.wav"
    samples = np.concatenate([chunk.samples for chunk in engine.stream("今天天气很好，我们去公园散步，然后回家吃饭。")])
    soundfile.write(path, samples, 24000)
    return path


def test_the_life_of_a_voice(run, recording):
    add = ["voices", "add", recording, "--engine", "glm", "--name", "mine", "--consent", "我本人"]
    code, out, err = run(*add)
    assert code == 0, err
    assert "公园" in err  # recognised
    code, out, _ = run("voices", "show", "mine", "--json")
    shown = json.loads(out)
    assert "公园" in shown["transcript"]
    assert (shown["consent"], shown["unusable"], shown["doubts"]) == ("我本人", [], [])
    assert 3 < shown["seconds"] < 10
    assert shown["snr"] > 20
    listed = run("voices", "list")[1].decode()
    assert "mine" in listed
    assert "lian" in listed
    assert run("voices", "check")[0] == 0
    code, _, err = run("say", "你好", "--voice", "mine")
    assert code == 1
    assert "the embedded engine cannot clone" in err
    assert run("voices", "remove", "mine", "--yes")[0] == 0
    assert all(voice["packaged"] for voice in json.loads(run("voices", "list", "--json")[1]))


def test_all_voices_of_the_model_are_listed_for_those_who_ask(run):
    cast = {voice["name"]: voice for voice in json.loads(run("voices", "list", "--json")[1])}
    everybody = {voice["name"]: voice for voice in json.loads(run("voices", "list", "--all", "--json")[1])}
    assert cast["lian"]["language"] == "zh"
    assert cast["rose"]["language"] == "en"
    assert cast.items() < everybody.items()
    assert sum(name[2:3] == "_" for name in everybody) == 54
    assert {"mei", "lan", "zhu", "ju", "song"} < everybody.keys()
    assert everybody["jf_alpha"]["language"] == ""
    assert "zf_xiaobei · female, native Mandarin" in everybody["zf_xiaobei"]["description"]


def test_a_voice_needs_consent_and_enough_speech(run, tmp_path, recording):
    assert run("voices", "add", recording, "--name", "mine")[0] == 2
    assert run("voices", "add", recording, "--name", "mine", "--consent", " ", "--transcript", "x")[0] == 2
    soundfile.write(tmp_path / "short.wav", np.zeros(24000), 24000)
    code, _, err = run("voices", "add", tmp_path / "short.wav", "--name", "mine", "--consent", "x", "--transcript", "x")
    assert code == 1
    assert "must have 3 to 30 s" in err
    assert not (tmp_path / "library").exists()


def test_a_damaged_voice_fails_its_check(run, recording, tmp_path):
    Library(tmp_path / "library").add(recording, name="mine", transcript="x", consent="x")
    (tmp_path / "library" / "mine" / "reference.wav").unlink()
    code, out, _ = run("voices", "check")
    assert code == 1
    assert "is missing" in out.decode()


def flipped():
    """An archive of NumPy's part of which has gone through a bad disk."""
    sink = io.BytesIO()
    np.savez_compressed(sink, numbers=np.arange(4000))
    content = bytearray(sink.getvalue())
    content[200:1000] = bytes(byte ^ 0xFF for byte in content[200:1000])
    return bytes(content)


@pytest.mark.parametrize("content", [b"half a match", b"", flipped()], ids=["odd", "empty", "flipped"])
def test_a_damaged_match_is_listed_with_what_is_wrong(run, recording, tmp_path, content):
    library = Library(tmp_path / "library")
    for name in ("good", "mine"):
        library.add(recording, name=name, transcript="x", consent="x")
    matched_file(library.folder / "mine", library.card("mine").sha256).write_bytes(content)
    code, out, err = run("voices", "list", "--json")
    assert code == 0, err
    good, mine = (voice for voice in json.loads(out) if not voice["packaged"])
    assert "error" not in good
    assert "glm-tts voices match mine" in mine["error"]
    assert run("voices", "check")[0] == 1
    code, _, err = run("voices", "show", "mine")
    assert code == 1
    assert "glm-tts voices match mine" in err


def test_batch_end_to_end(run, tmp_path):
    lines = [json.dumps({"input_text": f"第{i}句。", "output_name": f"news_{i}"}) for i in range(3)]
    lines.insert(1, '{"input_text": "x", "prompt_audio": "ref_voice_child.wav"}')
    (tmp_path / "tasks.jsonl").write_text("\n".join(lines))
    code, out, err = run("batch", "tasks.jsonl", "--jobs", 2)
    assert code == 1
    assert "[✓] task 1 -> news_0.wav" in out.decode()
    assert "[✗] task 2: prompt_audio: ref_voice_child.wav not found -> skipped" in out.decode()
    assert "line 2, prompt_audio: ref_voice_child.wav not found; put it into" in err
    assert "3 done, 0 kept, 1 failed" in err
    files = {path.name for path in (tmp_path / "@outputs" / "batch").iterdir()}
    assert {"news_0.wav", "news_1.wav", "news_2.wav", "report.jsonl"} < files
    assert len([name for name in files if re.fullmatch(r"batch_output_\d{8}\.zip", name)]) == 1
    code, out, _ = run("batch", "tasks.jsonl", "--json")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["kept", "failed", "kept", "kept"]


def test_a_recorded_voice_speaks_through_glm(tmp_path, recording):
    """From a recording to a batch and a file in a cloned voice, with the miniature checkpoint of the tests."""
    pytest.importorskip("torch")
    library = tmp_path / "library"
    Library(library).add(recording, name="mine", transcript="今天天气很好。", consent="x")
    common = ["--engine", "glm", "--checkpoint", ROOT / "tests" / "glm" / "golden" / "ckpt", "--voices", library]
    runner = CliRunner()
    for text in ("Hello.", "你好。", "我用Mac。"):
        result = runner.invoke(app, ["say", text, "--voice", "mine", "-o", str(tmp_path / "x.wav"), *map(str, common)])
        assert result.exit_code == 0, (result.output, result.exception)
        assert soundfile.info(tmp_path / "x.wav").frames > 0
    assert "(glm)" in str((tmp_path / "x.wav").read_bytes()[:1000])
    task = {"input_text": "你好。", "prompt_audio": "recording.wav", "prompt_text": "今天天气很好。"}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(task))
    arguments = ["batch", tmp_path / "tasks.jsonl", "-o", tmp_path / "out", *common]
    result = runner.invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, (result.output, result.exception)
    assert soundfile.info(tmp_path / "out" / "output_001.wav").frames > 0
