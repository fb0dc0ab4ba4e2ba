import os
import stat

import pytest

from tts_service import SpeechError
from tts_service.files import published


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_others_may_read_it_as_any_new_file(tmp_path, mask, mode):
    """A cache that one account fills serves the next, where the umask of the first lets it."""
    before = os.umask(mask)
    try:
        with published(tmp_path / "cache") as partial:
            partial.write_bytes(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == mode


def test_writers_of_one_file_do_not_meet(tmp_path):
    target = tmp_path / "file"
    with published(target) as slow:
        slow.write_bytes(b"slow")
        with published(target) as quick:
            quick.write_bytes(b"quick")
        assert target.read_bytes() == b"quick"
    assert target.read_bytes() == b"slow"
    assert list(tmp_path.iterdir()) == [target]


def test_a_place_that_is_gone_stays_gone(tmp_path):
    """The folder of a voice that has been removed does not come back with a cache in it."""
    target = tmp_path / "gone" / "file"
    with pytest.raises(SpeechError, match=r"gone.file cannot be written \(No such file"), published(target) as partial:
        partial.write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []
