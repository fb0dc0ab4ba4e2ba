"""Text to pronunciation: Mandarin and English, independent of any engine.

`analyze` is what engines read, `readings` is the plain pinyin of each character, `explain` is for people.
"""

from g2p.frontend import analyze, explain, readings, warm_up
from g2p.lexicon import Lexicon
from g2p.lexicon_file import LexiconError
from g2p.pronunciation import Pronunciation, Token
from pipecat_glm_tts import silence as silence  # first of all: nothing reports home

__all__ = ["Lexicon", "LexiconError", "Pronunciation", "Token", "analyze", "explain", "readings", "warm_up"]
