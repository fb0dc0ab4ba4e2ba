"""Speech tokens to mel.

Begin with `flow` and `dit`, the published arithmetic for a whole utterance; then `stream`, the same while the tokens
are being born. `cache` and `pool` keep what a chunk needs of the past, `graph` records it, `foresight` guesses how loud
the whole will have been.

May know: `device`, `published`, and the vocabulary of `language_model`.
"""
