"""The model's files: joined once, checked, replaceable, and never half written."""

import errno
import hashlib
import multiprocessing
import os
import time

import pytest

from tts_service.cache import cache_directory
from tts_service.engine import SpeechError
from tts_service.files import published
from tts_service.kokoro.derived import derive
from tts_service.kokoro.model import MODEL_NAME, MODEL_SHA256, model_file
from tts_service.voices.recogniser import packaged_model


def test_joins_the_parts_once(stock, cache):
    assert hashlib.sha256(stock.read_bytes()).hexdigest() == MODEL_SHA256
    written = stock.stat().st_mtime_ns
    assert model_file(cache) == stock
    assert stock.stat().st_mtime_ns == written


def test_repairs_a_damaged_copy(tmp_path):
    (tmp_path / MODEL_NAME).write_bytes(b"half a model")
    assert hashlib.sha256(model_file(tmp_path).read_bytes()).hexdigest() == MODEL_SHA256


def test_uses_a_local_copy_and_checks_it(stock, tmp_path):
    assert model_file(tmp_path, stock) == stock
    assert model_file(tmp_path, stock.parent) == stock
    other = tmp_path / "other.onnx"
    other.write_bytes(b"something else")
    with pytest.raises(SpeechError, match=r"other\.onnx: SHA-256 is .* expected 6e742170d309"):
        model_file(tmp_path, other)
    with pytest.raises(SpeechError, match="cannot be read"):
        model_file(tmp_path, tmp_path / "missing.onnx")


def test_names_the_unwritable_cache_and_the_remedy(tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.touch()
    monkeypatch.setenv("GLM_TTS_CACHE", str(blocker / "cache"))
    with pytest.raises(SpeechError, match=r"file/cache cannot be written .*GLM_TTS_CACHE"):
        cache_directory()


def test_a_full_cache_may_be_read_only(engine, stock, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("GLM_TTS_CACHE", str(cache))
    ears = packaged_model()

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", read_only)
    assert cache_directory() == cache
    assert model_file(cache) == stock
    assert all(path.exists() for path in derive(lambda: stock, cache, lambda *_: None).paths())
    assert packaged_model() == ears
    for make in (model_file, lambda folder: derive(lambda: stock, folder, lambda *_: None)):
        with pytest.raises(SpeechError, match="GLM_TTS_CACHE"):
            make(tmp_path)
    monkeypatch.setenv("GLM_TTS_CACHE", str(tmp_path))
    with pytest.raises(SpeechError, match="GLM_TTS_CACHE"):
        packaged_model()


def test_a_failed_build_leaves_nothing(tmp_path):
    def interrupted():
        with published(tmp_path / "graph.onnx") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_two_processes_prepare_the_same_cache(tmp_path):
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        first, second = pool.map(_prepare, [tmp_path, tmp_path])
    assert first == second
    assert {path.name for path in tmp_path.iterdir()} == {MODEL_NAME, *first}


def _prepare(cache):
    derived = derive(lambda: model_file(cache), cache, lambda stage, fraction: None)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in derived.paths()}


def test_builds_the_same_bytes_again(stock, cache, tmp_path):
    stages = []
    again = derive(lambda: stock, tmp_path, lambda stage, fraction: stages.append(fraction))
    before = derive(lambda: stock, cache, lambda stage, fraction: None)
    assert stages == sorted(stages)
    assert stages
    assert [path.read_bytes() for path in again.paths()] == [path.read_bytes() for path in before.paths()]


def test_what_no_version_has_used_for_a_month_goes_when_something_is_built(stock, tmp_path):
    month = time.time() - 31 * 86400
    old = (
        "kokoro-front.onnx-0123456789ab",
        "kokoro-styling.npz-0123456789ab",
        ".kokoro-generator.onnx-0123456789ab.x1",
    )
    foreign = ("kokoro-front.onnx", "kokoro-front.onnx-backup", "holiday.jpg", MODEL_NAME)
    for name in (*old, *foreign, "kokoro-generator.onnx-0123456789ab"):
        (tmp_path / name).touch()
    for name in (*old, *foreign):
        os.utime(tmp_path / name, (month, month))
    made = derive(lambda: stock, tmp_path, lambda stage, fraction: None)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*foreign, "kokoro-generator.onnx-0123456789ab", *(path.name for path in made.paths())}

    os.utime(made.front, (month, month))
    derive(lambda: stock, tmp_path, lambda stage, fraction: None)
    assert made.front.stat().st_mtime > month + 86400, "a use must freshen the file"
