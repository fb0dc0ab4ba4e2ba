"""What the README shows must work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[f"snippet{n}" for n in range(len(SNIPPETS))])
def test_every_python_snippet_runs(snippet, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr


def test_every_linked_file_exists():
    for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_example_pipeline_speaks(tmp_path):
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "pipeline.py", "你好，世界。", "hello.wav"],
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
