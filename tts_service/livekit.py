"""The voice as a plugin of LiveKit Agents: `AgentSession(tts=LiveKitTTS(voice), ...)`.

Needs the package `livekit-agents` (extra `livekit`). Sound begins with the first clause of an answer that is still
being written, its transcript is aligned to the character, and closing the stream stops the engine within a step.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
from livekit.agents import APIConnectOptions, APIError, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, TimedString
from livekit.agents.utils import shortuuid

from tts_service.engine import Busy, SpeechError, SynthesisOptions, Voice
from tts_service.speech.captions import Caption, Captions
from tts_service.speech.synthesizer import Synthesizer

MAX_LEAD = 10.0
"""Seconds of speech made ahead of the listener; LiveKit's own queue holds no more back."""


class TTS(tts.TTS):
    """Speaks for LiveKit's agents.

    Args:
        synthesizer: From `tts_service.load`, once per process; every session shares it, and the caller closes it.
        voice: Name; None: the engine's default.
        speed: Tempo factor, 0.25 to 4.
        language: `zh` or `en`: how numbers are read where the text does not tell; None: decide from the text.

    Raises:
        UnknownVoice: There is no such voice.
        SpeechError: The tempo or the language is none.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        *,
        voice: str | Voice | None = None,
        speed: float = 1.0,
        language: str | None = None,
    ) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True, aligned_transcript=True),
            sample_rate=synthesizer.sample_rate,
            num_channels=1,
        )
        self.synthesizer = synthesizer
        self.voice = synthesizer.voice(voice)
        self.options = SynthesisOptions(speed=speed, language=language)

    @property
    def model(self) -> str:
        """The engine's name."""
        return self.synthesizer.engine.name

    @property
    def provider(self) -> str:
        """This project."""
        return "pipecat-glm-tts"

    def update_options(
        self, *, voice: str | Voice | None = None, speed: float | None = None, language: str | None = None
    ) -> None:
        """Change how the next answers are spoken; what is left out stays.

        Raises:
            UnknownVoice: There is no such voice; nothing has been changed then.
            SpeechError: The tempo or the language is none; likewise.
        """
        options = SynthesisOptions(
            speed=self.options.speed if speed is None else speed, language=language or self.options.language
        )
        self.voice = self.voice if voice is None else self.synthesizer.voice(voice)
        self.options = options

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a text that is complete."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        """Speak a text that is still being written."""
        return _Stream(self, conn_options)


class _Stream(tts.SynthesizeStream):
    """One answer."""

    def __init__(self, voice: TTS, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=voice, conn_options=conn_options)
        self._plugin = voice

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        plugin, captions, told = self._plugin, Captions(), 0
        rate = plugin.sample_rate
        output_emitter.initialize(
            request_id=shortuuid(), sample_rate=rate, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id=shortuuid())

        async def deltas() -> AsyncIterator[str | None]:
            async for piece in self._input_ch:
                self._mark_started()
                if isinstance(piece, str):
                    captions.text += piece
                yield piece if isinstance(piece, str) else None

        def tell(ended: list[Caption]) -> None:
            """A transcript is made of these: what stands between two characters belongs to the second."""
            nonlocal told
            for caption in ended:
                upto = caption.offset + len(caption.text)
                output_emitter.push_timed_transcript(
                    TimedString(captions.text[told:upto], start_time=caption.start, end_time=caption.end)
                )
                told = upto

        try:
            chunks = plugin.synthesizer.astream(
                deltas(),
                plugin.voice,
                speed=plugin.options.speed,
                language=plugin.options.language,
                max_lead=MAX_LEAD,
            )
            async with aclosing(chunks):
                async for chunk in chunks:
                    tell(captions.push(chunk))
                    samples = (np.clip(chunk.samples, -1, 1) * 32767).round().astype("<i2")
                    output_emitter.push(samples.tobytes())
            tell(captions.end())
            if rest := captions.text[told:]:
                second = captions.seconds
                output_emitter.push_timed_transcript(TimedString(rest, start_time=second, end_time=second))
        except SpeechError as error:
            raise APIError(str(error), retryable=isinstance(error, Busy)) from error
        output_emitter.end_segment()
