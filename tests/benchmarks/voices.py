"""Which voice should speak? Every packaged voice, measured: how well it is understood, how it sounds, its tones.

    python -m tests.benchmarks.voices [--voices lian,rose] [--all] [--sentences 40] [--native] [--stock] [--speed 2]
                                      [--mixed]

Without options the cast says eight sentences of either language; a voice's own language is marked, and `--native` asks
for that alone. Columns: syllables (toneless) and words that Whisper base misheard; DNSMOS P.835 overall quality where
the package `speechmos` is installed; loudness in LUFS; syllables and words a second; tone clarity, see
`tts_service.kokoro.tones`. With `--mixed` how often the English word of a Mandarin sentence is written as such, how
often in Chinese, and how often it is heard when it is said alone. With `--stock` the stock model called whole stands
beside.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

import g2p
from tests.benchmarks.voices_said import ENGLISH, MANDARIN, MIXED_KEPT, TRANSLATED
from tts_service.cache import cache_directory
from tts_service.engine import StopSignal, SynthesisOptions, Voice
from tts_service.kokoro import KokoroEngine
from tts_service.kokoro.calibrate import loudness
from tts_service.kokoro.cast import CAST, native, packaged_voices, style_table
from tts_service.kokoro.matching.intelligibility import errors, units
from tts_service.kokoro.network import open_session
from tts_service.kokoro.rendering import Renderer
from tts_service.kokoro.tones import Teachers, curves
from tts_service.speech.tempo import shared, stretched
from tts_service.voices.recogniser import Recogniser

OTHERWISE = str.maketrans("著乾", "着干")
"""Whisper's spelling of what is said here in simplified characters, and its own."""
DNSMOS_SECONDS = 9.01
"""What the network looks at."""
OVERALL = (-0.06766283, 1.11546468, 0.04602535)
"""The polynomial of P.835's overall quality (Reddy et al. 2022), highest power first."""


def said(engine: KokoroEngine, voice: Voice, text: str, speed: float = 1.0) -> NDArray[np.float32]:
    """A text in a voice at a tempo, [n] at 24 kHz."""
    tempo, stretch = shared(speed, engine.tempi)
    chunks = engine.synthesize(g2p.analyze(text), voice, SynthesisOptions(speed=tempo), StopSignal())
    return np.concatenate([chunk.samples for chunk in stretched(chunks, stretch)])


def counted(text: str) -> list[str]:
    """Toneless syllables, numbers read out, where there are hanzi; words elsewhere."""
    if not any("\u4e00" <= char <= "\u9fff" for char in text):
        return units(text)
    return [reading[:-1] for reading in g2p.readings(text.translate(OTHERWISE)) if reading and reading[-1].isdigit()]


def dnsmos() -> Callable[[NDArray[np.float32]], float] | None:
    """Judges samples at 16 kHz; None where `speechmos` is not installed."""
    found = importlib.util.find_spec("speechmos")
    if found is None or found.origin is None:
        return None
    session = open_session(Path(found.origin).with_name("dnsmos_models") / "sig_bak_ovr.onnx", 1)
    length = int(DNSMOS_SECONDS * 16000)

    def judge(samples: NDArray[np.float32]) -> float:
        whole = np.tile(samples, -(-length // len(samples)))
        starts = range(0, len(whole) - length + 1, 16000)
        rows = [session.run(None, {"input_1": whole[i : i + length][None]})[0][0] for i in starts]
        return float(np.mean([np.polyval(OVERALL, row[2]) for row in rows]))

    return judge


def row(
    engine: KokoroEngine,
    voice: Voice,
    texts: Sequence[str],
    language: str,
    recogniser: Recogniser,
    judge: Callable[[NDArray[np.float32]], float] | None,
    speed: float = 1.0,
) -> str:
    """Mistakes, quality, level and rate of one voice in one language."""
    spoken = [said(engine, voice, text, speed) for text in texts]
    low = [soxr.resample(samples, 24000, 16000) for samples in spoken]
    wrong = sum(
        errors(counted(recogniser.transcribe(samples, language=language).text), counted(text))
        for samples, text in zip(low, texts, strict=True)
    )
    total = sum(len(counted(text)) for text in texts)
    quality = f"{np.mean([judge(samples) for samples in low]):.2f}" if judge else "   -"
    rate = total / (sum(map(len, spoken)) / 24000)
    return f"{wrong:3d} of {total:3d} {wrong / total:6.1%}  {quality}  {loudness(spoken):6.1f}  {rate:4.1f}"


def mixed(engine: KokoroEngine, voice: Voice, recogniser: Recogniser) -> tuple[int, int, int]:
    """How many English words are written as English inside their Mandarin sentences, translated there, and alone."""

    def heard(text: str, language: str) -> str:
        samples = soxr.resample(said(engine, voice, text), 24000, 16000)
        return re.sub("[ -]", "", recogniser.transcribe(samples, language=language).text.lower())

    inside = [(word, heard(text, "zh")) for text, word in MIXED_KEPT]
    written = [word in text for word, text in inside]
    translated = [TRANSLATED[word] in text for word, text in inside if word in TRANSLATED and word not in text]
    return sum(written), sum(translated), sum(word in heard(f"{word}.", "en") for _, word in MIXED_KEPT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", help="names, separated by commas")
    parser.add_argument("--all", action="store_true", help="all 54, under their own names")
    parser.add_argument("--sentences", type=int, default=8)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--native", action="store_true", help="each in its own language only")
    parser.add_argument("--stock", action="store_true")
    parser.add_argument("--mixed", action="store_true")
    options = parser.parse_args(arguments)
    known = {voice.name: voice for voice in packaged_voices()}
    names = [name for name in known if known[name].listed]
    if options.all:
        names = [name for name in known if name[2:3] == "_"]
    names = options.voices.split(",") if options.voices else names
    engines = {"": KokoroEngine.load()} | ({" stock": KokoroEngine.load(whole=True)} if options.stock else {})
    recogniser = Recogniser()
    judge = dnsmos()
    tables = {name: {role.name: role.table for role in CAST}.get(name, name) for name in names}
    renderer, mandarin = Renderer(cache_directory(), 1), MANDARIN[: options.sentences]
    teachers = Teachers.heard(renderer, mandarin)
    clear = {
        table: teachers.clarity(table, curves(renderer, style_table(table), mandarin)) for table in tables.values()
    }
    print(f"{'voice':24} {'misheard':>17}  MOS   LUFS   rate  tones")
    for name in names:
        for language, texts in (("zh", MANDARIN), ("en", ENGLISH)):
            mark = "*" if native(tables[name]) == language else " "
            if options.native and mark == " ":
                continue
            for kind, engine in engines.items():
                cells = row(engine, known[name], texts[: options.sentences], language, recogniser, judge, options.speed)
                tone = f"{clear[tables[name]]:6.1%}" if language == "zh" else ""
                print(f"{name + kind:20} {language}{mark} {cells}  {tone}", flush=True)
        if options.mixed:
            counts = "{} heard in Mandarin, {} more translated, {} alone".format(
                *mixed(engines[""], known[name], recogniser)
            )
            print(f"{name:20} of {len(MIXED_KEPT)} English words {counts}", flush=True)


if __name__ == "__main__":
    main()
