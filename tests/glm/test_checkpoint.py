"""A damaged or hostile checkpoint gives one clear error and runs nothing."""

import json
import os
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.glm.conftest import CHECKPOINT
from tts_service.engine import SpeechError
from tts_service.glm import GLMEngine
from tts_service.glm.cuda import usual_device
from tts_service.glm.language_model.lm import load_lm
from tts_service.glm.language_model.tokenizer import TextTokenizer
from tts_service.glm.published.checkpoint import (
    CheckpointError,
    Shards,
    fill,
    fold_weight_norm,
    read_flow_config,
    read_tensors,
)


@pytest.fixture
def checkpoint(tmp_path):
    """A copy in which single files can be replaced; the rest are links."""
    root = tmp_path / "checkpoint"
    shutil.copytree(CHECKPOINT, root, copy_function=link)
    return root


def link(source, target):
    try:
        os.link(source, target)
    except OSError:  # another file system, or another account's file
        shutil.copyfile(source, target)


def rewrite(path, content):
    path.unlink()
    path.write_bytes(content)


def edit_tensors(path, edit):
    if path.suffix == ".safetensors":
        tensors = load_file(path)
        edit(tensors)
        path.unlink()
        save_file(tensors, path)
    else:
        tensors = torch.load(path, weights_only=True)
        edit(tensors.get("model", tensors))
        path.unlink()
        torch.save(tensors, path)


def load(root):
    GLMEngine.load(root, voices=root / "voices", device="cpu")


FILES = {
    "llm/config.json": "llm/config.json",
    "llm/model.safetensors": "llm",
    "vq32k-phoneme-tokenizer/tokenizer.json": "tokenizer",
    "speech_tokenizer/config.json": "speech_tokenizer/config.json",
    "speech_tokenizer/model.safetensors": "speech_tokenizer",
    "flow/config.yaml": r"config\.yaml",
    "flow/flow.pt": "flow",
    "hift/hift.pt": "hift",
    "frontend/campplus.onnx": "campplus.onnx",
}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(checkpoint, name):
    (checkpoint / name).unlink()
    with pytest.raises(CheckpointError, match=FILES[name]):
        load(checkpoint)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.98])
def test_a_truncated_file_is_named(checkpoint, name, kept):
    content = (checkpoint / name).read_bytes()
    rewrite(checkpoint / name, content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match=FILES[name]):
        load(checkpoint)


@pytest.mark.parametrize("name", ["llm/model.safetensors", "flow/flow.pt", "hift/hift.pt", "frontend/campplus.onnx"])
def test_noise_instead_of_a_file_is_named(checkpoint, name):
    rewrite(checkpoint / name, bytes(range(256)) * 20)
    with pytest.raises(CheckpointError, match=FILES[name]):
        load(checkpoint)


TENSORS = {
    "llm/model.safetensors": "model.layers.1.self_attn.q_proj.weight",
    "speech_tokenizer/model.safetensors": "model.encoder.layers.0.fc1.weight",
    "flow/flow.pt": "estimator.transformer_blocks.1.attn.to_q.weight",
    "hift/hift.pt": "source_downs.1.weight",
}


def remove(tensors, name):
    del tensors[name]


def add(tensors, name):
    tensors[name + "_more"] = torch.zeros(3)


def misshape(tensors, name):
    tensors[name] = tensors[name][:-1].clone()


def retype(tensors, name):
    tensors[name] = tensors[name].to(torch.int32)


def poison(tensors, name):
    tensors[name][0] = float("nan")


@pytest.mark.parametrize("path", TENSORS)
@pytest.mark.parametrize(
    ("edit", "complaint"),
    [(remove, "missing"), (add, "unexpected"), (misshape, "shape"), (retype, "floating"), (poison, "NaN")],
)
def test_a_wrong_tensor_is_named_with_its_file(checkpoint, path, edit, complaint):
    name = TENSORS[path]
    edit_tensors(checkpoint / path, lambda tensors: edit(tensors, name))
    with pytest.raises(CheckpointError, match=complaint) as caught:
        load(checkpoint)
    assert name.removeprefix("model.encoder.") in str(caught.value)
    assert path.split("/")[1] in str(caught.value)


