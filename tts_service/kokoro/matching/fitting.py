"""From a voice of the library to one that the embedded engine speaks with: match, guard, measure, store."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from pipecat_glm_tts.wording import tr
from tts_service.audio import resample
from tts_service.cache import cache_directory
from tts_service.engine import SpeechError
from tts_service.kokoro.calibrate import calibrate
from tts_service.kokoro.cast import style_table
from tts_service.kokoro.matching.intelligibility import SENTENCES, errors, units
from tts_service.kokoro.matching.matcher import PROBES, WEAKER, Match, Matcher, Progress, at_16k, tokens_of
from tts_service.kokoro.matching.speaker import SAMPLE_RATE
from tts_service.kokoro.matching.voices import Matched, matched_file
from tts_service.kokoro.model import model_file
from tts_service.kokoro.rendering import Rendering
from tts_service.voices.library import Library, load_recording

ASKED = (*PROBES, *SENTENCES)
"""What Whisper must understand; the probes have been said already."""
GUARDED = {"fast": 6, "best": 20}
"""How many of them."""
TOLERANCE = 0.02
"""More of their syllables and words may be misheard than from the packaged voice."""
AT_ONCE, BETWEEN = 3, 0.4
"""Sentences of a language that are heard in one piece, which spares Whisper's time, and the seconds between them."""

Transcribe = Callable[[NDArray[np.float32], str], str]
"""Samples [n] at 16 kHz and their language, `zh` or `en` -> what is heard, an empty text if nothing."""


def fit(
    library: Library,
    name: str,
    transcribe: Transcribe,
    *,
    quality: str = "fast",
    seed: int = 0,
    cache_dir: Path | None = None,
    threads: int = 2,
    progress: Progress = lambda stage, fraction: None,
) -> Matched:
    """Match a voice of the library and keep the result beside its recording.

    Args:
        library: Where the voice is.
        name: Of the voice.
        transcribe: Hears whether the voice is understood.
        quality: `fast` (half a minute, no torch) or `best` (minutes, needs torch).
        seed: Of the choice of sentences; equal seeds give equal voices.
        cache_dir: As in `KokoroEngine.load`.
        threads: Cores that one computation may use.
        progress: Told what is being done and how far it is, 0 to 1.

    Raises:
        SpeechError: The voice is missing or damaged, `best` lacks torch, or the result cannot be stored.
    """
    if quality not in GUARDED:
        raise SpeechError(tr("the quality is {quality!r}; it must be fast or best", quality=quality))
    if quality == "best" and importlib.util.find_spec("torch") is None:
        raise SpeechError(tr("--quality best needs torch: pip install torch, or use --quality fast"))
    recordings = []
    for path in library.recordings(name):
        samples, rate = load_recording(path)
        recordings.append(resample(samples, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else samples)
    cache = cache_directory(cache_dir)
    matcher = Matcher.load(cache, threads)
    share = 0.5 if quality == "fast" else 0.15
    match = matcher.match(recordings, lambda stage, fraction: progress(stage, share * fraction), spoken(library, name))
    if quality == "best":
        from tts_service.kokoro.matching.refinement import refine

        model = onnx.load(model_file(cache))
        match = refine(
            match, matcher, recordings, model, threads, seed, lambda stage, f: progress(stage, 0.15 + 0.55 * f)
        )
        share = 0.7
    match, mistakes, renderings = guarded(
        match,
        matcher,
        recordings,
        transcribe,
        GUARDED[quality],
        lambda stage, f: progress(stage, share + (1 - share) * f),
    )
    found = Matched(match, calibrate(renderings), quality, GUARDED[quality], mistakes)
    found.save(matched_file(library.audio(name).parent, library.card(name).sha256))
    progress(tr("matched"), 1.0)
    return found


def spoken(library: Library, name: str) -> str:
    """The language of a voice's recording, `zh` or `en`, by what is said in it; empty where that is not known."""
    transcript = library.card(name).transcript
    if any("\u4e00" <= char <= "\u9fff" for char in transcript):
        return "zh"
    return "en" if any(char.isalpha() and char.isascii() for char in transcript) else ""


def guarded(
    match: Match,
    matcher: Matcher,
    recordings: Sequence[NDArray[np.float32]],
    transcribe: Transcribe,
    count: int,
    progress: Progress,
) -> tuple[Match, tuple[int | None, int], list[Rendering]]:
    """The match, or as much of it as keeps the voice understood.

    Returns:
        The match; how many syllables and words Whisper misheard from the voice it started from (None: there was no
        need to ask) and from this one; and what this one said.
    """
    progress(tr("checking that it is understood"), 0.0)
    sentences = ASKED[:count]
    allowed = TOLERANCE * sum(len(units(text)) for text in sentences)

    def misheard(delta: NDArray[np.float32]) -> tuple[int, list[Rendering]]:
        renderings = matcher.say([tokens_of(text) for text in sentences], style_table(match.base), delta)
        silence, mistakes = np.zeros(round(BETWEEN * SAMPLE_RATE), np.float32), 0
        for language in ("zh", "en"):
            own = [i for i, text in enumerate(sentences) if text.isascii() == (language == "en")]
            for some in (own[i : i + AT_ONCE] for i in range(0, len(own), AT_ONCE)):
                sound = np.concatenate([part for i in some for part in (at_16k(renderings[i]), silence)])
                said = " ".join(sentences[i] for i in some)
                mistakes += errors(units(transcribe(sound, language)), units(said))
        return mistakes, renderings

    before: int | None = None
    for i, share in enumerate(WEAKER):
        progress(tr("checking that it is understood"), i / len(WEAKER))
        weaker = match if share == 1 else matcher.weakened(match, share, recordings)
        after, renderings = misheard(weaker.delta)
        if after <= allowed:  # so few that no voice could do much better
            return weaker, (before, after), renderings
        before = misheard(np.zeros_like(match.delta))[0] if before is None else before
        if after <= before + allowed:
            return weaker, (before, after), renderings
    raise AssertionError("the packaged voice, which is the last resort, is as well understood as itself")
