"""The README in both languages. Its snippets are run by test_install.py, as whoever installs the wheel runs them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
PICTURE = re.compile(r"!\[[^]]+\]\((docs/pictures/[^)]+)\)")


@pytest.mark.parametrize("readme", [README, CHINESE], ids=["en", "zh"])
def test_every_linked_file_exists(readme):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", readme):
        assert (ROOT / target).exists(), target


def test_both_languages_show_the_same_code_and_the_same_pages():
    assert [name.replace("-en.", "-zh.") for name in PICTURE.findall(README)] == PICTURE.findall(CHINESE)
    for pattern in (r"^```\w*\n(.*?)^```", r"\]\((docs/[^)]+\.md[^)]*)\)", r"^(#+) "):
        shown = [re.findall(pattern, readme, re.MULTILINE | re.DOTALL) for readme in (README, CHINESE)]
        assert sorted(shown[0]) == sorted(shown[1])


def test_pictures_are_shown_and_small():
    shown = {ROOT / name for name in PICTURE.findall(README + CHINESE)}
    assert shown == set((ROOT / "docs" / "pictures").glob("*"))
    assert all(path.stat().st_size < 150_000 for path in shown)
