"""The command `say`: into files, pipes and the player."""

import io
import json
import os
import re
import shutil
import subprocess
import time
import wave

import numpy as np
import pytest
import soundfile

from tests.workshop.conftest import process
from tts_service.workshop.audio_file import read_label
from tts_service.workshop.label import content_id

LONG = "今天天气很好，我们一起去公园散步。走累了就坐在湖边的长椅上，看鸭子游来游去。" * 2


def test_say_to_the_default_place(run, tmp_path):
    code, out, _ = run("say", "你好，世界。")
    assert code == 0
    [path] = (tmp_path / "@outputs").iterdir()
    assert re.fullmatch(r"tts_\d{8}_\d{6}\.wav", path.name)
    assert path.name in out.decode()
    samples, rate = soundfile.read(path)
    assert rate == 24000
    assert 0.5 < len(samples) / rate < 6
    assert np.sqrt((samples**2).mean()) > 0.01
    assert content_id(read_label(path))


def test_say_for_machines(run, tmp_path):
    code, out, _ = run("say", "你好。", "-o", "x.flac", "--sample-rate", 16000, "--voice", "song", "--json")
    summary = json.loads(out)
    assert code == 0
    assert (summary["output"], summary["voice"], summary["sample_rate"]) == ("x.flac", "song", 16000)
    assert soundfile.info(tmp_path / "x.flac").samplerate == 16000
    assert summary["seconds"] == pytest.approx(soundfile.info(tmp_path / "x.flac").duration, abs=0.05)
    assert summary["first_audio"] > 0
    assert summary["rtf"] > 0


def test_say_reads_files_and_presets(run, tmp_path):
    (tmp_path / "text.txt").write_bytes("\ufeff你好。\r\n".encode())
    code, _, err = run("say", "--file", "text.txt", "-o", "x.wav", "--preset", "dubbing", "--speed", "2")
    assert code == 0
    assert soundfile.info(tmp_path / "x.wav").samplerate == 32000
    assert "no use" not in err
    _, _, err = run("say", "你好。", "-o", "y.wav", "--sampling", "topk")
    assert "the kokoro engine has no use for: sampling" in err


def test_say_writes_subtitles_beside_the_file(run, tmp_path):
    assert run("say", "你好，世界。今天天气很好。", "-o", "a.wav", "--subtitles", "srt")[0] == 0
    cues = [cue.split("\n") for cue in (tmp_path / "a.srt").read_text(encoding="utf-8").strip().split("\n\n")]
    assert [cue[2] for cue in cues] == ["你好，", "世界。", "今天天气很好。"]
    seconds = soundfile.info(tmp_path / "a.wav").duration
    ends = [cue[1].split(" --> ")[1].replace(",", ".").split(":")[2] for cue in cues]
    assert float(ends[-1]) == pytest.approx(seconds, abs=0.002)
    code, _, said = run("say", "你好", "-o", "-", "--subtitles", "srt")
    assert (code, "give --output a file" in said) == (2, True)


def test_a_label_that_people_hear(run, tmp_path):
    code, *_ = run("say", "你好。", "-o", "plain.wav")
    code, *_ = run("say", "你好。", "-o", "both.wav", "--label", "rhythm", "--label-at", "both")
    plain, both = (soundfile.info(tmp_path / name).duration for name in ("plain.wav", "both.wav"))
    assert code == 0
    assert both - plain == pytest.approx(2 * 1.18, abs=0.01)
    code, _, err = run("say", "你好。", "--label", "loud")
    assert (code, "use one of off, rhythm, spoken" in " ".join(err.split())) == (2, True)


def test_say_uses_a_dictionary(run, tmp_path):
    (tmp_path / "dict.jsonl").write_text('{"word": "X", "phoneme": "非常非常非常非常长的读法"}\n', encoding="utf-8")
    lengths = []
    for options in ([], ["--dict", "dict.jsonl"]):
        _, out, _ = run("say", "这是 X 。", "-o", "x.wav", "--json", *options)
        lengths.append(json.loads(out)["seconds"])
    assert lengths[1] > lengths[0] + 1


def test_stdout_carries_speech_long_before_it_is_all_made():
    """The first sound is there while most of the work is still to be done; the whole is one valid WAV."""
    begun = time.monotonic()
    with process(
        "say", "-", "-o", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as speaking:
        speaking.stdin.write((2 * LONG).encode())
        speaking.stdin.close()
        data = speaking.stdout.read(1000)
        first = time.monotonic() - begun
        data += speaking.stdout.read()
        whole = time.monotonic() - begun
        assert speaking.wait() == 0, speaking.stderr.read()
    assert data[:4] == b"RIFF"
    seconds = len(data) / 48000
    assert seconds > 10
    print(f"first sound after {first:.2f} s of {whole:.2f} s, {seconds:.1f} s of speech")
    assert first < 0.7 * whole


def test_a_text_from_a_pipe_is_spoken_before_it_ends():
    """As when a language model writes it: the pipe stays open while sound comes out."""
    with process("say", "-o", "-", "--format", "pcm", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as speaking:
        speaking.stdin.write("今天天气很好。我们去公园。".encode())
        speaking.stdin.flush()
        first = speaking.stdout.read(4800)
        assert speaking.poll() is None
        speaking.stdin.close()
        rest = speaking.stdout.read()
        assert speaking.wait() == 0
    samples = np.frombuffer(first + rest, "<i2")
    assert len(samples) > 24000
    assert np.abs(samples).max() > 1000


def test_without_streaming_the_length_is_stated(run):
    code, out, _ = run("say", "你好。", "-o", "-", "--no-stream")
    assert code == 0
    with wave.open(io.BytesIO(out)) as file:
        assert file.getframerate() == 24000


def test_a_reader_that_leaves_is_no_crash():
    with process("say", LONG, "-o", "-", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as speaking:
        speaking.stdout.read(2000)
        speaking.stdout.close()
        assert speaking.wait(60) == 141
        assert b"Traceback" not in speaking.stderr.read()


@pytest.mark.skipif(os.name != "posix", reason="the player is a shell script")
@pytest.mark.parametrize(("script", "code"), [("cat > played.pcm", 0), ("exit 3", 1)])
def test_play(run, tmp_path, monkeypatch, script, code):
    """A program named like the player of ALSA takes the samples; its failure is ours."""
    player = tmp_path / "bin" / "aplay"
    player.parent.mkdir()
    player.write_text(f"#!/bin/sh\n{script}\n")
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{player.parent}:/usr/bin:/bin")
    status, _, err = run("say", "你好。", "--play")
    assert status == code
    if code == 0:
        assert len((tmp_path / "played.pcm").read_bytes()) > 24000
    else:
        assert "aplay could not play" in err


def test_play_without_a_player(run, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    status, _, err = run("say", "你好。", "--play")
    assert status == 1
    assert "no player found" in err
