"""Recorded voices, and what can be told of a recording.

Begin with `library`: one folder a voice. `reference` measures how good a recording is, `recogniser` hears what is said
in it, `pitch` how high it speaks.

May know: the contract (`engine`, `audio`), `files` and `cache`; nothing that speaks, but for the names of the cast.
"""

from tts_service.voices.library import Library as Library
