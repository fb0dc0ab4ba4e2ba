import io
import stat
import zipfile
from contextlib import suppress

import pytest

from tts_service import SpeechError
from tts_service.workshop.unpack import MAX_FILE, MAX_FILES, unpack_recordings


def pack(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def contents(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_recordings_are_unpacked_and_the_rest_is_left(tmp_path):
    archive = pack(tmp_path / "a.zip", **{"a.wav": b"1", "中/b.MP3": b"2", "run.sh": b"3", "c.wav.exe": b"4"})
    written = unpack_recordings(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {"a.wav", "中/b.MP3"}
    assert {path.read_bytes() for path in written} == {b"1", b"2"}


@pytest.mark.parametrize(
    "name", ["../x.wav", "a/../../x.wav", "/x.wav", "..\\x.wav", "C:\\x.wav", "\\\\host\\share\\x.wav"]
)
def test_paths_that_lead_out_are_refused(tmp_path, name):
    archive = pack(tmp_path / "a.zip", **{"good.wav": b"1", name: b"2"})
    with pytest.raises(SpeechError, match="leads out"):
        unpack_recordings(archive, tmp_path / "in" / "out")
    assert contents(tmp_path) <= {"a.zip", "in/out/good.wav"}


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.wav")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(SpeechError, match="is a link"):
        unpack_recordings(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_defused_while_it_unpacks(tmp_path):
    """It says that it is small; what counts is what comes out."""
    archive = pack(tmp_path / "a.zip", **{"bomb.wav": bytes(MAX_FILE + (1 << 20))})
    assert archive.stat().st_size < 1 << 20
    with pytest.raises(SpeechError, match=r"bomb\.wav.*more than 64 MB"):
        unpack_recordings(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == set()


def test_many_files_are_refused(tmp_path):
    archive = pack(tmp_path / "a.zip", **{f"{i}.wav": b"" for i in range(MAX_FILES + 1)})
    with pytest.raises(SpeechError, match="at most 2000"):
        unpack_recordings(archive, tmp_path / "out")


def lying(data):
    """The archive, with a size of one byte stated for its only member."""
    start = data.rindex(b"PK\x01\x02") + 24
    return data[:start] + (1).to_bytes(4, "little") + data[start + 4 :]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive"])
def test_what_is_no_archive(tmp_path, content):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(SpeechError, match=r"a\.zip"):
        unpack_recordings(path, tmp_path / "out")


def test_a_stated_size_is_not_believed(tmp_path):
    buffer = io.BytesIO()
    pack(buffer, **{"a.wav": b"x" * 5000})
    path = tmp_path / "a.zip"
    path.write_bytes(lying(buffer.getvalue()))
    with suppress(SpeechError):
        unpack_recordings(path, tmp_path / "out")
    assert all(path.stat().st_size <= 5000 for path in (tmp_path / "out").rglob("*.wav"))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_flipped_bytes_are_told_in_a_sentence(tmp_path, method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("a.wav", bytes(range(64)) * 99)
    path = tmp_path / "a.zip"
    for position in range(len(buffer.getvalue())):
        content = bytearray(buffer.getvalue())
        content[position] ^= 0xFF
        path.write_bytes(content)
        with suppress(SpeechError):
            unpack_recordings(path, tmp_path / "out")


def test_rare_methods_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a.wav", b"x")
    with pytest.raises(SpeechError, match=r"a\.zip is packed by a rare method; pack it anew as an ordinary zip"):
        unpack_recordings(tmp_path / "a.zip", tmp_path / "out")
