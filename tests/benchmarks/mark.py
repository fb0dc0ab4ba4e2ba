"""Is the watermark found, and is it not heard? `python -m tests.benchmarks.mark --work DIR [--recordings DIR]`.

Pieces of 5 s, as the detector's own false-alarm rate of 1 in 1,000 judges them: speech of the embedded voice with and
without the mark through every road, espeak-ng, noise, chords, and whatever WAV files lie below `--recordings` (people's
speech and music; the Debian packages asterisk-core-sounds-en-wav, -fr-wav and asterisk-moh-opsound-wav are a start).
G.711 and G.722 go through this project's own telephone, in real time. `--work` keeps the renderings.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import espeakng_loader
import G722
import numpy as np
from loguru import logger
from pipecat.frames.frames import TTSAudioRawFrame

from tests.benchmarks.voices import counted, dnsmos
from tests.benchmarks.voices import said as spoken
from tests.benchmarks.voices_said import ENGLISH, MANDARIN
from tests.phone import bots
from tests.phone.softphone import Softphone, linear
from tts_service import load
from tts_service.audio import Samples, load_audio, resample
from tts_service.engine import AudioChunk
from tts_service.kokoro import KokoroEngine
from tts_service.kokoro.matching.intelligibility import errors
from tts_service.speech.tempo import stretched
from tts_service.speech.watermark import Watermark
from tts_service.voices.recogniser import Recogniser
from tts_service.workshop.audio_file import SpeechWriter
from tts_service.workshop.detector import FALSE_ALARM, Detection, Mark, detect_samples
from tts_service.workshop.label import Label

RATE = 24000
SECONDS, EVERY, START = 5, 2.5, 0.37
PARTS = ("roads", "calls", "speeds", "others", "audible")
CALLS = 4
"""Of half a minute, for each codec."""
VOICES = ("lian", "bai", "tao", "feng", "rose", "rowan", "ivy")
SENTENCES = 10
"""Of either language from every voice."""
Sound = tuple[Samples, int]


# Speech


def renderings(work: Path) -> list[list[Samples]]:
    """What every voice says without a mark, in the chunks in which it came."""
    files = [work / f"{voice}-{language}.npz" for voice in VOICES for language in ("zh", "en")]
    missing = [file for file in files if not file.exists()]
    if missing:
        with load("kokoro", watermark=False) as synthesizer:
            for file in missing:
                voice, language = file.stem.split("-")
                text = "".join(MANDARIN[:SENTENCES]) if language == "zh" else " ".join(ENGLISH[:SENTENCES])
                chunks = [chunk.samples for chunk in synthesizer.stream(text, voice)]
                np.savez(file, samples=np.concatenate(chunks), lengths=[len(chunk) for chunk in chunks])
    found = []
    for file in files:
        kept = np.load(file)
        found.append(np.split(kept["samples"], np.cumsum(kept["lengths"])[:-1]))
    return found


def espeak(texts: list[str]) -> Iterator[Sound]:
    """Another synthetic voice, by its C interface."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(2, 0, espeakng_loader.get_data_path().encode(), 0)
    pieces: list[np.ndarray] = []
    heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

    @heard
    def listen(samples: ctypes._Pointer, count: int, _: ctypes.c_void_p) -> int:
        if samples and count:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768)
        return 0

    library.espeak_SetSynthCallback(listen)
    for number, voice in enumerate((b"en", b"en-us", b"de", b"fr", b"es", b"cmn")):
        library.espeak_SetVoiceByName(voice)
        library.espeak_SetParameter(3, 35 + 10 * (number % 4), 0)
        pieces.clear()
        for text in texts:
            coded = text.encode()
            library.espeak_Synth(coded, len(coded) + 1, 0, 1, 0, 1, None, None)
        library.espeak_Synchronize()
        yield np.concatenate(pieces), rate


def made_up(random: np.random.Generator) -> Iterator[Sound]:
    """Noises and chords."""
    for _ in range(50):
        white = random.standard_normal(SECONDS * RATE).astype(np.float32)
        yield 0.1 * white, RATE
        yield (0.02 * np.cumsum(white - white.mean()) / 10).astype(np.float32), RATE
        moments = np.arange(SECONDS * RATE) / RATE
        chord = sum(np.sin(2 * np.pi * tone * moments) / (1 + k) for k, tone in enumerate(random.uniform(80, 2000, 6)))
        beat = 0.6 + 0.4 * np.sin(2 * np.pi * random.uniform(0.5, 4) * moments)
        yield (0.1 * chord * beat).astype(np.float32), RATE


def recordings(folder: Path) -> Iterator[Sound]:
    """What lies in every folder below, joined: prompts are shorter than a piece."""
    for place in sorted({file.parent for file in folder.rglob("*.wav")}):
        rate, joined = 0, []
        for file in sorted(place.glob("*.wav")):
            samples, rate = load_audio(file, max_seconds=3600)
            joined.append(samples[0])
        yield np.concatenate(joined), rate


# Roads


