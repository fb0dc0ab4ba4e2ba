"""Voice matching: the embedded voice moved towards a recording.

`fitting.fit` is the way in, from a voice of the library to the file that `voices` reads when the engine speaks with it.
Between them: `speaker` and `manner` listen, `matcher` searches in `space` with the help of `response` and `rendering`,
and `intelligibility` says whether one still understands it.
"""
