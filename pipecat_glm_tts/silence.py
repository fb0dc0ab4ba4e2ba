"""Keeps the libraries that everything here stands on from reporting home; imported first by every package.

Each of them reads its variable when it is imported, and ONNX Runtime makes a device id at that moment and looks up its
vendor ever after. Whoever has set a variable himself has his way.
"""

import os
import sys
import warnings

REPORTS = {
    "ORT_DISABLE_TELEMETRY": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What keeps ONNX Runtime, Gradio, Hugging Face and Ray silent."""

if "onnxruntime" in sys.modules and "ORT_DISABLE_TELEMETRY" not in os.environ:
    warnings.warn(
        "onnxruntime was imported before pipecat_glm_tts and may report to its vendor; "
        "import pipecat_glm_tts first, or set ORT_DISABLE_TELEMETRY=1",
        stacklevel=2,
    )
for _variable, _silent in REPORTS.items():
    os.environ.setdefault(_variable, _silent)
