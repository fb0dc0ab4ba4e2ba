"""How near voice matching comes: similarity to recordings that the fit saw, and to others that it did not.

    python -m tests.benchmarks.clone DIR [--quality fast|best] [--keyboard]

DIR holds a folder for each person with two recordings or more: the voice is made from the first, in the order of their
names, and judged by the others. A lone recording is cut in two halves, which share their channel and so flatter
(marked *). Every sentence is spoken by the streaming engine and belongs to nothing the fit has used. Before is the
packaged voice that is most similar to the recordings the fit did not see, chosen with hindsight.

Similarity is the cosine of the embedding that the fit itself climbs. The second measure is a distance to the recordings
that the fit did not see: of formants (per cent), which have no part in the fit, of pitch (semitones), which is matched
explicitly, and of the long-term spectrum (dB), which has a small weight in it. What Whisper mishears and the tones that
can be told in forty Mandarin sentences, are compared with those of the voice that the match started from. Halves is the
similarity of what the fit saw to what it did not, which a faultless imitation would have.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from g2p import analyze
from tests.benchmarks.voices_said import MANDARIN
from tts_service.audio import resample
from tts_service.cache import cache_directory
from tts_service.engine import StopSignal, SynthesisOptions, Voice
from tts_service.kokoro import KokoroEngine
from tts_service.kokoro.cast import style_table, table_names
from tts_service.kokoro.matching.fitting import fit
from tts_service.kokoro.matching.intelligibility import errors, units
from tts_service.kokoro.matching.manner import Manner
from tts_service.kokoro.matching.response import Response
from tts_service.kokoro.matching.speaker import SpeakerEncoder
from tts_service.kokoro.rendering import Renderer
from tts_service.kokoro.tones import curves
from tts_service.voices.library import Library, load_recording
from tts_service.voices.pitch import pitch
from tts_service.voices.recogniser import Recogniser

TEXTS = (
    "孩子们在院子里放风筝。",
    "这本书我已经看完了，非常有意思。",
    "冬天的湖面结了一层冰。",
    "The concert was better than I expected.",
    "They are painting the kitchen green.",
    "I have never been to the mountains in winter.",
)
HEAD = f"{'person':20}{'from':12}" + "".join(
    f"{title:>{width}}"
    for title, width in zip(
        ("seen", "unseen", "semitones", "formants %", "spectrum dB", "errors %", "tones %", "halves", "s"),
        (16, 18, 16, 16, 16, 12, 12, 8, 7),
        strict=True,
    )
)


@dataclass
class Judgement:
    """What is heard in one voice."""

    embedding: np.ndarray
    pitch: float
    formants: np.ndarray
    spectrum: np.ndarray

    @classmethod
    def of(cls, encoder: SpeakerEncoder, recordings: list[np.ndarray]) -> Judgement:
        embedding = np.mean([encoder.embed(samples) for samples in recordings], axis=0)
        together = np.concatenate(recordings)
        manner = Manner.of(together)
        spectrum = 10 / np.log(10) * manner.colour
        return cls(embedding / np.linalg.norm(embedding), manner.pitch, formants(together), spectrum)

    def distances(self, other: Judgement) -> tuple[float, float, float]:
        """Semitones, per cent, dB."""
        return (
            12 * abs(self.pitch - other.pitch),
            100 * float(np.abs(np.log(self.formants / other.formants)).mean()),
            float(np.abs(self.spectrum - other.spectrum).mean()),
        )


def formants(samples: np.ndarray) -> np.ndarray:
    """Medians of the first three formants in Hz, by linear prediction of order 12 at 10 kHz in voiced frames."""
    low = resample(samples, 16000, 10000)
    low = np.append(low[:1], low[1:] - 0.95 * low[:-1]).astype(np.float64)
    frames = np.lib.stride_tricks.sliding_window_view(low, 300)[::100] * np.hamming(300)
    found = []
    for frame, hertz in zip(frames, pitch(samples), strict=False):
        correlation = np.correlate(frame, frame, "full")[299:312]
        if hertz == 0 or correlation[0] < 1e-4:
            continue
        system = correlation[np.abs(np.subtract.outer(np.arange(12), np.arange(12)))] + 1e-6 * correlation[0] * np.eye(
            12
        )
        roots = np.roots(np.concatenate([[1], -np.linalg.solve(system, correlation[1:])]))
        poles = roots[(roots.imag > 0) & (np.abs(roots) > 0.8)]
        heights = np.sort(np.angle(poles) * 10000 / (2 * np.pi))
        heights = heights[(heights > 200) & (heights < 4500)]
        if len(heights) >= 3:
            found.append(heights[:3])
    return np.median(found, axis=0)


def persons(folder: Path, keyboard: bool) -> Iterator[tuple[str, np.ndarray, int, list[np.ndarray]]]:
    """Name, reference with its rate, and unseen recordings at 16 kHz."""
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        (reference, rate), *others = [load_recording(path) for path in sorted(person.glob("*.*"))]
        unseen, name = [resample(samples, hertz, 16000) for samples, hertz in others], person.name
        if not others:
            middle, name = len(reference) // 2, f"{name}*"
            reference, unseen = reference[:middle], [resample(reference[middle:], rate, 16000)]
        yield name, clattered(reference, rate) if keyboard else reference, rate, unseen


def clattered(samples: np.ndarray, rate: int) -> np.ndarray:
    """Somebody types: six clicks a second, 15 dB below the speech at their loudest tenth of a second."""
    random = np.random.default_rng(0)
    noise = np.zeros(len(samples) + rate, np.float32)
    for begin in np.cumsum(random.exponential(1 / 6, 6 * len(samples) // rate + 1)) * rate:
        if begin < len(samples):
            length = rate // 25
            click = random.normal(size=length) * np.exp(-np.arange(length) / (0.006 * rate))
            noise[int(begin) : int(begin) + length] += (click * random.uniform(0.5, 1)).astype(np.float32)
    loudest = np.sqrt(np.convolve(noise**2, np.ones(rate // 10) / (rate // 10), "same").max())
    return samples + noise[: len(samples)] * (np.sqrt(np.mean(samples**2)) * 10 ** (-15 / 20) / loudest)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--quality", choices=("fast", "best"), default="fast")
    parser.add_argument("--keyboard", action="store_true", help="with a keyboard beside the microphone")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    encoder = SpeakerEncoder()
    recogniser = Recogniser(threads=options.threads)

    def transcribe(samples: np.ndarray, language: str) -> str:
        return recogniser.transcribe(samples, language=language).text

    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder) / "voices")
        engine = KokoroEngine.load(voices=library.folder, threads=options.threads)

        def speak(voice: Voice) -> list[np.ndarray]:
            return [
                resample(
                    np.concatenate(
                        [c.samples for c in engine.synthesize(analyze(text), voice, SynthesisOptions(), StopSignal())]
                    ),
                    engine.sample_rate,
                    16000,
                )
                for text in TEXTS
            ]

        def error_rate(said: list[np.ndarray]) -> float:
            expected = [units(text) for text in TEXTS]
            heard = [
                units(transcribe(samples, "en" if text.isascii() else "zh"))
                for samples, text in zip(said, TEXTS, strict=True)
            ]
            return 100 * sum(map(errors, heard, expected)) / sum(map(len, expected))

        response, renderer = Response.load(), Renderer(cache_directory(), 1)

        def tones(base: str, styles: np.ndarray) -> float:
            return 100 * response.teachers.clarity(base, curves(renderer, styles, MANDARIN[:40]))

        print(f"{options.quality}{', with keyboard noise' if options.keyboard else ''}\n{HEAD}")
        rows, halves = [], []
        for name, reference, rate, unseen in persons(options.folder, options.keyboard):
            key = "".join(char if char.isalnum() else "-" for char in name).strip("-")
            soundfile.write(path := Path(folder) / "reference.wav", reference, rate, subtype="FLOAT")
            library.add(path, name=key, transcript="-", consent="for measuring only, deleted afterwards")
            began = time.perf_counter()
            match = fit(library, key, transcribe, quality=options.quality, threads=options.threads).match
            seconds = time.perf_counter() - began
            said = speak(next(voice for voice in engine.voices() if voice.name == key))
            matched, other = Judgement.of(encoder, said), Judgement.of(encoder, unseen)
            seen = encoder.embed(resample(reference, rate, 16000))
            nearest = table_names()[int(np.argmax(response.packaged @ other.embedding))]
            own = speak(Voice(nearest))
            before = Judgement.of(encoder, own)
            row = [
                (before.embedding @ seen, matched.embedding @ seen),
                (before.embedding @ other.embedding, matched.embedding @ other.embedding),
                *zip(before.distances(other), matched.distances(other), strict=True),
                (error_rate(speak(Voice(match.base))), error_rate(said)),
                (tones(match.base, style_table(match.base)), tones(match.base, match.styles)),
            ]
            halves.append(float(seen @ other.embedding))
            rows.append(row)
            print(line(name, match.base, row, halves[-1], seconds), flush=True)
        print(line("mean", "", np.mean(rows, axis=0), float(np.mean(halves)), 0.0))
        engine.close()


def line(name: str, base: str, row: list[tuple[float, float]], halves: float, seconds: float) -> str:
    """One person: before and after of every column."""
    cells = "".join(
        f"{before:{width}.{digits}f} ->{after:{width - 1}.{digits}f}"
        for (before, after), width, digits in zip(row, (7, 8, 7, 7, 7, 5, 5), (2, 2, 1, 1, 1, 0, 0), strict=True)
    )
    return f"{name:20}{base:12}{cells}{halves:8.2f}{seconds:7.0f}"


if __name__ == "__main__":
    main()
