"""Mel to samples.

Begin with `vocoder`, the contract. `hift` is the whole network, `hift_stream` and `hift_graph` its streaming forms, and
`sounding` the way to the host for several utterances at once.

May know: `device` and `published`.
"""
