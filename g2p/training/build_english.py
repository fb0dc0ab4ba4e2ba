"""Compile `g2p/data/english.txt`, the pronouncing dictionary of American English, from the lexicon of misaki.

    pip download --no-deps misaki==0.9.4 && python -m g2p.training.build_english misaki-0.9.4-py3-none-any.whl

misaki (Apache-2.0) is Kokoro's own front end, so the voice has heard these phonemes. Its wheel is read, not installed:
it asks for Python below 3.13, and holds its words in memory. Here they are one sorted file that is searched on disk.
"""

from __future__ import annotations

import argparse
import json
import re
import zipfile
from pathlib import Path

OUT = Path(__file__).parents[1] / "data" / "english.txt"
_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)*")


def compile_lexicon(wheel: Path) -> list[str]:
    """Lines `word<TAB>phones`, or `word<TAB>TAG phones;TAG phones` where parts of speech differ, sorted by their bytes.

    Args:
        wheel: A wheel of misaki.
    """
    words: dict[str, str] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in ("us_silver", "us_gold"):  # what people looked over wins
            for word, phones in json.loads(archive.read(f"misaki/data/{name}.json")).items():
                if _WORD.fullmatch(word) and len(word) > 1:
                    if isinstance(phones, str):
                        words[word] = phones
                    elif forms := {tag: said for tag, said in phones.items() if said}:
                        same = len(set(forms.values())) == 1
                        first = next(iter(forms.values()))
                        words[word] = first if same else ";".join(f"{tag} {said}" for tag, said in forms.items())
    return sorted((f"{word}\t{said}" for word, said in words.items()), key=lambda line: line.split("\t")[0].encode())


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    lines = compile_lexicon(parser.parse_args().wheel)
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} words, {OUT.stat().st_size / 1e6:.1f} MB in {OUT}")


if __name__ == "__main__":
    main()
