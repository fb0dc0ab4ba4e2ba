"""Text becomes sound, with any engine: text deltas in, chunks of samples out.

Begin with `synthesizer` (one engine, many talkers) and `utterance` (one stream of text); `segmenter` says where text is
cut, and `spoken` carries an answer from the engine's thread to whoever listens.

May know: the contract (`engine`, `audio`) and `g2p`; never an engine, a framework, a file or a server.
"""
