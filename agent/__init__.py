"""The voice agent: ears, brain, turn-taking and transports around the voice of `tts_service`."""
