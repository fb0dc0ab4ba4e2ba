"""What is deployed: image, compose file and workflows are well formed. None of them is built here."""

import platform
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def check(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="hadolint comes as a wheel for x86-64 only")
def test_the_image_is_linted():
    check(SCRIPTS / "hadolint", "--failure-threshold", "info", "Dockerfile")


def test_the_image_runs_as_nobody_special_and_tells_its_health():
    last = (ROOT / "Dockerfile").read_text().rpartition("FROM ")[2]
    assert re.search(r"^USER [1-9]\d+$", last, re.M)
    assert "HEALTHCHECK" in last
    assert "/health" in last


@pytest.mark.parametrize("file", ["compose.yaml", *WORKFLOWS], ids=lambda file: Path(file).name)
def test_files_have_the_form_that_is_asked_for(file):
    schema = "compose-spec" if file == "compose.yaml" else "github-workflows"
    check(sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", file)


def test_the_agent_of_the_compose_file_may_do_little():
    agent = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["agent"]
    assert agent["read_only"]
    assert agent["cap_drop"] == ["ALL"]
    assert "api.hosts" in " ".join(agent["command"])


def test_workflows_may_only_read():
    assert WORKFLOWS
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}, path.name
