"""The voice agent: ears, brain, turn-taking and transports around the voice of `tts_service`."""

from pipecat_glm_tts import silence as silence  # first of all: nothing reports home
