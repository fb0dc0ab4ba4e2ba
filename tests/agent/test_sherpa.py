import asyncio

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from agent.pipeline import load_ears
from agent.settings import Settings
from tests.agent.speech import pcm
from tts_service.engine import SpeechError

pytest.importorskip("sherpa_onnx")
WORDS = ["<unk>", "<|zh|>", "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>", "▁好"]


@pytest.fixture
def folder(tmp_path):
    """A SenseVoice model that hears 好 in everything."""
    n = len(WORDS)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["flat"]),
        helper.make_node("Add", ["flat", "b"], ["speech"]),
        helper.make_node("Concat", ["prefix", "speech"], ["logits"], axis=1),
        helper.make_node("Identity", ["x_length"], ["_1"]),
        helper.make_node("Identity", ["language"], ["_2"]),
        helper.make_node("Identity", ["text_norm"], ["_3"]),
    ]
    constants = {
        "w": np.zeros((560, n), np.float32),
        "b": np.eye(n, dtype=np.float32)[5],
        "prefix": np.eye(n, dtype=np.float32)[None, 1:5],
    }
    whole = [helper.make_tensor_value_info(n, TensorProto.INT32, ["N"]) for n in ("x_length", "language", "text_norm")]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T", 560]), *whole],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", "L", n])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    numbers = {
        "vocab_size": n, "lfr_window_size": 7, "lfr_window_shift": 6, "normalize_samples": 0, "version": 1,
        "with_itn": 14, "without_itn": 15, "model_type": "sense_voice_ctc",
        "lang_auto": 0, "lang_zh": 3, "lang_en": 4, "lang_yue": 7, "lang_ja": 11, "lang_ko": 12,
        "neg_mean": ",".join(["0"] * 560), "inv_stddev": ",".join(["1"] * 560),
    }  # fmt: skip
    helper.set_model_props(model, {name: str(value) for name, value in numbers.items()})
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "tokens.txt").write_text("".join(f"{word} {n}\n" for n, word in enumerate(WORDS)), encoding="utf-8")
    return tmp_path


def ears(folder, engine="sensevoice"):
    return load_ears(Settings.load(overrides=[f"ears.engine={engine}", f"ears.model={folder}"]).ears)


async def test_a_folder_of_the_users_hears(folder):
    recogniser = ears(folder)
    sound = pcm(np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1)
    for hear in (recogniser.hear, recogniser.glimpse):
        transcript = await asyncio.wait_for(hear(sound, 16000), 20)
        assert (transcript.text, transcript.language) == ("好", "zh")
    recogniser.close()


def test_what_is_missing_is_told(folder):
    (folder / "model.onnx").write_bytes(without_metadata(folder / "model.onnx"))
    with pytest.raises(SpeechError, match=r"is no paraformer model .* lacks inv_stddev"):
        ears(folder, "paraformer")
    (folder / "model.onnx").write_bytes(b"nonsense")
    with pytest.raises(SpeechError, match="is no ONNX model"):
        ears(folder)
    (folder / "tokens.txt").unlink()
    with pytest.raises(SpeechError, match=r"lacks tokens\.txt"):
        ears(folder)
    with pytest.raises(SpeechError, match=r"needs ears\.model"):
        load_ears(Settings.load(overrides=["ears.engine=sensevoice"]).ears)


def without_metadata(file):
    model = onnx.load(file)
    del model.metadata_props[:]
    return model.SerializeToString()
