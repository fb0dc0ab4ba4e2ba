"""The one error that everything here may raise, for a person to read."""


class SpeechError(Exception):
    """Speech could not be made. The message says what is wrong and what to do about it."""
