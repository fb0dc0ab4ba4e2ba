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


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_what_glm_tts_hears_in_a_voice_is_open_to_others(tmp_path):
    torch = pytest.importorskip("torch")
    from tts_service.glm.voice import FeatureCache, VoiceFeatures

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