def coded(format: str, bitrate: int) -> Callable[[Samples], Sound]:
    def through(samples: Samples) -> Sound:
        file = io.BytesIO()
        with SpeechWriter(file, format, RATE, Label("kokoro", ""), bitrate) as writer:
            writer.write(AudioChunk(samples, RATE))
        file.seek(0)
        decoded, rate = load_audio(file)
        return decoded[0], rate

    return through


def down_and_up(samples: Samples) -> Sound:
    return resample(resample(samples, RATE, 16000), 16000, 8000), 8000


def in_a_room(samples: Samples) -> Sound:
    """Half a second of decaying echoes, and the room's own brown noise 20 dB below the speech."""
    random = np.random.default_rng(7)
    length = RATE // 2
    echoes = 0.03 * random.standard_normal(length) * np.exp(-np.arange(length) / RATE / 0.08)
    echoes[0] = 1
    size = len(samples) + length
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(echoes, size), size)[: len(samples)]
    spectrum = np.fft.rfft(random.standard_normal(len(samples)))
    noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 50), len(samples))
    return (wet + 0.1 * noise * np.sqrt((wet**2).mean() / (noise**2).mean())).astype(np.float32), RATE


def quieter(samples: Samples) -> Sound:
    return (np.round(samples * 0.1 * 32767) / 32767).astype(np.float32), RATE


def at_tempo(samples: Samples) -> Sound:
    return np.concatenate([chunk.samples for chunk in stretched(iter([AudioChunk(samples, RATE)]), 1.05)]), RATE


ROADS: dict[str, Callable[[Samples], Sound]] = {
    "nothing, cut at random": lambda samples: (samples, RATE),
    "MP3 128 kbit/s": coded("mp3", 128),
    "MP3 64 kbit/s": coded("mp3", 64),
    "Opus 24 kbit/s": coded("opus", 24),
    "Opus 16 kbit/s": coded("opus", 16),
    "24 -> 16 kHz": lambda samples: (resample(samples, RATE, 16000), 16000),
    "24 -> 16 -> 8 kHz": down_and_up,
    "a tenth of the volume, 16 bits": quieter,
    "a room, its noise at 20 dB": in_a_room,
}
SPEEDS: dict[str, Callable[[Samples], Sound]] = {
    "played 5 % faster": lambda samples: (samples, round(1.05 * RATE)),
    "played 5 % slower": lambda samples: (samples, round(0.95 * RATE)),
    "tempo 5 % faster, same pitch": at_tempo,
}


async def called(speeches: list[Samples], kind: int) -> list[Sound]:
    """The speeches as so many telephones hear them from this project's own line, in real time."""
    from agent.settings import SipSettings
    from agent.transports.sip.endpoint import SipEndpoint
    from agent.transports.sip_line import SipTransport

    waiting = list(speeches)

    async def on_call(call: object) -> None:
        pcm = (np.clip(waiting.pop(0), -1, 1) * 32767).astype("<i2").tobytes()
        await bots.run(SipTransport(call, 0.0), bots.Listener(), say=TTSAudioRawFrame(pcm, RATE, 1))

    async def listen(phone: Softphone, seconds: float) -> Sound:
        await phone.invite(phone.sdp(f"{kind}"))
        await phone.speak(bytes(round(8000 * seconds)), kind)  # a phone that sends nothing is taken for dead
        await phone.bye()
        payload = b"".join(packet[4] for packet in sorted(phone.heard, key=lambda packet: packet[2]))
        if kind == 0:
            return linear(payload).astype(np.float32), 8000
        return np.asarray(G722.G722(16000, 64000).decode(payload), np.float32) / 32768, 16000

    endpoint = SipEndpoint(SipSettings(listen="127.0.0.1:0", max_calls=len(speeches)), on_call)
    await endpoint.start()
    try:

        async def one(speech: Samples) -> Sound:
            async with Softphone(endpoint.wire.port) as phone:
                return await listen(phone, len(speech) / RATE + 1)

        return await asyncio.gather(*(one(speech) for speech in speeches))
    finally:
        await endpoint.close()


# Figures


def pieces(sound: Sound, seconds: float = SECONDS) -> Iterator[Samples]:
    samples, rate = sound
    length = round(seconds * rate)
    for start in range(round(START * rate), len(samples) - length + 1, round(EVERY * rate)):
        yield samples[start : start + length]


def judged(sounds: list[Sound], seconds: float = SECONDS, *, thorough: bool = False) -> list[Detection]:
    return [detect_samples(piece, sound[1], thorough=thorough) for sound in sounds for piece in pieces(sound, seconds)]


def told(name: str, found: list[Detection], other: list[Detection] | None = None) -> None:
    share = np.mean([one.mark is Mark.MARKED for one in found])
    scores = np.percentile([one.score for one in found], (1, 50))
    line = f"{name:34} {100 * share:6.1f} % of {len(found):4}; score of the worst in 100 {scores[0]:5.1f}"
    line += f", median {scores[1]:5.1f}"
    if other is not None:
        line += f"; without the mark {sum(one.mark is Mark.MARKED for one in other)} of {len(other)}"
    print(line, flush=True)