class Exploit:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("name", ["flow/flow.pt", "hift/hift.pt"])
@pytest.mark.parametrize("bare", [False, True])
def test_a_pickle_with_code_is_refused_and_not_run(checkpoint, tmp_path, name, bare):
    witness, path = tmp_path / "witness", checkpoint / name
    path.unlink()
    if bare:
        path.write_bytes(pickle.dumps(Exploit(witness)))
    else:
        torch.save({"model": {"weight": torch.zeros(1), "x": Exploit(witness)}}, path)
    with pytest.raises(CheckpointError, match="run code"):
        load(checkpoint)
    assert not witness.exists()


@pytest.mark.parametrize(
    "tag", ["!apply:os.mkdir", "!module:os", "!include:other.yaml", "!!python/object/apply:os.mkdir"]
)
def test_yaml_that_wants_to_run_code_is_refused_and_not_run(tmp_path, tag):
    witness, path = tmp_path / "witness", tmp_path / "config.yaml"
    path.write_text(f"flow: !new:flow.flow.Flow\n  vocab_size: 10\nother: {tag} [{witness}]\n")
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        read_flow_config(path)
    assert not witness.exists()


def test_yaml_references_and_wrong_values(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("rows: 77\nflow: !new:flow.flow.Flow\n  vocab_size: !ref <rows>\n  inner: !name:torch.nn.GELU\n")
    assert read_flow_config(path).vocab_size == 77
    for line in ("vocab_size: many", "vocab_size: -3", "spkr_emb_adaLN: 1", "mel_framerate: true"):
        path.write_text(f"flow:\n  {line}\n")
        with pytest.raises(CheckpointError, match=line.split(":")[0]):
            read_flow_config(path)


def test_weights_may_be_bare_in_shards_or_in_the_older_spelling(tmp_path):
    tensors = read_tensors([CHECKPOINT / "hift" / "hift.pt"])
    torch.save({"model": tensors}, tmp_path / "wrapped.pt")
    assert set(read_tensors([tmp_path / "wrapped.pt"])) == set(tensors)
    names = sorted(tensors)
    save_file({n: tensors[n] for n in names[:50]}, tmp_path / "a.safetensors")
    save_file({n: tensors[n] for n in names[50:]}, tmp_path / "b.safetensors")
    assert set(read_tensors([tmp_path / "a.safetensors", tmp_path / "b.safetensors"])) == set(tensors)
    older = {
        n.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): t
        for n, t in tensors.items()
    }
    new, old = fold_weight_norm(tensors), fold_weight_norm(older)
    assert new.keys() == old.keys()
    assert all(new[name].equal(old[name]) for name in new)
    reference = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(80, 32, 7))
    reference.load_state_dict({n.removeprefix("conv_pre."): t for n, t in tensors.items() if n.startswith("conv_pre.")})
    torch.testing.assert_close(new["conv_pre.weight"], reference.weight)


def test_a_safetensors_header_of_absurd_length_is_refused(checkpoint):
    rewrite(checkpoint / "llm" / "model.safetensors", struct.pack("<Q", 1 << 62) + b"{}")
    with pytest.raises(CheckpointError, match="damaged"):
        load(checkpoint)


