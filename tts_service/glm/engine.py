"""The GLM-TTS engine: a pronunciation in, speech in a cloned voice out, while it is being made."""

from __future__ import annotations

import gc
import math
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loguru import logger
from numpy.typing import NDArray
from torch import Tensor

import g2p
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
    UnknownVoice,
    Voice,
)
from tts_service.glm import hift, memory
from tts_service.glm.checkpoint import VOCODER_32K, CheckpointError, require
from tts_service.glm.cuda import usual_device, warm_up
from tts_service.glm.decode import GROUP, Decoder, Limits, SpeechHead, speech_tokens
from tts_service.glm.download import checkpoint_folder
from tts_service.glm.fetch import Fetch
from tts_service.glm.flow import STEPS, Flow, load_flow, solve, whole_size
from tts_service.glm.flow_graph import FlowGraphs
from tts_service.glm.flow_pool import FramePool
from tts_service.glm.flow_stream import FRAMES, Chunking, FlowStream, FlowVoice, frame_noise, stream_size, voice_size
from tts_service.glm.graphs import Recorder, cuda_recorder
from tts_service.glm.hift_graph import HiFTGraphs, HiFTWindow
from tts_service.glm.hift_stream import HiFTStream
from tts_service.glm.lm import SpeechLM, load_head, load_lm
from tts_service.glm.memory import Room
from tts_service.glm.noise import Purpose
from tts_service.glm.pacing import Pacer, syllables
from tts_service.glm.prompt import Turn, prompt_ids, recall
from tts_service.glm.sampling import Sampling
from tts_service.glm.scheduler import TOGETHER, Scheduler, Segment
from tts_service.glm.speaker import SpeakerEncoder
from tts_service.glm.speech_tokenizer import SpeechTokenizer, load_speech_tokenizer
from tts_service.glm.tokenizer import TextTokenizer
from tts_service.glm.vocoder import Tempo, VocoderStream, Vocos2D, Vocos2DStream
from tts_service.glm.voice import FeatureCache, VoiceFeatures, listen
from tts_service.reference import MAX_SECONDS
from tts_service.voices import Library, load_recording

CONTEXT = 4096
"""Positions in a sequence's KV cache: reference, 30 s of history, the text and the longest answer to it."""
_BLOCK = 4
_GENEROUS = 1.2
"""How much longer than the reference's pace suggests a segment is taken to be."""
_BOUNDLESS = 10**9
"""Bytes of past in fixed shapes where no bound is asked for: on a CPU, for comparison."""
_VOICES_KNOWN = 64
"""Voices whose features are remembered, a megabyte each at most. Worked-through prompts stay while there is room."""


