"""The voice agent: ears, brain, turn-taking and transports around the voice of `tts_service`."""

import pipecat_glm_tts  # noqa: F401 - first of all: nothing reports home
