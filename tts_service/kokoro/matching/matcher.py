"""Voice matching: from a recording to a style table for the embedded engine.

It starts from the nearest native speaker and keeps that voice's way of speaking: of its prosody only pitch and its
range are moved, as far as the recording says otherwise and the tones of Mandarin stay clear, which the front tells
without rendering. Timbre moves freely: render a few sentences, listen, ask `Response` where to go next. The patient
match does so more often, goes further and asks about more sentences. It comes near a voice and does not clone it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2p.encode.kokoro import encode
from g2p.frontend import analyze
from pipecat_glm_tts.wording import tr
from tts_service.audio import resample
from tts_service.cache import cache_directory
from tts_service.kokoro.cast import native, style_table, table_names
from tts_service.kokoro.matching.intelligibility import MANDARIN
from tts_service.kokoro.matching.manner import Manner
from tts_service.kokoro.matching.response import Heard, Response
from tts_service.kokoro.matching.space import SYMBOLS, TIMBRE, timbres
from tts_service.kokoro.matching.speaker import CLOSE, SAMPLE_RATE, STEP, SpeakerEncoder
from tts_service.kokoro.rendering import Renderer, Rendering
from tts_service.kokoro.symbols import Piece
from tts_service.kokoro.tones import curves
from tts_service.kokoro.voice import SAMPLE_RATE as MODEL_RATE
from tts_service.kokoro.voice import VOICED, style_row

PROBES = (
    "明天有雨，出门带伞。",
    "Thank you for calling, good night.",
    "我们坐地铁去比较快。",
    "The kitchen light is broken again.",
    "他的手表停在六点一刻。",
    "We walked along the river after dinner.",
    "这家店的面包很好吃。",
    "Please write your name on the first page.",
    "周末一起去爬山怎么样？",
    "My sister works in a hospital.",
    "窗外的树叶都黄了。",
    "How much does this jacket cost?",
    "老师让我们早点回家。",
    "The train to the coast leaves at nine.",
    "请问洗手间在哪里？",
    "I forgot to bring my umbrella today.",
)
"""What candidates say, in turn: two seconds each, both languages. Many, so that it is the voice that is fitted."""
TONES = (
    *MANDARIN,
    *(text for text in PROBES if not text.isascii()),
    "雪下了一整夜，早上才停。",
    "他每天骑自行车上班。",
    "你把帽子放到什么地方去了？",
    "这种水果南方才有。",
    "工人们正在修马路。",
    "我想买两张去上海的票。",
    "妹妹最喜欢听奶奶讲故事。",
    "湖边有一座白色的小房子。",
    "别忘了带雨衣和手电筒。",
    "今年夏天特别热，几乎没下雨。",
    "他们结婚已经三十年了。",
    "医院旁边有一家药店。",
)
"""Whose tones have to be as clear as those of the voice that a match starts from."""
INTONED = 6
"""Of these tell what a voice's pitch is."""
ROUNDS = {"fast": (3, 2), "best": (20, 4)}
"""Of rendering, listening and thinking, and how many renderings each; even, for two cores."""
COMMON = 0.3
"""Share of the voices' middle in what is wanted: of a few seconds not everything that is special is the person's."""
AROUND = 0.3
"""Length of the random steps around what is proposed, by which the response learns where it leads."""
PULL = {"fast": 0.05, "best": 0.02}
"""Weight of the distance from the start beside the cosine, see `propose`: less where more is heard on the way."""
COLOUR = 0.02
"""Weight of the colour."""
DOUBT = {"fast": 0.05, "best": 0.02}
"""Weight of the doubt: less where more is heard on the way."""
LISTENED = {"fast": STEP, "best": CLOSE}
"""How closely recording and renderings are listened to. With `fast` it brings no likeness, and one of five was
misheard in 21 % of the words instead of 4."""
HIGHER = 0.3
"""What an octave between recording and voice counts against the cosine: pitch is hard to move far."""
RANGE = (0.25, 1.3)
"""Octaves of pitch range that can be asked for; beyond lie creaks and wrong octaves."""
PITCH_SHIFT = 0.7
"""Most octaves that pitch is moved by."""
WIDER = 1.25
"""A pitch range that differs by less is left as it is."""
MOVED = ((1.0, 1.0), (1.0, 0.5), (1.0, 0.0), (0.5, 0.0))
"""Shares of the way of pitch and of its range, tried in turn: the range blurs tones more and is missed less."""
BLURRED = 0.02
"""Less of the tones may be told than of those of the voice that it starts from."""
ASKED = {"fast": 20, "best": 30}
"""In how many sentences."""
WEAKER = (1.0, 0.9, 0.8, 0.65, 0.5, 0.3, 0.0)
"""Shares of the way from the packaged timbre to the match, tried in turn until it is understood."""
NEAR = 0.02
"""Octaves that nobody hears."""
RATE, PAUSE = (0.8, 1.25), (0.5, 2.0)
"""Limits of the tempo and pause factors."""
USUAL_PAUSE = 0.3
"""Seconds between the clauses of somebody who reads calmly."""

