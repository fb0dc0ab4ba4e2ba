"""What the README shows must work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=[f"snippet{n}" for n in range(len(SNIPPETS))])
def test_every_python_snippet_runs(snippet, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("readme", [README, CHINESE], ids=["en", "zh"])
def test_every_linked_file_exists(readme):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", readme):
        assert (ROOT / target).exists(), target


def test_both_languages_show_the_same_code_and_the_same_pages():
    for pattern in (r"^```\w*\n(.*?)^```", r"\]\((docs/[^)]+)\)", r"^(#+) "):
        shown = [re.findall(pattern, readme, re.MULTILINE | re.DOTALL) for readme in (README, CHINESE)]
        assert sorted(shown[0]) == sorted(shown[1])
