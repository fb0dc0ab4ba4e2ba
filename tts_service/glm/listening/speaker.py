"""Who speaks: a 192-number vector from the CAM++ network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from pipecat_glm_tts.wording import tr
from tts_service.audio import Samples
from tts_service.glm.listening.acoustics import kaldi_fbank
from tts_service.glm.published.checkpoint import CheckpointError

DIMENSIONS = 192


class SpeakerEncoder:
    """CAM++ in ONNX Runtime, one thread; features and normalisation are part of the model."""

    def __init__(self, path: Path) -> None:
        _refuse_foreign_content(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            raise CheckpointError(
                tr(
                    "{path} is not a speaker encoder ({error}); fetch it again with `glm-tts download`",
                    path=path,
                    error=error,
                )
            ) from error
        self._path = path

    def embed(self, audio: Samples) -> NDArray[np.float32]:
        """Speaker vector [192], not normalised, of mono 16 kHz audio [n] in -1..1."""
        features = kaldi_fbank(audio)
        features = features - features.mean(axis=0, keepdims=True)
        vector = np.asarray(self._session.run(None, {self._session.get_inputs()[0].name: features[None]})[0]).reshape(
            -1
        )
        if vector.shape != (DIMENSIONS,) or not np.isfinite(vector).all():
            raise CheckpointError(
                tr(
                    "{path} answered with {shape} numbers; expected {dimensions} finite ones",
                    path=self._path,
                    shape=vector.shape[0],
                    dimensions=DIMENSIONS,
                )
            )
        return vector.astype(np.float32)


def _refuse_foreign_content(path: Path) -> None:
    """An ONNX file may point at other files or at operators from outside; the published one does neither."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (OSError, DecodeError) as error:
        raise CheckpointError(
            tr("{path} is not an ONNX file ({error}); fetch it again with `glm-tts download`", path=path, error=error)
        ) from error
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise CheckpointError(tr("{path} points at other files; the published speaker encoder does not", path=path))
    if foreign := {imported.domain for imported in model.opset_import} - {"", "ai.onnx", "ai.onnx.ml"}:
        raise CheckpointError(
            tr(
                "{path} needs foreign operators ({foreign}); the published speaker encoder does not",
                path=path,
                foreign=", ".join(sorted(foreign)),
            )
        )
