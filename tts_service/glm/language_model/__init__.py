"""Text to speech tokens.

Begin with `decode`, the loop for many sequences at once. `tokenizer` writes a text as tokens, `prompt` puts the voice
before it, `lm` is the Llama with its cache, `sampling` chooses what comes next.

May know: `device` and `published`.
"""
