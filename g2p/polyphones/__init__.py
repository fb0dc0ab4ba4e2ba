"""Which reading a hanzi has here.

Begin with `polyphone`: who wins over whom. There are the `dictionary`, grammar (`function_words`, `content_words`:
tables with their examples), surnames (`names`), and a trained model.

May know: nothing else of `g2p`.
"""