def marked(chunks: list[Samples]) -> Samples:
    mark = Watermark(RATE)
    return np.concatenate([mark.mark(chunk) for chunk in chunks])


def spectral_distance(one: Samples, other: Samples) -> float:
    """Log-spectral distance in dB over the frames within 50 dB of the loudest."""
    window = np.hanning(1024)
    power = [
        np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(samples, 1024)[::256] * window, axis=1)) ** 2
        for samples in (one, other)
    ]
    sounding = power[0].sum(axis=1) > 1e-5 * power[0].sum(axis=1).max()
    difference = 10 * np.log10((power[1] + 1e-9) / (power[0] + 1e-9))[sounding]
    return float(np.sqrt((difference**2).mean(axis=1)).mean())


def audibility(plain: list[Samples], said: list[Samples]) -> None:
    distance = np.mean([spectral_distance(samples, own) for samples, own in zip(plain, said, strict=True)])
    print(f"log-spectral distance {distance:.2f} dB", flush=True)
    if quality := dnsmos():
        before = [quality(resample(samples, RATE, 16000)) for samples in plain]
        after = [quality(resample(own, RATE, 16000)) for own in said]
        print(f"DNSMOS overall {np.mean(before):.3f} before, {np.mean(after):.3f} after", flush=True)
    engine, wrong, total = KokoroEngine.load(), [0, 0], 0
    for name, texts in (("lian", MANDARIN[:20]), ("rose", ENGLISH[:20])):
        recogniser = Recogniser(languages=("zh" if texts[0] in MANDARIN else "en",))
        voice = next(voice for voice in engine.voices() if voice.name == name)
        for text in texts:
            samples = spoken(engine, voice, text)
            for kind, own in enumerate((samples, Watermark(RATE).mark(samples))):
                wrong[kind] += errors(counted(recogniser.transcribe(resample(own, RATE, 16000)).text), counted(text))
            total += len(counted(text))
    print(f"misheard by Whisper base, of {total} syllables and words: {wrong[0]} before, {wrong[1]} after", flush=True)


def cost(chunks: list[list[Samples]]) -> None:
    seconds = sum(len(chunk) for each in chunks for chunk in each) / RATE
    Watermark(RATE)  # a synthesizer makes the noise when it begins
    first, began = [], time.process_time()  # of this process alone: others may use the machine
    for each in chunks:
        one = time.process_time()
        mark = Watermark(RATE)
        for number, chunk in enumerate(each):
            mark.mark(chunk)
            if not number:
                first.append(time.process_time() - one)
    spent = (time.process_time() - began) / seconds
    print(f"cost {spent:.4f} of real time on one core; the first chunk {1000 * max(first):.1f} ms later at most")


def unmarked(folder: Path | None) -> None:
    """False alarms in what others made."""
    others: dict[str, list[Sound]] = {
        "espeak-ng": list(espeak([*MANDARIN[:20], *ENGLISH[:20]])),
        "noise and chords": list(made_up(np.random.default_rng(1))),
    }
    if folder is not None:
        others["recordings"] = list(recordings(folder))
    alarms = total = 0
    for name, sounds in others.items():
        found = judged([(np.pad(samples, (round(START * rate), 0)), rate) for samples, rate in sounds])
        called_marked = sum(one.mark is Mark.MARKED for one in found)
        doubtful = sum(one.mark is Mark.UNKNOWN for one in found)
        highest = max(one.score for one in found)
        print(
            f"{name:34} without a mark: {called_marked} marked, {doubtful} doubtful of {len(found)}; best {highest:.2f}"
        )
        alarms, total = alarms + called_marked, total + len(found)
    print(f"together {alarms} of {total}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("@outputs/mark"))
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--seconds", type=int, default=60, help="of every voice in either language")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of " + ", ".join(PARTS))
    options = parser.parse_args()
    parts = options.parts.split(",")
    options.work.mkdir(parents=True, exist_ok=True)
    rendered = renderings(options.work)
    plain = [np.concatenate(chunks) for chunks in rendered]
    said = [marked(chunks)[: options.seconds * RATE] for chunks in rendered]
    plain = [samples[: options.seconds * RATE] for samples in plain]
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}; false alarms allowed: {FALSE_ALARM:g}")
    cost(rendered)
    if "roads" in parts:
        for name, road in ROADS.items():
            told(name, judged([road(own) for own in said]), judged([road(samples) for samples in plain]))
        told("nothing, pieces of 3 s", judged([(own, RATE) for own in said], 3))
    if "calls" in parts:
        for kind, codec in ((0, "G.711"), (9, "G.722")):
            told(f"{codec}, by SIP", judged(asyncio.run(called([own[: 30 * RATE] for own in said[:CALLS]], kind))))
    if "speeds" in parts:
        for name, road in SPEEDS.items():
            told(f"{name}, thorough", judged([road(own[: 12 * RATE]) for own in said], thorough=True))
    if "others" in parts:
        unmarked(options.recordings)
    if "audible" in parts:
        audibility(plain, said)


if __name__ == "__main__":
    logger.remove()
    main()
