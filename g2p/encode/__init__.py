"""Pronunciation to what an engine reads: `glm` (hybrid phoneme text) and `kokoro` (IPA symbols)."""