def write_added(folder, contents):
    """`tokenizer_config.json` in the published form."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    decoder = {str(i): {"content": contents[i], **flags} for i in sorted(contents)}
    document = {"added_tokens_decoder": decoder, "tokenizer_class": "ChatGLM4Tokenizer", "model_max_length": 128000}
    (folder / "tokenizer_config.json").write_text(json.dumps(document))


def test_a_tokenizer_of_ranks_gives_the_ids_of_the_same_tokenizer_in_json(tmp_path):
    """The published folder holds `tokenizer.model`; the tiny one is rewritten in that form."""
    import base64

    source = CHECKPOINT / "vq32k-phoneme-tokenizer" / "tokenizer.json"
    document = json.loads(source.read_text())
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    byte_of = {chr(b): b for b in printable}
    byte_of |= {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in printable)}
    added = {entry["id"]: entry for entry in document["added_tokens"]}
    ranks = {i: bytes(byte_of[c] for c in t) for t, i in document["model"]["vocab"].items() if i not in added}
    (tmp_path / "tokenizer.model").write_bytes(
        b"".join(base64.b64encode(ranks[i]) + b" %d\n" % i for i in sorted(ranks))
    )
    # every speech token has to be listed here, for ids follow the order
    first = next(i for i, e in added.items() if e["content"] == "<|audio_0|>")
    for n in range(32768):
        added.setdefault(first + n, {"content": f"<|audio_{n}|>"})
    write_added(tmp_path, {i: entry["content"] for i, entry in added.items()})
    ours, theirs = TextTokenizer(tmp_path), TextTokenizer(source.parent)
    assert ours.speech == theirs.speech
    for text in ("你好，世界。", "<|X|><|IAN2|>外之音", "hello world", "𠮷野家", "重庆银行的行长。 "):
        assert ours.encode(text) == theirs.encode(text), text
    assert ours.encode("<|audio_12345|>") == [first + 12345]
    gap = {i + 5 if i >= first else i: entry["content"] for i, entry in added.items()}
    write_added(tmp_path, gap)
    assert TextTokenizer(tmp_path).speech.first == first + 5, "ids may be left out"
    assert TextTokenizer(tmp_path).encode("你好<|audio_12345|>") == [*theirs.encode("你好"), first + 5 + 12345]
    write_added(tmp_path, {**gap, 3: "<|surplus|>"})
    with pytest.raises(CheckpointError, match="id 3 is both"):
        TextTokenizer(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"not base64!\n")
    with pytest.raises(CheckpointError, match="line 1"):
        TextTokenizer(tmp_path)


def test_an_empty_or_absent_folder_says_how_to_fetch(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SpeechError, match="glm-tts download"):
            load(folder)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_shards_of_any_precision_make_the_same_model(tmp_path, dtype):
    whole = load_lm(CHECKPOINT / "llm")
    shutil.copy(CHECKPOINT / "llm" / "config.json", tmp_path)
    tensors = {name: tensor.to(dtype) for name, tensor in whole.state_dict().items()}
    names = sorted(tensors)
    for number, part in enumerate((names[::2], names[1::2]), 1):
        save_file({name: tensors[name] for name in part}, tmp_path / f"model-0000{number}-of-00002.safetensors")
    read = load_lm(tmp_path)
    for name, tensor in read.state_dict().items():
        assert tensor.dtype == torch.float32
        assert tensor.equal(tensors[name].float())


def test_a_sharded_model_is_never_held_twice(tmp_path):
    """Loading into 16 bits takes the 16 bits and one tensor, not the file."""
    size, count = 1 << 20, 64
    save_file({f"{number}.weight": torch.ones(1, size) for number in range(count)}, tmp_path / "a.safetensors")
    with torch.device("meta"):
        module = torch.nn.ModuleList(torch.nn.Linear(size, 1, bias=False) for _ in range(count))
    before = own_memory()
    fill(module, Shards([tmp_path / "a.safetensors"]), tmp_path, dtype=torch.bfloat16)
    assert own_memory() - before < 1.3 * 2 * size * count


def own_memory():
    """Bytes of this process that belong to no file and cannot be dropped."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def test_the_speaker_encoder_is_found_where_it_was_published(checkpoint):
    (checkpoint / "frontend" / "campplus.onnx").rename(checkpoint / "campplus.onnx")
    load(checkpoint)


def test_a_gpu_that_needs_a_newer_driver_is_not_replaced_by_the_cpu(monkeypatch):
    def init(message):
        def fail():
            raise RuntimeError(message)

        return fail

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init("The NVIDIA driver on your system is too old (found version 12020)."))
    with pytest.raises(SpeechError, match=r"too old.*device='cpu'"):
        GLMEngine.load(CHECKPOINT)
    monkeypatch.setattr(torch.cuda, "init", init("Found no NVIDIA driver on your system."))
    assert usual_device() == torch.device("cpu")
