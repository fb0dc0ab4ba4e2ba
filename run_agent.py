"""Start the voice agent: `python run_agent.py`, then open http://localhost:7860."""

import sys

from pipecat_glm_tts.__main__ import agent

if __name__ == "__main__":
    sys.exit(agent())