def _decoder(lm: SpeechLM, head: SpeechHead, slots: int | None) -> Decoder:
    """One block size for all steps, so that nobody's tokens depend on how many others there are."""
    on_gpu = lm.device.type == "cuda"
    if slots is None:
        slots = memory.slots(torch.cuda.mem_get_info(lm.device)[0] + memory.NETWORKS) if on_gpu else _BLOCK
    block = slots if on_gpu else _BLOCK  # a GPU reads the weights for one row as fast as for all
    rows = -(-slots // block) * block
    return Decoder(lm, head, lm.new_cache(rows, CONTEXT + GROUP), blocks=[block])  # a group may run on past the end


@dataclass(slots=True)
class Models:
    """Everything that was read from a checkpoint, and who is being worked on with it."""

    text: TextTokenizer
    lm: SpeechLM
    head: SpeechHead
    flow: Flow
    hift: hift.HiFT
    vocos: Callable[[], Vocos2D]
    """Opened when 32 kHz is first asked for, and not before: it is a program."""
    listener: SpeechTokenizer
    speaker: SpeakerEncoder
    scheduler: Scheduler
    room: Room
    """What the voices and the streams of the flow may take."""
    graphs: FlowGraphs | None
    """What chunks of the flow are worked on with in fixed shapes; None: as they come."""
    windows: HiFTGraphs | None
    """The same of the 24 kHz vocoder."""
    sound: torch.cuda.Stream | None
    """Of the vocoder, so that the next chunk of the flow need not wait for it; None on a CPU."""

    @property
    def flow_device(self) -> torch.device:
        """Where the flow is."""
        return next(self.flow.parameters()).device

    @classmethod
    def read(
        cls,
        root: Path,
        device: torch.device,
        slots: int | None,
        chunking: Chunking,
        progress: Callable[[str, float], None],
        room: int | None = None,
        precise: bool = False,
        fixed: bool | None = None,
    ) -> Models:
        """Read a checkpoint; progress is told the part and the share done."""
        if not root.is_dir():
            raise CheckpointError(
                tr("there is no checkpoint in {root}; fetch it with `glm-tts download --to {root}`", root=root)
            )
        progress(tr("text tokenizer"), 0.0)
        text = TextTokenizer(root / "vq32k-phoneme-tokenizer")
        progress(tr("language model"), 0.02)
        # the authors measured no loss in the language model at 16 bits, and unclear speech in the flow
        lm = load_lm(root / "llm", torch.bfloat16 if device.type == "cuda" else torch.float32, device)
        if text.speech.end >= lm.config.vocab_size or text.speech.first + 32768 > lm.config.vocab_size:
            raise CheckpointError(
                tr(
                    "{root}: tokenizer and language model do not belong together: ids go beyond the vocabulary",
                    root=root,
                )
            )
        progress(tr("flow"), 0.7)
        flow = load_flow(root / "flow", device)
        if precise:
            flow.estimator.rounded, flow.past_dtype = False, torch.float32
        if flow.config.speech_token_cfg or flow.spk_embed_affine_layer is not None or not flow.config.spkr_emb_adaLN:
            raise CheckpointError(
                tr("{root}: only the released variant of the flow can stream", root=root / "flow" / "config.yaml")
            )
        progress(tr("vocoder"), 0.85)
        vocoder = hift.load_hift(root / "hift", device)
        vocos = cache(partial(Vocos2D, root / VOCODER_32K, device))
        progress(tr("speech tokenizer"), 0.9)
        listener = load_speech_tokenizer(root / "speech_tokenizer")  # waits on the CPU; see `listen`
        speaker = SpeakerEncoder(require(root, "**/campplus.onnx")[0])
        head = SpeechHead(lm, text.speech, load_head(root / "llm") if device.type == "cuda" else None)
        decoder = _decoder(lm, head, slots)
        on_gpu = device.type == "cuda"
        sound = torch.cuda.Stream(device) if on_gpu else None
        size: float = math.inf if room is None else room
        if on_gpu and room is None:
            torch.cuda.empty_cache()
            size = torch.cuda.mem_get_info(device)[0] - memory.WORK
        graphs = windows = None
        if on_gpu if fixed is None else fixed:
            graphs, windows, size = in_fixed_shapes(flow, vocoder, chunking, size, cuda_recorder if on_gpu else None)
        if on_gpu:
            told = partial(_warming, progress)
            warm_up(decoder, flow, vocoder, chunking, told, sound=sound, graphs=graphs, windows=windows)
        scheduler = Scheduler(decoder, flight=1 if on_gpu else 0)
        progress(tr("ready"), 1.0)
        return cls(
            text, lm, head, flow, vocoder, vocos, listener, speaker, scheduler, Room(size), graphs, windows, sound
        )


def _warming(progress: Callable[[str, float], None], share: float) -> None:
    progress(tr("warm-up"), 0.92 + 0.08 * share)


def in_fixed_shapes(
    flow: Flow, vocoder: hift.HiFT, chunking: Chunking, size: float, record: Callable[[], Recorder] | None
) -> tuple[FlowGraphs, HiFTGraphs, int]:
    """What works in shapes that can be recorded, with a pool for the past of all voices and streams.

    Args:
        flow: The model.
        vocoder: The model.
        chunking: How utterances will be cut.
        size: Bytes for the past; what else voices and streams keep is a tenth of it at most and has its place there.
        record: Makes a recorder for each; None: nothing is recorded.

    Returns:
        Both, and the bytes of the pool.
    """
    sizes, device = flow.estimator.sizes, next(flow.parameters()).device
    frame = FramePool.frame_size(sizes, STEPS, flow.past_dtype)
    pool = FramePool(sizes, STEPS, int(0.9 * min(size, _BOUNDLESS) // frame), device, flow.past_dtype)
    past = FRAMES * round(25 * MAX_SECONDS + chunking.window)
    graphs = FlowGraphs(flow, chunking.lengths, past, pool, TOGETHER, record() if record else None)
    return graphs, HiFTGraphs(vocoder, TOGETHER, record() if record else None), pool.left * frame


@dataclass(slots=True)
class _ReadyVoice:
    """A voice that has been listened to."""

    key: str
    features: VoiceFeatures
    turn: Turn
    pace: float
    """Seconds per syllable."""
    flows: dict[int, FlowVoice] = field(default_factory=dict)
    """By output rate; made when first needed."""
    size: int = 0
    """Bytes of each of them."""
    speaking: int = 0
    """Segments that are spoken with it now."""


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
        self._ready: OrderedDict[str, _ReadyVoice] = OrderedDict()
        self._listening: dict[str, Iterator[None]] = {}

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
            progress: Told what is being read and how far it is, 0 to 1.

        Raises:
            SpeechError: A file is missing or damaged, or the device does not exist.
        """
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
        read = partial(Models.read, root, place, slots, cut, report, room, precise, fixed)
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
        self._models = None
        self._ready.clear()
        self._listening.clear()
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
        models = self._loaded()
        if (ready := (yield from self._heard(voice, should_stop))) is None:
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
        if not (yield from self._enter(ready, rate, size, bool(history), should_stop)):
            return
        try:
            if (flow_voice := self._flow_voice(ready, rate, should_stop)) is None:
                return
            stream = FlowStream(flow_voice, seed, self._chunking, expected)
            segment = Segment(prompt, limits, options.sampling, seed, stream, should_stop)
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
        if not (yield from self._lent(size, partial(self._make_room, size), True, should_stop)):
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
        with torch.cuda.stream(models.sound):  # where what it keeps is used and freed
            tempo, vocoder = Tempo(options.speed), self._vocoder(rate, seed)
        pacer = Pacer(pronunciation, pace / options.speed)
        samples = 0

        def sound(mel: Tensor, last: bool) -> Fetch:
            if models.sound:
                models.sound.wait_stream(torch.cuda.current_stream(mel.device))
                mel.record_stream(models.sound)
            with torch.cuda.stream(models.sound):
                return Fetch(vocoder.push(tempo.push(mel, last), last))

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
                mel = models.scheduler.advance(segment)
                if should_stop():
                    return
                if mel is None:
                    yield QUEUED if segment.waited is None else BREATH
                    continue
                last = segment.finished
                wave = sound(mel, last)
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

    def _heard(self, voice: Voice, should_stop: StopSignal) -> Generator[AudioChunk, None, _ReadyVoice | None]:
        """A voice that has been listened to; None if that was stopped."""
        if voice.folder is None:
            raise UnknownVoice(tr("{name!r} has no recording; add one with `glm-tts voices add`", name=voice.name))
        card = Library(voice.folder.parent).card(voice.folder.name)
        key = f"{voice.folder} {card.sha256} {card.transcript}"
        while key not in self._ready:
            # everyone who waits for the voice does a piece of the work, for all of them
            for _ in self._listening.setdefault(key, self._listen(key, voice.folder, card.transcript)):
                yield BREATH
                if should_stop():
                    return None
            self._listening.pop(key, None)
        self._ready.move_to_end(key)
        return self._ready[key]

    def _listen(self, key: str, folder: Path, transcript: str) -> Iterator[None]:
        """Get a voice ready, piece by piece."""
        models = self._loaded()
        recording = Library(folder.parent).audio(folder.name)
        cached = FeatureCache(folder, recording, self._identity)
        if (features := cached.read()) is None:
            sound = load_recording(recording)
            size = sum(tensor.numel() * tensor.element_size() for tensor in models.listener.parameters())
            on_device = models.room.take(size)
            try:
                place = models.lm.device if on_device else torch.device("cpu")
                features = yield from listen(*sound, models.listener, models.speaker, place)
            finally:
                if on_device:
                    models.room.give(size)
            cached.write(features)
        said = g2p.analyze(transcript)
        # the published prompt ends in a space, which keeps the two texts apart
        text = models.text.encode(encode(said, "off") + " ")
        turn = Turn(tuple(text), tuple(features.tokens.tolist()))
        size = voice_size(models.flow, len(features.tokens))
        self._ready[key] = _ReadyVoice(key, features, turn, features.seconds / max(1.0, syllables(said)), size=size)
        idle = [known for known, ready in self._ready.items() if not ready.speaking and not ready.flows]
        for known in idle[: max(0, len(self._ready) - _VOICES_KNOWN)]:
            del self._ready[known]

    def _enter(
        self, ready: _ReadyVoice, rate: int, size: int, ahead: bool, should_stop: StopSignal
    ) -> Generator[AudioChunk, None, bool]:
        """Wait until there is room for a stream and, if it is not there yet, its voice; False if that was stopped.

        Whoever is in the middle of an utterance comes before those who begin one. Voices with which nobody speaks make
        room, the one that was used longest ago first.
        """

        def has_room() -> bool:
            return self._make_room(size if rate in ready.flows else size + ready.size, (ready, rate))

        if not (yield from self._lent(size + ready.size, has_room, ahead, should_stop)):
            return False
        ready.speaking += 1
        self._ready[ready.key] = ready
        return True

    def _lent(
        self, most: int, has_room: Callable[[], bool], ahead: bool, should_stop: StopSignal
    ) -> Generator[AudioChunk, None, bool]:
        """Wait in line until `has_room`, for `most` bytes at most; False if that was stopped."""
        room = self._loaded().room
        if most > room.size:
            raise SpeechError(
                tr(
                    "this voice and a segment of this length take {size:,.1f} MB beside the networks; there are "
                    "{room:,.1f} MB. Use a shorter reference or shorter sentences",
                    size=most / 1e6,
                    room=room.size / 1e6,
                )
            )
        place = room.line_up(ahead)
        try:
            while not (room.is_first(place) and has_room()):
                if should_stop():
                    return False
                yield QUEUED
        finally:
            room.leave(place)
        return True

    def _make_room(self, needed: int, keep: tuple[_ReadyVoice, int] | None = None) -> bool:
        """Take so many bytes, if need be from voices that nobody speaks with but the one to keep, at its rate."""
        room = self._loaded().room
        for other in list(self._ready.values()):
            for made in [made for made in other.flows if not other.speaking and (other, made) != keep]:
                if needed > room.free:
                    del other.flows[made]
                    room.give(other.size)
        return room.take(needed)

    def _flow_voice(self, ready: _ReadyVoice, rate: int, should_stop: StopSignal) -> FlowVoice | None:
        """The voice for an output rate; None if it was stopped before it was ready."""
        if rate not in ready.flows:
            flow, place = self._loaded().flow, self._loaded().flow_device
            features = ready.features
            try:
                made = FlowVoice(
                    flow,
                    features.tokens,
                    features.mels[rate].to(place),
                    features.speaker.to(place),
                    should_stop,
                    self._loaded().graphs,
                )
                if made.complete:
                    ready.flows[rate] = made
            finally:
                if rate not in ready.flows:
                    self._loaded().room.give(ready.size)
            if not made.complete:
                return None
        return ready.flows[rate]

    def _vocoder(self, rate: int, seed: int) -> VocoderStream:
        models = self._loaded()
        if rate != hift.RATE:
            return Vocos2DStream(models.vocos())
        return HiFTWindow(models.windows, seed) if models.windows else HiFTStream(models.hift, seed)
