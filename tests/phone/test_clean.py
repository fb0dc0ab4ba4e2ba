import sys

import numpy as np
import pytest

from agent.settings import AudioSettings, SettingsError
from agent.transports.clean import CleanLine, clean_line

RATE = 8000
FRAME = RATE // 50


def voice(seconds, seed, pitch):
    """A buzz with syllables, [n] float64: enough like speech for a canceller."""
    dice = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * time))) / RATE
    buzz = sum(np.sin(k * phase + dice.uniform(0, 6)) / k for k in range(1, 12)) + 0.3 * dice.standard_normal(len(time))
    return 0.1 * buzz * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * time + dice.uniform(0, 6)))


def pcm(samples):
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


async def cleaned(near, far, settings):
    line, out = CleanLine(settings), []
    await line.start(RATE)
    for start in range(0, len(near) - FRAME + 1, FRAME):
        line.sent(pcm(far[start : start + FRAME]), RATE)
        out.append(await line.filter(pcm(near[start : start + FRAME])))
    return np.frombuffer(b"".join(out), "<i2") / 32768


def decibels(samples, reference):
    return 10 * np.log10((samples**2).mean() / (reference**2).mean())


async def test_the_agent_does_not_hear_itself_but_who_talks_over_it():
    far = voice(8, 1, 120)
    echo = 0.3 * np.concatenate([np.zeros(int(0.12 * RATE)), far])[: len(far)]
    user = np.zeros(len(far))
    user[6 * RATE :] = voice(2, 2, 210)
    out = await cleaned(echo + user, far, AudioSettings(echo_cancellation=True))
    alone, over = slice(3 * RATE, 6 * RATE), slice(6 * RATE, 8 * RATE - RATE // 10)
    assert decibels(out[alone], echo[alone]) < -15
    assert decibels(out[over], user[over]) > -6


async def test_noise_goes_and_the_pieces_keep_their_length():
    noise = 0.02 * np.random.default_rng(0).standard_normal(4 * RATE)
    out = await cleaned(noise, np.zeros(len(noise)), AudioSettings(noise_suppression=True))
    assert len(out) == len(noise)
    assert decibels(out[2 * RATE :], noise[2 * RATE :]) < -6


async def test_sound_that_comes_in_odd_pieces():
    line = CleanLine(AudioSettings(echo_cancellation=True))
    await line.start(RATE)
    line.sent(pcm(voice(1, 1, 120)), 24000)
    pieces = [await line.filter(pcm(np.zeros(n))) for n in (30, 60, 150)]
    assert [len(piece) // 2 for piece in pieces] == [0, 80, 160]


def test_nothing_is_cleaned_unless_asked():
    assert clean_line(AudioSettings()) is None
    assert isinstance(clean_line(AudioSettings(noise_suppression=True)), CleanLine)


@pytest.mark.parametrize("setting", ["echo_cancellation", "noise_suppression"])
def test_a_missing_library_is_named(setting, monkeypatch):
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(SettingsError, match="pip install pywebrtc-audio"):
        clean_line(AudioSettings(**{setting: True}))
