"""Speech and other sounds for tests, at 16 kHz."""

import numpy as np
import soxr
from pypinyin import lazy_pinyin

SAMPLE_RATE = 16000
VOICE = "song"


def say(synthesizer, text, voice=VOICE, **options):
    """The embedded voice, [n] float32."""
    samples = np.concatenate([chunk.samples for chunk in synthesizer.stream(text, voice, **options)])
    return soxr.resample(samples, synthesizer.sample_rate, SAMPLE_RATE)


def silence(seconds):
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


def noise(kind, seconds, level=0.1, seed=0):
    """Sounds that are no speech: `white`, `brown`, `hum`, `clicks`, `beeps`."""
    random = np.random.default_rng(seed)
    n = int(seconds * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    if kind == "white":
        samples = random.standard_normal(n)
    elif kind == "brown":
        samples = np.cumsum(random.standard_normal(n))
        samples -= np.convolve(samples, np.ones(1600) / 1600, "same")
    elif kind == "hum":
        samples = sum(np.sin(2 * np.pi * 50 * harmonic * time) / harmonic for harmonic in (1, 2, 3, 5))
    elif kind == "clicks":
        samples = np.zeros(n)
        samples[random.integers(0, n, int(6 * seconds))] = 1
        samples = np.convolve(samples, np.exp(-np.arange(400) / 60) * random.standard_normal(400), "same")
    elif kind == "beeps":
        samples = np.sin(2 * np.pi * 1000 * time) * (np.sin(2 * np.pi * 2 * time) > 0)
    return (samples * level / np.sqrt((samples**2).mean())).astype(np.float32)


def pcm(samples):
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


def syllables(text):
    """Toneless syllables and words: homophones are a matter of spelling, not of hearing."""
    letters = "".join(char if char.isalnum() else " " for char in text.lower())
    return [syllable for chunk in letters.split() for syllable in lazy_pinyin(chunk)]


def error_rate(heard, said):
    """Edit distance in syllables, relative to what was said."""
    heard, said = syllables(heard), syllables(said)
    row = list(range(len(heard) + 1))
    for i, want in enumerate(said, 1):
        previous, row[0] = row[0], i
        for j, have in enumerate(heard, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (want != have))
    return row[-1] / len(said)
