"""Text to pronunciation: Mandarin and English, independent of any engine."""

from g2p.frontend import analyze, readings
from g2p.lexicon import Lexicon
from g2p.pronunciation import Pronunciation, Token

__all__ = ["Lexicon", "Pronunciation", "Token", "analyze", "readings"]
