"""Resampling and filter banks: torchaudio's where it can be imported, and near enough to it where it cannot."""

import sys

import numpy as np
import pytest
import torch

from tests.glm.conftest import make_audio
from tts_service import audio
from tts_service.glm import exact
from tts_service.glm.listening import acoustics

SPEECH = make_audio(3, 16000, 1.5)


@pytest.fixture
def torchaudio(tmp_path, monkeypatch):
    """Installs a torchaudio of the given source for one test."""

    def install(source):
        for module in ("torchaudio", "torchaudio.functional", "torchaudio.compliance", "torchaudio.compliance.kaldi"):
            path = tmp_path.joinpath(*module.split("."), "__init__.py")
            path.parent.mkdir()
            path.write_text(source.get(module, ""))
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(tmp_path)
        acoustics._torchaudio.cache_clear()

    yield install
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]
    acoustics._torchaudio.cache_clear()


def relative_error(ours, theirs, rate, top):
    """Root mean square of the difference below `top` Hz over that of the signal."""
    window = np.hanning(len(theirs))
    ours, theirs = np.fft.rfft(ours * window), np.fft.rfft(theirs * window)
    band = np.fft.rfftfreq(len(window), 1 / rate) < top
    return np.linalg.norm((ours - theirs)[band]) / np.linalg.norm(theirs[band])


@pytest.mark.parametrize(("rate", "wanted"), [(24000, 16000), (44100, 16000), (44100, 24000), (16000, 32000)])
def test_soxr_agrees_with_the_published_resampler(rate, wanted):
    sound = make_audio(3, rate, 3.0)
    ours = audio.resample(sound, rate, wanted)
    published = exact.resample(torch.from_numpy(sound)[None], rate, wanted)[0].numpy()
    assert ours.dtype == np.float32
    assert len(ours) == len(published)
    assert relative_error(ours, published, wanted, 0.8 * min(rate, wanted) / 2) < 1e-3
    assert relative_error(ours, published, wanted, wanted) < 0.02


def test_every_channel_is_resampled_by_itself():
    both = np.stack([SPEECH, -0.5 * SPEECH])
    assert audio.resample(both, 16000, 24000).shape == (2, 36000)
    np.testing.assert_allclose(
        audio.resample(both, 16000, 24000)[1], -0.5 * audio.resample(SPEECH, 16000, 24000), atol=1e-6
    )


def test_the_real_torchaudio_agrees_with_what_stands_in_for_it():
    if acoustics._torchaudio() is None:
        pytest.skip("torchaudio is not installed, or cannot be imported beside this build of torch")
    np.testing.assert_allclose(acoustics.kaldi_fbank(SPEECH), acoustics.native_fbank(SPEECH), atol=5e-4)
    sound = make_audio(3, 44100, 3.0)
    theirs = acoustics.resample(sound, 44100, 16000)
    assert relative_error(audio.resample(sound, 44100, 16000), theirs, 16000, 6400) < 1e-3
    published = exact.resample(torch.from_numpy(sound)[None], 44100, 16000)[0].numpy()
    np.testing.assert_allclose(theirs, published, atol=2e-6)


def test_torchaudio_is_preferred_where_it_imports(torchaudio):
    torchaudio(
        {
            "torchaudio.functional": "def resample(x, rate, wanted): return x[..., :wanted // 100] + 1",
            "torchaudio.compliance.kaldi": "def fbank(x, **options): return x[:, :80] + len(options)",
        }
    )
    assert acoustics.provider() == "torchaudio"
    np.testing.assert_array_equal(acoustics.resample(SPEECH, 16000, 24000), SPEECH[:240] + 1)
    np.testing.assert_array_equal(acoustics.kaldi_fbank(SPEECH), SPEECH[None, :80] + 3)


@pytest.mark.parametrize("error", ["OSError", "ImportError", "RuntimeError"])
def test_a_torchaudio_that_does_not_load_is_done_without(torchaudio, error):
    torchaudio({"torchaudio": f"raise {error}('libc10_cuda.so: cannot open shared object file')"})
    assert acoustics.provider() == "soxr + kaldi-native-fbank"
    np.testing.assert_array_equal(acoustics.resample(SPEECH, 16000, 24000), audio.resample(SPEECH, 16000, 24000))
    np.testing.assert_array_equal(acoustics.kaldi_fbank(SPEECH), acoustics.native_fbank(SPEECH))
