"""From a voice of the library to one that the embedded engine speaks with: match, guard, measure, store."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipecat_glm_tts.wording import tr
from tts_service.audio import resample
from tts_service.cache import cache_directory
from tts_service.engine import SpeechError
from tts_service.kokoro.calibrate import calibrate
from tts_service.kokoro.cast import style_table
from tts_service.kokoro.matching.intelligibility import SENTENCES, errors, units
from tts_service.kokoro.matching.matcher import WEAKER, Match, Matcher, Progress, at_16k, tokens_of
from tts_service.kokoro.matching.space import TIMBRE
from tts_service.kokoro.matching.speaker import SAMPLE_RATE
from tts_service.kokoro.matching.voices import Matched, matched_file
from tts_service.kokoro.rendering import Rendering
from tts_service.voices.library import Library, load_recording

GUARDED = {"fast": 6, "best": 20}
"""How many sentences Whisper must understand."""
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
        quality: `fast` (some ten seconds) or `best` (a minute or two).
        seed: Of the steps that are tried; equal seeds give equal voices.
        cache_dir: As in `KokoroEngine.load`.
        threads: Cores that one computation may use.
        progress: Told what is being done and how far it is, 0 to 1.

    Raises:
        SpeechError: The voice is missing or damaged, or the result cannot be stored.
    """
    if quality not in GUARDED:
        raise SpeechError(tr("the quality is {quality!r}; it must be fast or best", quality=quality))
    recordings = []
    for path in library.recordings(name):
        samples, rate = load_recording(path)
        recordings.append(resample(samples, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else samples)
    cache = cache_directory(cache_dir)
    matcher = Matcher.load(cache, threads)
    match = matcher.match(recordings, lambda stage, f: progress(stage, 0.7 * f), spoken(library, name), quality, seed)
    match, mistakes, renderings = guarded(
        match, matcher, recordings, transcribe, GUARDED[quality], lambda stage, f: progress(stage, 0.7 + 0.3 * f)
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
    """The match, or as much of its timbre as keeps the voice understood; prosody is told by its tones before.

    Where the packaged voice is understood no better, it may be misheard as often; that voice is asked only about those
    sentences of which some word was misheard.

    Args:
        match: What was found.
        matcher: Renders it.
        recordings: Of the person, to say how near it came.
        transcribe: As in `fit`.
        count: Sentences that Whisper is asked to understand.
        progress: Told how far it is, 0 to 1.

    Returns:
        The match; how many syllables and words Whisper misheard where the voice that it started from said the same as
        where this one was misheard (None: there was no need to ask) and from this one; and what this one said.
    """
    pieces = spoken_together(count)
    allowed = TOLERANCE * sum(len(units(text)) for _, texts in pieces for text in texts)

    def heard(delta: NDArray[np.float32], places: Sequence[int]) -> Iterator[tuple[int, list[Rendering]]]:
        """Of each of these pieces how much was misheard, and what was said; the next is said meanwhile."""
        tokens = [tokens_of(text) for place in places for text in pieces[place][1]]
        renderings = iter(matcher.say(tokens, style_table(match.base), delta))
        silence = np.zeros(round(BETWEEN * SAMPLE_RATE), np.float32)
        for language, texts in (pieces[place] for place in places):
            said = list(itertools.islice(renderings, len(texts)))
            sound = np.concatenate([part for one in said for part in (at_16k(one), silence)])
            yield errors(units(transcribe(sound, language)), units(" ".join(texts))), said

    packaged: dict[int, int] = {}
    ways = [(share, 1.0) for share in WEAKER] + [(0.0, 0.0)]
    for i, way in enumerate(ways):
        progress(tr("checking that it is understood"), i / len(ways))
        delta = match.delta * np.repeat(np.array(way, np.float32), TIMBRE)
        mistakes, said = zip(*heard(delta, range(len(pieces))), strict=True)
        before: int | None = None
        if sum(mistakes) > allowed and any(way):
            asked = [place for place, count in enumerate(mistakes) if count]
            new = [place for place in asked if place not in packaged]
            packaged |= zip(new, (count for count, _ in heard(np.zeros_like(delta), new)), strict=True)
            before = sum(packaged[place] for place in asked)
        if not any(way) or sum(mistakes) <= allowed + (before or 0):
            renderings = [one for piece in said for one in piece]
            after = float(matcher.embed([at_16k(one) for one in renderings]) @ matcher.embed(recordings))
            return replace(match, delta=delta, after=after), (before, sum(mistakes)), renderings
    raise AssertionError("the packaged voice is the last resort")


def spoken_together(count: int) -> list[tuple[str, Sequence[str]]]:
    """The first `count` sentences, those that are heard in one piece together, each with their language."""
    own = {language: [t for t in SENTENCES[:count] if t.isascii() == (language == "en")] for language in ("zh", "en")}
    return [(one, texts[i : i + AT_ONCE]) for one, texts in own.items() for i in range(0, len(texts), AT_ONCE)]
