"""Ears for those who bring a SenseVoice or Paraformer model: sherpa-onnx, which is quick and strong in Chinese."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError, StopSignal
from tts_service.voices.recogniser import SAMPLE_RATE, Listener, Transcript


class SherpaRecogniser(Listener):
    """A SenseVoice or Paraformer model that conversations share.

    Args:
        engine: `sensevoice` or `paraformer`.
        model: A folder as sherpa-onnx publishes them: model.onnx or model.int8.onnx, and tokens.txt.
        languages: What may be heard; with one, SenseVoice is told.
        threads: Cores that one transcription may use.

    Raises:
        SpeechError: sherpa-onnx or the model is missing, or the model is another one.
    """

    def __init__(
        self, engine: str, model: Path | None, *, languages: Sequence[str] = ("zh", "en"), threads: int = 2
    ) -> None:
        super().__init__()
        try:
            import sherpa_onnx
        except ImportError as error:
            raise SpeechError(
                tr(
                    "ears.engine {engine} needs sherpa-onnx ({error}); pip install sherpa-onnx",
                    engine=engine,
                    error=error,
                )
            ) from None
        if model is None:
            raise SpeechError(
                tr("ears.engine {engine} needs ears.model: a folder with model.onnx and tokens.txt", engine=engine)
            )
        weights = next((file for name in ("model.int8.onnx", "model.onnx") if (file := model / name).is_file()), None)
        tokens = model / "tokens.txt"
        if weights is None or not tokens.is_file():
            raise SpeechError(
                tr(
                    "ears.model {folder} lacks {missing}",
                    folder=model,
                    missing="tokens.txt" if weights else "model.onnx",
                )
            )
        check(engine, weights)
        self._languages = tuple(languages)
        common: dict[str, Any] = {"tokens": str(tokens), "num_threads": threads}
        make = sherpa_onnx.OfflineRecognizer
        if engine == "sensevoice":
            language = languages[0] if len(languages) == 1 else "auto"
            self._model = make.from_sense_voice(model=str(weights), language=language, use_itn=True, **common)
        else:
            self._model = make.from_paraformer(paraformer=str(weights), **common)

    def transcribe(
        self,
        samples: NDArray[np.float32],
        gone: StopSignal | None = None,
        language: str | None = None,
        likely: str | None = None,
    ) -> Transcript:
        """Transcribe, blocking; as `Listener.transcribe`."""
        if gone is not None and gone():
            return Transcript("", self._languages[0], 1.0, 0.0)
        stream = self._model.create_stream()
        stream.accept_waveform(SAMPLE_RATE, samples)
        self._model.decode_stream(stream)
        text = stream.result.text.strip()
        said = str(getattr(stream.result, "lang", "")).strip("<|>")
        hanzi = any("\u4e00" <= char <= "\u9fff" for char in text)
        found = said if said in self._languages else "zh" if hanzi or "en" not in self._languages else "en"
        return Transcript(text if any(char.isalnum() for char in text) else "", language or found, 0.0, 0.0)

    def transcribe_glimpse(
        self, samples: NDArray[np.float32], gone: StopSignal | None = None, likely: str | None = None
    ) -> Transcript:
        """As `transcribe`, which is quick enough."""
        return self.transcribe(samples[-2 * SAMPLE_RATE :], gone)


def check(engine: str, weights: Path) -> None:
    """Look at a model before sherpa-onnx does, which ends the process at what it does not understand.

    Raises:
        SpeechError: It is no ONNX file, or of another kind.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(weights), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises several
        raise SpeechError(tr("ears.model {file} is no ONNX model: {error}", file=weights, error=error)) from None
    known = session.get_modelmeta().custom_metadata_map
    wanted = {"lfr_window_size", "lfr_window_shift", "neg_mean", "inv_stddev"}
    wanted |= {"lang_auto", "with_itn"} if engine == "sensevoice" else {"vocab_size"}
    if missing := sorted(wanted - known.keys()):
        raise SpeechError(
            tr(
                "ears.model {file} is no {engine} model for sherpa-onnx: it lacks {missing}",
                file=weights,
                engine=engine,
                missing=", ".join(missing),
            )
        )
