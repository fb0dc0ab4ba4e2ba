"""The GLM-TTS engine: a pronunciation in, speech in a cloned voice out, while it is being made."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger
from numpy.typing import NDArray
from torch import Tensor

from g2p.encode.glm import encode
from g2p.pronunciation import Pronunciation
from pipecat_glm_tts.wording import tr
from tts_service.engine import (
    BREATH,
    QUEUED,
    AudioChunk,
    Phrasing,
    SpeechError,
    StopSignal,
    SynthesisOptions,
    Voice,
)
from tts_service.glm.cuda import usual_device
from tts_service.glm.device.fetch import Fetch
from tts_service.glm.device.noise import Purpose
from tts_service.glm.flow_matching.flow import Solver, solve, whole_size
from tts_service.glm.flow_matching.stream import FRAMES, Chunking, FlowStream, frame_noise, stream_size
from tts_service.glm.language_model.decode import Limits, speech_tokens
from tts_service.glm.language_model.prompt import Turn, prompt_ids, recall
from tts_service.glm.language_model.sampling import Sampling
from tts_service.glm.listening.voice import VoiceFeatures
from tts_service.glm.models import CONTEXT, Models
from tts_service.glm.pacing import Pacer, syllables
from tts_service.glm.published.download import checkpoint_folder
from tts_service.glm.ready import ReadyVoices
from tts_service.glm.scheduler import Segment
from tts_service.glm.vocoding import hift
from tts_service.glm.vocoding.hift_graph import HiFTWindow
from tts_service.glm.vocoding.hift_stream import HiFTStream
from tts_service.glm.vocoding.sounding import Sounding
from tts_service.glm.vocoding.vocoder import Tempo, VocoderStream, Vocos2D, Vocos2DStream
from tts_service.voices.library import Library

_GENEROUS = 1.2
"""How much longer than the reference's pace suggests a segment is taken to be."""