Progress = Callable[[str, float], None]
Style = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Match:
    """A voice made for a recording."""

    base: str
    """The packaged table that it starts from."""
    delta: NDArray[np.float32]
    """[256], added to every row of that table."""
    rate: float
    """Tempo factor."""
    pause: float
    """Factor of the silences between clauses."""
    before: float
    """Similarity of the nearest packaged voice to the recordings, by the cosine of `SpeakerEncoder`."""
    after: float
    """Similarity of this voice, on the sentences that Whisper was asked to understand; 0 before that."""

    @property
    def styles(self) -> NDArray[np.float32]:
        """The style table [rows, 256]."""
        return style_table(self.base) + self.delta


class Matcher:
    """Fits styles to recordings.

    Args:
        renderer: Speaks in any style.
        encoder: Tells speakers apart.
        response: Makes what foretells how a timbre sounds, which learns while a voice is matched: a new one for each.
        threads: Sentences that are rendered at once, each on its own core.
    """

    def __init__(
        self,
        renderer: Renderer,
        encoder: SpeakerEncoder,
        response: Callable[[], Response] = Response.load,
        threads: int = 1,
    ) -> None:
        self.renderer = renderer
        self._encoder = encoder
        self._response = response
        self._probes = [tokens_of(text) for text in PROBES]
        self._pool = ThreadPoolExecutor(threads, "rendering")

    @classmethod
    def load(cls, cache_dir: Path | None = None, threads: int = 1) -> Matcher:
        """With the packaged model; the first time, prepare it in the cache. See `KokoroEngine.load`."""
        return cls(Renderer(cache_directory(cache_dir), 1), SpeakerEncoder(), threads=threads)

    def match(
        self,
        recordings: Sequence[NDArray[np.float32]],
        progress: Progress,
        language: str = "",
        quality: str = "fast",
        seed: int = 0,
    ) -> Match:
        """Fit a style.

        Args:
            recordings: Of one person, each [n] mono at 16 kHz.
            progress: Told what is being done and how far it is, 0 to 1.
            language: That the person speaks, `zh` or `en`; the start is a native speaker of it. Empty: not known.
            quality: `fast` or `best`.
            seed: Of the random steps.
        """
        progress(tr("listening to the recording"), 0.0)
        coming = self._pool.submit(self._response)
        manners = [Manner.of(samples) for samples in recordings]
        step = LISTENED[quality]
        wanted = Heard(self.embed(recordings, step), np.mean([manner.colour for manner in manners], axis=0))
        response = coming.result()
        likeness = response.packaged @ wanted.embedding
        wanted = replace(wanted, embedding=normalised(wanted.embedding + COMMON * response.packaged.mean(axis=0)))
        base = nearest(response, likeness, float(np.median([manner.pitch for manner in manners])), language)
        table = style_table(base)
        progress(tr("matching the pitch"), 0.1)
        intonations = (self._prosody(table, manners, response.prosody, *shares) for shares in MOVED)
        prosody = self.clear(base, response, intonations, TONES[: ASKED[quality]])
        pitch = prosody_features(self.curves(table, prosody))[0]

        space, random, guess = timbres(), np.random.default_rng(seed), response.guess(wanted)

        def propose() -> Style:
            return response.propose(wanted, guess, pitch, pull=PULL[quality], colour=COLOUR, doubt=DOUBT[quality])

        def delta(coordinates: Style) -> Style:
            return np.concatenate([space.at(coordinates) - table[SYMBOLS - 1, :TIMBRE], prosody])

        def say(probe: int, coordinates: Style) -> tuple[Heard, Manner]:
            tokens = self._probes[probe]
            samples = at_16k(self.renderer.render(tokens, _moved(table, tokens, delta(coordinates))))
            manner = Manner.of(samples)
            return Heard(self.embed([samples], step), manner.colour), manner

        ours, turns = list[Manner](), itertools.cycle(range(len(PROBES)))
        count, abreast = ROUNDS[quality]
        for i in range(count):
            progress(tr("matching the timbre"), 0.2 + 0.8 * i / count)
            steps = random.normal(size=(abreast, TIMBRE)) * AROUND * space.length / TIMBRE**0.5
            tried = propose() + space.coordinates(space.centre + steps)
            probes = [next(turns) for _ in tried]
            heard, manners_of_ours = zip(*self._pool.map(say, probes, tried), strict=True)
            response.observe(tried, pitch, heard, probes)
            ours += manners_of_ours
        found = delta(propose()).astype(np.float32)
        rate = np.median([m.rate for m in manners]) / np.median([m.rate for m in ours])
        pauses = [m.pause for m in manners if m.pause]
        pause = float(np.clip(np.median(pauses) / USUAL_PAUSE, *PAUSE)) if pauses else 1.0
        progress(tr("matched"), 1.0)
        return Match(base, found, float(np.clip(rate, *RATE)), pause, float(likeness.max()), 0.0)

    def say(
        self, sentences: Sequence[NDArray[np.int64]], table: NDArray[np.float32], delta: NDArray
    ) -> Iterator[Rendering]:
        """Sentences as tokens, in a table [rows, 256] moved by delta [256], one after the other."""
        return self._pool.map(lambda t: self.renderer.render(t, _moved(table, t, delta)), sentences)

    def embed(self, recordings: Sequence[NDArray[np.float32]], step: int = CLOSE) -> NDArray[np.float32]:
        """The mean embedding [256] of several recordings, each [n] at 16 kHz, of length one; `step`: as there."""
        return normalised(np.mean([self._encoder.embed(samples, step) for samples in recordings], axis=0))

    def _prosody(
        self,
        table: NDArray[np.float32],
        manners: Sequence[Manner],
        directions: Style,
        pitch_share: float,
        range_share: float,
    ) -> Style:
        """The change of the prosody half [128] that brings pitch and its range nearer to those of the recordings.

        Args:
            table: Of the packaged voice, [rows, 256].
            manners: Of the recordings.
            directions: [3, 128], see `Response`.
            pitch_share: Of the way to their pitch.
            range_share: Of the way to their range.
        """
        delta = np.zeros(256 - TIMBRE)
        found = prosody_features(self.curves(table, delta))
        pitch = np.clip(np.median([manner.pitch for manner in manners]) - found[0], -PITCH_SHIFT, PITCH_SHIFT)
        wider = np.log(np.clip(np.median([manner.range for manner in manners]), *RANGE) / found[1])
        wider = wider if abs(wider) > np.log(WIDER) else 0.0
        wanted = found * [1, np.exp(range_share * wider), 1] + [pitch_share * pitch, 0, 0]
        slopes = np.eye(3)  # of the features along the directions, corrected after every step (Broyden 1965)
        for _ in range(4):
            step = np.linalg.solve(slopes, wanted - found)
            if np.abs(step[:2]).max() < NEAR:
                break
            step *= min(1.0, 0.5 / np.abs(step[:2]).max())
            delta = delta + step @ directions
            previous, found = found, prosody_features(self.curves(table, delta))
            slopes += np.outer(found - previous - slopes @ step, step) / (step @ step)
        return delta

    def clear(self, base: str, response: Response, changes: Iterable[Style], texts: Sequence[str] = TONES) -> Style:
        """The first of some changes of a voice's prosody half [128] that leaves its tones clear; none if all blur."""

        def clarity(change: Style) -> float:
            moved = style_table(base) + np.concatenate([np.zeros(TIMBRE), change]).astype(np.float32)
            return response.teachers.clarity(base, curves(self.renderer, moved, texts, self._pool.map))

        nothing = np.zeros(256 - TIMBRE)
        enough = clarity(nothing) - BLURRED
        return next((change for change in changes if clarity(change) >= enough), nothing)

    def curves(self, table: NDArray[np.float32], prosody: Style) -> NDArray[np.float32]:
        """Pitch in Hz and energy, [2, frames], of the probes in a table whose prosody half is moved by [128]."""
        delta = np.concatenate([np.zeros(TIMBRE), prosody])
        spoken = list(
            self._pool.map(lambda t: self.renderer.prosody(t, _moved(table, t, delta)), self._probes[:INTONED])
        )
        return np.stack([np.concatenate([s.pitch for s in spoken]), np.concatenate([s.energy for s in spoken])])


