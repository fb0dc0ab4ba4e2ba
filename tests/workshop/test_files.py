import errno
import io
import os
import resource
import socket
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tts_service.tone_engine import ToneEngine
from tests.workshop.test_audio_file import chunks
from tts_service import SpeechError, Synthesizer
from tts_service.files import check_writable, published
from tts_service.workshop.audio_file import save
from tts_service.workshop.label import Label

ROOT = Path(__file__).resolve().parents[2]
LABEL = Label("kokoro", "lan", "task", "me", "2026-01-02T03:04:05+08:00")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("GLM_TTS_LANG", "en")


@contextmanager
def room_for(size):
    """Every file of this process may have so many bytes: the write after that fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# Plain files


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_others_may_read_it_as_any_new_file(tmp_path, mask, mode):
    """A cache that one account fills serves the next, where the umask of the first lets it."""
    before = os.umask(mask)
    try:
        with published(tmp_path / "cache") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == mode


def test_what_glm_tts_hears_in_a_voice_is_open_to_others(tmp_path):
    torch = pytest.importorskip("torch")
    from tts_service.glm.listening.voice import FeatureCache, VoiceFeatures

    (tmp_path / "reference.wav").write_bytes(b"x")
    cache = FeatureCache(tmp_path, tmp_path / "reference.wav", "model")
    before = os.umask(0o022)
    try:
        cache.write(
            VoiceFeatures(torch.arange(2), torch.ones(192), {24000: torch.ones(4, 80), 32000: torch.ones(4, 80)})
        )
    finally:
        os.umask(before)
    [file] = tmp_path.glob(".glm-*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert cache.read().tokens.tolist() == [0, 1]


def test_writers_of_one_file_do_not_meet(tmp_path):
    target = tmp_path / "file"
    with published(target) as slow:
        slow.write(b"slow")
        with published(target) as quick:
            quick.write(b"quick")
        assert target.read_bytes() == b"quick"
    assert target.read_bytes() == b"slow"
    assert list(tmp_path.iterdir()) == [target]


def test_a_place_that_is_gone_stays_gone(tmp_path):
    """The folder of a voice that has been removed does not come back with a cache in it."""
    target = tmp_path / "gone" / "file"
    with pytest.raises(SpeechError, match=r"gone.file cannot be written \(No such file"), published(target) as file:
        file.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_keeps_its_mode_and_a_link_its_target(tmp_path):
    target, link = tmp_path / "folder" / "file.wav", tmp_path / "link.wav"
    target.parent.mkdir()
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    save(link, chunks(), 24000, LABEL)
    assert link.is_symlink()
    assert soundfile.info(target).frames == 24000
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(target.parent.iterdir()) == [target]


def test_a_link_to_nothing_yet_leads_to_the_new_file(tmp_path):
    (tmp_path / "link.wav").symlink_to(tmp_path / "new.wav")
    save(tmp_path / "link.wav", chunks(), 24000, LABEL)
    assert (tmp_path / "link.wav").is_symlink()
    assert soundfile.info(tmp_path / "new.wav").frames == 24000


def test_a_name_of_255_bytes(tmp_path):
    path = tmp_path / ("长" * 83 + "ab.wav")
    assert len(path.name.encode()) == 255
    save(path, chunks(), 24000, LABEL)
    assert soundfile.info(path).frames == 24000
    with pytest.raises(SpeechError, match="shorter name"):
        save(tmp_path / ("长" * 83 + "abc.wav"), chunks(), 24000, LABEL)


def test_a_single_file_mounted_into_a_container_is_rewritten(tmp_path, monkeypatch):
    """It cannot be replaced: the kernel says that it is busy."""
    target = tmp_path / "dictionary"
    target.write_bytes(b"old")
    before = target.stat().st_ino

    def busy(*_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "replace", busy)
    with published(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new"
    assert target.stat().st_ino == before
    assert list(tmp_path.iterdir()) == [target]


# What is no plain file


def test_a_pipe_gets_the_speech_while_it_is_made_and_stays_a_pipe(tmp_path):
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(fifo.read_bytes()), daemon=True)
    reader.start()
    save(fifo, chunks(), 24000, LABEL)
    reader.join(10)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert soundfile.read(io.BytesIO(heard[0]), dtype="int16")[0].size >= 24000


def test_a_device_is_written_to_and_never_replaced(tmp_path):
    null = tmp_path / "null"
    try:
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        null.write_bytes(b"")
    except OSError:
        pytest.skip("devices cannot be made here")
    save(null, chunks(), 24000, LABEL, "wav")
    assert stat.S_ISCHR(null.stat().st_mode)
    assert list(tmp_path.iterdir()) == [null]


def test_a_full_device_says_so(tmp_path):
    full = tmp_path / "full"
    try:
        os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        full.open("wb").close()
    except OSError:
        pytest.skip("devices cannot be made here")
    for format in ("wav", "mp3", "opus", "flac"):
        with pytest.raises(SpeechError, match=r"full cannot be written \(No space left on device\); make room"):
            save(full, chunks(), 24000, LABEL, format)
    assert stat.S_ISCHR(full.stat().st_mode)


def test_a_disk_is_refused(tmp_path):
    disk = tmp_path / "disk"
    try:
        os.mknod(disk, stat.S_IFBLK | 0o600, os.makedev(7, 200))
    except OSError:
        pytest.skip("devices cannot be made here")
    with pytest.raises(SpeechError, match="it is a disk"):
        save(disk, chunks(), 24000, LABEL, "wav")
    with pytest.raises(SpeechError, match="it is a disk"):
        check_writable(disk)


def test_a_socket_is_spoken_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket has 107 bytes at most
    heard = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        listener.listen()

        def listen():
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:
                heard.append(file.read())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        save(Path("s"), chunks(), 24000, LABEL, "pcm")
        thread.join(10)
    assert len(heard[0]) == 48000


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_the_shells_descriptors_are_written_to(name, tmp_path):
    script = (
        "from tests.workshop.test_files import *\n"
        f"save(Path({name!r}), chunks(), 24000, LABEL, 'wav')\nprint('after', flush=True)"
    )
    command = [sys.executable, "-c", script]
    piped = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    assert piped[:4] == b"RIFF"
    assert piped.endswith(b"after\n")
    with (tmp_path / "redirected").open("wb") as file:
        subprocess.run(command, cwd=ROOT, stdout=file, check=True)
    written = (tmp_path / "redirected").read_bytes()
    assert int.from_bytes(written[written.index(b"data") + 4 :][:4], "little") == 48000, "a file has its lengths"
    with (tmp_path / "appended").open("wb") as file:
        file.write(b"before")
        file.flush()
        subprocess.run(command, cwd=ROOT, stdout=file, check=True)
    assert (tmp_path / "appended").read_bytes() == b"before" + piped


@pytest.mark.parametrize("target", ["/", ".", "folder"])
def test_a_folder_is_no_file(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for way in (lambda: save(Path(target), chunks(), 24000, LABEL, "wav"), lambda: check_writable(Path(target))):
        with pytest.raises(SpeechError, match="name a file in it"):
            way()


def test_a_reader_that_leaves_is_told_apart_from_a_place_that_cannot_be_written(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: fifo.open("rb").close(), daemon=True)
    reader.start()

    def write():
        with published(fifo) as file:
            reader.join(10)
            file.write(b"x")

    with pytest.raises(BrokenPipeError):
        write()


# Full disks, at every place that writes


def a_voice(tmp_path):
    from tts_service.voices.library import Library

    soundfile.write(tmp_path / "me.wav", np.sin(np.arange(96000) / 20) * 0.5, 24000)
    yield
    Library(tmp_path / "library").add(tmp_path / "me.wav", name="me", transcript="x", consent="x")


def a_file(tmp_path):
    yield
    save(tmp_path / "new" / "x.wav", chunks(), 24000, LABEL)


def a_compressed_file(tmp_path):
    yield
    save(tmp_path / "x.opus", chunks(20), 24000, LABEL)


def an_archive(tmp_path):
    from tests.workshop.test_batch import batch, write

    with Synthesizer(ToneEngine()) as tone:
        work = batch(tmp_path, write(tmp_path / "tasks.jsonl", {"input_text": "一"}), tone)
        list(work.run())
        yield
        work.archive()


def a_report(tmp_path):
    from tests.workshop.test_batch import batch, write

    with Synthesizer(ToneEngine()) as tone:
        tasks = write(tmp_path / "tasks.jsonl", *({"input_text": "一", "voice": "nobody"} for _ in range(99)))
        yield
        list(batch(tmp_path, tasks, tone).run())


def a_cache(tmp_path):
    from tts_service.kokoro.model import model_file

    yield
    model_file(tmp_path)


def unpacked_recordings(tmp_path):
    import zipfile

    from tts_service.workshop.unpack import unpack_recordings

    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("a.wav", bytes(200_000))
    yield
    unpack_recordings(tmp_path / "in.zip", tmp_path / "out")


@pytest.mark.parametrize("size", [0, 4096, 9000])
@pytest.mark.parametrize(
    "write", [a_voice, a_file, a_compressed_file, an_archive, a_report, a_cache, unpacked_recordings]
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, write, size):
    steps = write(tmp_path)
    next(steps)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(SpeechError, match="File too large") as told, room_for(size):
        next(steps)
    assert "\n" not in str(told.value)
    assert str(tmp_path) in str(told.value) or "in.zip" in str(told.value)
    left = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert all(path.name == "report.jsonl" for path in left)


def test_a_full_disk_ends_the_record_and_not_the_call(tmp_path):
    from agent.record import CallRecord

    record = CallRecord(tmp_path, "sip")
    with room_for(300):
        for i in range(20):
            record.note("heard", {"text": f"第{i}句"})
        record.note("finished", {})
    assert (record.folder / "call.json").stat().st_size <= 300
    with room_for(0):
        assert CallRecord.begun(tmp_path, "sip") is None


# Told beforehand


def test_places_that_will_not_do_are_known_before_anything_is_made(tmp_path):
    (tmp_path / "file").write_text("x")
    check_writable(tmp_path / "new" / "deep" / "x.wav")
    check_writable(tmp_path / "file")
    with pytest.raises(SpeechError, match="Not a directory"):
        check_writable(tmp_path / "file" / "x.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
