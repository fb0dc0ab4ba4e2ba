"""The two commands, `glm-tts` (also `python -m pipecat_glm_tts`) and `glm-tts-agent` (in a checkout, run_agent.py)."""

from __future__ import annotations

import sys

from pipecat_glm_tts.extras import is_ours, missing


def main() -> None:
    """Run `glm-tts`."""
    from tts_service.cli import main as command

    command()


def agent() -> int:
    """Run the voice agent; the exit status for the shell."""
    try:
        from loguru import logger

        logger.remove()  # Pipecat would introduce itself on import; `agent.start` says what there is to say
        from agent.start import main as start
    except ModuleNotFoundError as error:
        if is_ours(error.name):
            raise
        sys.exit(missing("agent", error.name))
    return start()


if __name__ == "__main__":
    main()