def nearest(response: Response, likeness: NDArray, pitch: float, language: str) -> str:
    """The native speaker to start from: near in timbre, but above all in pitch, which is hard to move far.

    Args:
        response: Knows the packaged voices.
        likeness: Of each to the recording, [54].
        pitch: Of the recording, octaves above 1 Hz.
        language: `zh`, `en`, or empty for either.
    """
    mother_tongues = [native(name) for name in table_names()]
    suits = np.array([tongue == language if language else bool(tongue) for tongue in mother_tongues])
    score = np.where(suits, likeness - HIGHER * np.abs(response.pitches - pitch), -np.inf)
    return table_names()[int(np.argmax(score))]


def normalised(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of length one."""
    return vector / np.linalg.norm(vector)


def tokens_of(text: str) -> NDArray[np.int64]:
    """A short sentence as the model's tokens, pads included."""
    symbols = encode(analyze(text))
    return Piece(symbols.text, symbols.tokens).tokens()


def prosody_features(curves: NDArray[np.float32]) -> NDArray[np.float64]:
    """Median and range of the pitch in octaves, and range of the energy, of curves [2, n] of pitch in Hz and energy."""
    voiced = curves[0] > VOICED
    octaves = np.log2(curves[0][voiced]) if voiced.any() else np.full(1, 7.5)
    low, middle, high = np.quantile(octaves, [0.1, 0.5, 0.9])
    return np.array([middle, high - low, np.subtract(*np.quantile(curves[1], [0.9, 0.2]))])


def _moved(table: NDArray[np.float32], tokens: NDArray[np.int64], delta: NDArray) -> NDArray[np.float32]:
    return (style_row(table, len(tokens) - 2) + delta).astype(np.float32)


def at_16k(rendering: Rendering) -> NDArray[np.float32]:
    """Its samples [n] at the rate of `SpeakerEncoder` and Whisper."""
    return resample(rendering.samples, MODEL_RATE, SAMPLE_RATE)
