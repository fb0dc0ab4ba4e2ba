"""Custom pronunciations."""

from __future__ import annotations


class Lexicon:
    """A custom dictionary."""