class GLMEngine:
    """GLM-TTS with its published checkpoint. One engine serves many utterances, as one batch where it can."""

    name = "glm"
    sample_rate = hift.RATE
    phrasing = Phrasing(first_longest=60, sentence=30, longest=60, whole=True)
    """Whole sentences, together as long as the published code makes them: a prompt is read in one pass, so the first
    sound comes no sooner for a short text."""
    tempi = (0.5, 2.0)

    def __init__(self, models: Callable[[], Models], library: Library, identity: str, chunking: Chunking) -> None:
        self._read = models
        self._models: Models | None = None
        self._library, self._identity, self._chunking = library, identity, chunking
        self._voices: ReadyVoices | None = None

    @classmethod
    def load(
        cls,
        checkpoint: Path | str | None = None,
        *,
        voices: Path | str | None = None,
        device: str | None = None,
        slots: int | None = None,
        chunking: Chunking | None = None,
        room: int | None = None,
        precise: bool = False,
        fixed: bool | None = None,
        steps: int = 10,
        guided: int | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> GLMEngine:
        """Read a checkpoint.

        Args:
            checkpoint: The folder that `glm-tts download` fills; None: its default.
            voices: The voice library; None for the user's own.
            device: `cuda`, `cuda:1`, `cpu`, ...; None for the GPU if there is one.
            slots: Segments whose tokens are decoded at once; the rest wait. Each takes memory (`glm-tts doctor`). None:
                as many as the GPU has room for, 16 at most, else 4.
            chunking: How speech is cut into chunks.
            room: Bytes that voices and speech may take beside the networks; who finds none waits. None: on a GPU what
                is free, on a CPU no bound.
            precise: Round nothing in the flow, which a GPU otherwise computes in TF32 with its past in 16 bits:
                slower, twice the memory a stream, and by emulation within 0.1 dB of the rounded sound.
            fixed: Work on flow and vocoder in shapes that CUDA graphs can record, with the same result but for the
                order of sums. None: on a GPU; False there is the slower reference.
            steps: Of the flow's ODE, 10 as published. Fewer are faster, take less memory and change the sound
                (`docs/glm-roofline.md`).
            guided: How many of them, the first, are guided away from no voice in particular; None: all, as published.
            progress: Told what is being read and how far it is, 0 to 1.

        Raises:
            SpeechError: A file is missing or damaged, the device does not exist, or there cannot be so many steps.
        """
        solver = Solver(steps, steps if guided is None else guided)
        root = Path(checkpoint).expanduser() if checkpoint is not None else checkpoint_folder()
        try:
            place = torch.device(device) if device else usual_device()
            torch.zeros(1, device=place)
        except (RuntimeError, AssertionError) as error:
            first_line = str(error).splitlines()[0]
            raise SpeechError(
                tr(
                    "there is no device {device!r} here ({first_line}); use cuda or cpu",
                    device=device,
                    first_line=first_line,
                )
            ) from error
        library = Library(Path(voices).expanduser() if voices is not None else None)
        report = progress or (lambda stage, fraction: None)
        cut = chunking or Chunking()
        read = partial(
            Models.read, root, place, slots, cut, report, room=room, precise=precise, fixed=fixed, solver=solver
        )
        engine = cls(read, library, str(root.resolve()), cut)
        engine._loaded()
        return engine

    def voices(self) -> list[Voice]:
        """The voices of the library that are intact."""
        found = []
        for name in self._library.names():
            try:
                found.append(self._library.voice(name))
            except SpeechError as error:
                logger.warning(str(error))
        return found

    @property
    def sequences(self) -> int:
        """Segments being spoken now."""
        return self._models.scheduler.present if self._models else 0

    def synthesize(
        self,
        pronunciation: Pronunciation,
        voice: Voice,
        options: SynthesisOptions,
        should_stop: StopSignal,
        history: list[Any] | None = None,
    ) -> Iterator[AudioChunk]:
        """Speak one segment; see `tts_service.engine.Engine.synthesize`."""
        rate = options.sample_rate or self.sample_rate
        if rate not in (hift.RATE, Vocos2D.RATE):
            raise SpeechError(tr("GLM-TTS speaks at 24000 or 32000 Hz, not at {rate}; resample afterwards", rate=rate))
        if not pronunciation or should_stop():
            return
        try:
            yield from self._speak(pronunciation, voice, options, rate, should_stop, [] if history is None else history)
        except (torch.OutOfMemoryError, MemoryError) as error:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            raise SpeechError(
                tr(
                    "memory ran out while speaking; other utterances go on. Allow fewer at a time, or use a shorter "
                    "reference"
                )
            ) from error

    def unload(self) -> None:
        """Free the models' memory; the next utterance reads them again."""
        self._models = self._voices = None
        gc.collect()  # decoder and step hold each other
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Free everything."""
        self.unload()

    def _speak(
        self,
        pronunciation: Pronunciation,
        voice: Voice,
        options: SynthesisOptions,
        rate: int,
        should_stop: StopSignal,
        history: list[Any],
    ) -> Iterator[AudioChunk]:
        models, voices = self._loaded(), self._known()
        if (ready := (yield from voices.heard(voice, should_stop))) is None:
            return
        text = models.text.encode(encode(pronunciation))
        turns = recall([ready.turn, *history], len(text))
        prompt = prompt_ids(turns, text, models.text.speech.begin, models.text.speech.first)
        limits = Limits.of(len(text), options.max_length)
        if len(prompt) + limits.shortest > CONTEXT:
            raise SpeechError(
                tr("the segment is too long: {text_count} text ids; split it into sentences", text_count=len(text))
            )
        limits = Limits(limits.shortest, min(limits.longest, CONTEXT - len(prompt)))
        seed = options.seed % (1 << 63)  # counters are 64-bit
        if options.whole:
            segment = Segment(prompt, limits, options.sampling, seed, None, should_stop)
            yield from self._in_one_piece(segment, ready.features, pronunciation, options, rate, should_stop)
            if segment.finished and not should_stop():
                history[:] = [*turns[1:], Turn(tuple(text), tuple(segment.tokens))]
            return
        expected = round(_GENEROUS * 25 * ready.pace * syllables(pronunciation))
        size = stream_size(models.flow, self._chunking, expected, len(ready.features.tokens))
        if not (yield from voices.enter(ready, rate, size, bool(history), should_stop)):
            return
        try:
            if (flow_voice := voices.flow_voice(ready, rate, should_stop)) is None:
                return
            stream = FlowStream(flow_voice, seed, self._chunking, expected)
            with torch.cuda.stream(models.sound):  # where what it keeps is used and freed
                sounding = Sounding(Tempo(options.speed), self._vocoder(rate, seed), models.sound)
            segment = Segment(prompt, limits, options.sampling, seed, stream, should_stop, sounding)
            yield from self._sound(segment, pronunciation, options, rate, ready.pace, should_stop)
        finally:
            ready.speaking -= 1
            models.room.give(size)
        if segment.finished and not should_stop():
            history[:] = [*turns[1:], Turn(tuple(text), tuple(segment.tokens))]

    def _in_one_piece(
        self,
        segment: Segment,
        features: VoiceFeatures,
        pronunciation: Pronunciation,
        options: SynthesisOptions,
        rate: int,
        should_stop: StopSignal,
    ) -> Iterator[AudioChunk]:
        """Draw a segment's tokens, then work on all of them at once in the published order."""
        models, place = self._loaded(), self._loaded().flow_device
        models.scheduler.join(segment)
        try:
            while not segment.spoken:
                models.scheduler.advance(segment)
                if should_stop():
                    return
                yield QUEUED if segment.waited is None else BREATH
        finally:
            models.scheduler.leave(segment)
        if not segment.tokens:
            return
        heard, frames = len(features.tokens), FRAMES * len(segment.tokens)
        size = whole_size(models.flow, FRAMES * heard + frames)
        if not (yield from models.room.lent(size, partial(self._known().make_room, size), True, should_stop)):
            return

        def noise(total: int) -> Tensor:
            before = frame_noise(0, Purpose.FLOW_PROMPT, 0, FRAMES * heard, place)
            return torch.cat([before, frame_noise(segment.seed, Purpose.FLOW, 0, frames, place)], dim=1)[:, :total]

        try:
            mel, _ = solve(
                models.flow,
                torch.tensor(segment.tokens, device=place),
                features.tokens.to(place),
                features.mels[rate].to(place),
                features.speaker.to(place),
                noise,
                should_stop=should_stop,
            )
        finally:
            models.room.give(size)
        waves, vocoder = [], self._vocoder(rate, segment.seed)
        # in pieces: the vocoder needs 7 MB a frame for a moment
        pieces = Tempo(options.speed).push(mel, True).split(FRAMES * max(self._chunking.blocks), dim=2)
        for number, piece in enumerate(pieces, 1):
            yield BREATH
            if should_stop():
                return
            waves.append(vocoder.push(piece, number == len(pieces)).cpu().numpy())
        wave = np.concatenate(waves)
        pacer = Pacer(pronunciation, None)
        pacer.end_at(len(wave) / rate)
        yield AudioChunk(wave, rate, pacer.heard(len(wave) / rate, True))

    def _sound(
        self,
        segment: Segment,
        pronunciation: Pronunciation,
        options: SynthesisOptions,
        rate: int,
        pace: float,
        should_stop: StopSignal,
    ) -> Iterator[AudioChunk]:
        """Draw a segment's tokens and turn them into chunks."""
        models, seed = self._loaded(), segment.seed
        pacer = Pacer(pronunciation, pace / options.speed)
        samples = 0

        def audible(wave: NDArray[np.float32], last: bool) -> AudioChunk | None:
            nonlocal samples
            if segment.spoken:
                pacer.end_at(len(segment.tokens) / 25 / options.speed)
            samples += len(wave)
            timings = pacer.heard(samples / rate, last)
            return AudioChunk(wave, rate, timings) if len(wave) or timings else None

        if not options.kv_cache:
            for tokens in speech_tokens(
                models.lm,
                models.head,
                segment.prompt,
                segment.limits,
                Sampling(options.sampling),
                seed,
                should_stop,
                cache=None,
            ):
                segment.take(tokens)
                yield BREATH
            segment.say_no_more()
        models.scheduler.join(segment)
        try:
            while not segment.finished:
                wave = models.scheduler.advance(segment)
                if should_stop():
                    return
                if wave is None:
                    yield QUEUED if segment.waited is None else BREATH
                    continue
                assert isinstance(wave, Fetch)
                last = segment.finished
                if wave.under_way:
                    yield BREATH
                if chunk := audible(wave.result().numpy(), last):
                    yield chunk
        finally:
            models.scheduler.leave(segment)

    def _loaded(self) -> Models:
        if self._models is None:
            self._models = self._read()
        return self._models

    def _known(self) -> ReadyVoices:
        if self._voices is None:
            self._voices = ReadyVoices(self._loaded(), self._identity)
        return self._voices

    def _vocoder(self, rate: int, seed: int) -> VocoderStream:
        models = self._loaded()
        if rate != hift.RATE:
            return Vocos2DStream(models.vocos())
        return HiFTWindow(models.windows, seed) if models.windows else HiFTStream(models.hift, seed)
