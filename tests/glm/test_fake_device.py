"""At the published sizes nothing mixes devices, reads a value on the host or changes its shapes from step to step."""

import subprocess
import sys


def test_the_published_sizes_run_on_a_pretended_gpu():
    run = subprocess.run(
        [sys.executable, "-m", "tests.glm.fake_device"], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "push of the vocoder" in run.stdout
