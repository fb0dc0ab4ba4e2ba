"""`python -m pipecat_glm_tts`: the command `glm-tts`, for whoever has not its script on the path."""

from tts_service.cli import main

if __name__ == "__main__":
    main()
