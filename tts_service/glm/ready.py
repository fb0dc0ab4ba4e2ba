"""Voices that have been listened to, and the room that they and those who speak with them take."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

import g2p
from g2p.encode.glm import encode
from pipecat_glm_tts.wording import tr
from tts_service.engine import BREATH, AudioChunk, StopSignal, UnknownVoice, Voice
from tts_service.glm.flow_matching.stream import FlowVoice, voice_size
from tts_service.glm.language_model.prompt import Turn
from tts_service.glm.listening.voice import FeatureCache, VoiceFeatures, listen
from tts_service.glm.models import Models
from tts_service.glm.pacing import syllables
from tts_service.voices.library import Library, load_recording

_KNOWN = 64
"""Voices whose features are remembered, a megabyte each at most. Worked-through prompts stay while there is room."""


@dataclass(slots=True)
class ReadyVoice:
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


class ReadyVoices:
    """All voices that are known, the one that was used last at the end.

    Args:
        models: What listens to them.
        identity: Of the checkpoint, for features that are kept on disk.
    """

    def __init__(self, models: Models, identity: str) -> None:
        self._models, self._identity = models, identity
        self.known: OrderedDict[str, ReadyVoice] = OrderedDict()
        self._listening: dict[str, Iterator[None]] = {}

    def heard(self, voice: Voice, should_stop: StopSignal) -> Generator[AudioChunk, None, ReadyVoice | None]:
        """A voice that has been listened to; None if that was stopped."""
        if voice.folder is None:
            raise UnknownVoice(tr("{name!r} has no recording; add one with `glm-tts voices add`", name=voice.name))
        card = Library(voice.folder.parent).card(voice.folder.name)
        key = f"{voice.folder} {card.sha256} {card.transcript}"
        while key not in self.known:
            # everyone who waits for the voice does a piece of the work, for all of them
            for _ in self._listening.setdefault(key, self._listen(key, voice.folder, card.transcript)):
                yield BREATH
                if should_stop():
                    return None
            self._listening.pop(key, None)
        self.known.move_to_end(key)
        return self.known[key]

    def _listen(self, key: str, folder: Path, transcript: str) -> Iterator[None]:
        """Get a voice ready, piece by piece."""
        models = self._models
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
        self.known[key] = ReadyVoice(key, features, turn, features.seconds / max(1.0, syllables(said)), size=size)
        idle = [known for known, ready in self.known.items() if not ready.speaking and not ready.flows]
        for known in idle[: max(0, len(self.known) - _KNOWN)]:
            del self.known[known]

    def enter(
        self, ready: ReadyVoice, rate: int, size: int, ahead: bool, should_stop: StopSignal
    ) -> Generator[AudioChunk, None, bool]:
        """Wait until there is room for a stream and, if it is not there yet, its voice; False if that was stopped.

        Whoever is in the middle of an utterance comes before those who begin one. Voices with which nobody speaks make
        room, the one that was used longest ago first.
        """

        def has_room() -> bool:
            return self.make_room(size if rate in ready.flows else size + ready.size, (ready, rate))

        if not (yield from self._models.room.lent(size + ready.size, has_room, ahead, should_stop)):
            return False
        ready.speaking += 1
        self.known[ready.key] = ready
        return True

    def make_room(self, needed: int, keep: tuple[ReadyVoice, int] | None = None) -> bool:
        """Take so many bytes, if need be from voices that nobody speaks with but the one to keep, at its rate."""
        room = self._models.room
        for other in list(self.known.values()):
            for made in [made for made in other.flows if not other.speaking and (other, made) != keep]:
                if needed > room.free:
                    del other.flows[made]
                    room.give(other.size)
        return room.take(needed)

    def flow_voice(self, ready: ReadyVoice, rate: int, should_stop: StopSignal) -> FlowVoice | None:
        """The voice for an output rate; None if it was stopped before it was ready."""
        if rate not in ready.flows:
            models, features = self._models, ready.features
            place = models.flow_device
            try:
                made = FlowVoice(
                    models.flow,
                    features.tokens,
                    features.mels[rate].to(place),
                    features.speaker.to(place),
                    should_stop,
                    models.graphs,
                )
                if made.complete:
                    ready.flows[rate] = made
            finally:
                if rate not in ready.flows:
                    models.room.give(ready.size)
            if not made.complete:
                return None
        return ready.flows[rate]
