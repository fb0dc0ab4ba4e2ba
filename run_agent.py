"""Start the voice agent: `python run_agent.py`, then open http://localhost:7860."""

from __future__ import annotations

import sys

try:
    from loguru import logger

    logger.remove()  # Pipecat would introduce itself on import; `agent.start` says what there is to say
    from agent.start import main
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] in ("agent", "g2p", "tts_service"):
        raise  # not a package that could be installed
    sys.exit(
        f"缺少软件包 {error.name}，请先安装：python -m pip install -e .（或直接 make run）\n"
        f"The package {error.name} is missing; install the project first: "
        "python -m pip install -e . (or simply: make run)"
    )

if __name__ == "__main__":
    sys.exit(main())
