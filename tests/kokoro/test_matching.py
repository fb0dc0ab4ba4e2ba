"""Voice matching, with speech that the model itself renders in the part of persons who are not among its voices."""

import numpy as np
import pyloudnorm
import pytest
import soundfile
from typer.testing import CliRunner

from g2p import analyze
from tts_service import SpeechError, SynthesisOptions, Synthesizer, UnknownVoice
from tts_service.audio import resample
from tts_service.cli.commands import app
from tts_service.engine import StopSignal
from tts_service.kokoro import KokoroEngine
from tts_service.kokoro.cast import packaged_voices, style_table, table_names
from tts_service.kokoro.matching.fitting import BETWEEN, guarded, spoken_together
from tts_service.kokoro.matching.intelligibility import SENTENCES, units
from tts_service.kokoro.matching.manner import Manner
from tts_service.kokoro.matching.matcher import (
    BLURRED,
    PROBES,
    ROUNDS,
    TONES,
    Match,
    Matcher,
    at_16k,
    nearest,
    prosody_features,
    tokens_of,
)
from tts_service.kokoro.matching.response import Heard, Response
from tts_service.kokoro.matching.space import TIMBRE, prosodies, timbres
from tts_service.kokoro.matching.speaker import SpeakerEncoder, mel, mel_filters
from tts_service.kokoro.matching.voices import Matched, matched_file
from tts_service.kokoro.rendering import Rendering
from tts_service.kokoro.tones import curves
from tts_service.kokoro.voice import style_row
from tts_service.voices.library import Library, speaker
from tts_service.voices.pitch import pitch

SEEN = ("我昨天去了一趟图书馆，借了三本书。", "He told me that the road was closed.")
UNSEEN = ("孩子们在院子里放风筝。", "The concert was better than I expected.")


@pytest.fixture(scope="module")
def matcher(cache):
    return Matcher.load(cache, threads=2)


@pytest.fixture(scope="module")
def person(matcher):
    """`person(texts, excitement)` -> samples at 16 kHz of somebody between two voices and a good way off."""
    noise = 0.35 * np.random.default_rng(5).normal(size=256) * np.append(timbres().unit, prosodies().unit)
    noise[128:] = 0

    def say(texts, excitement=0.0):
        said = []
        for text in texts:
            tokens = tokens_of(text)
            calm, lively = (style_row(style_table(name), len(tokens) - 2) for name in ("jm_kumo", "jf_tebukuro"))
            style = 0.55 * calm + 0.45 * lively + noise
            style[128:] += excitement * (lively - calm)[128:]
            rendering = matcher.renderer.render(tokens, style.astype(np.float32))
            said.append(resample(rendering.samples, 24000, 16000))
        return said

    return say


@pytest.fixture
def hasty(monkeypatch):
    """One round for those who care about the rest."""
    monkeypatch.setitem(ROUNDS, "fast", (1, 2))


@pytest.fixture(scope="module")
def library(person, cache, tmp_path_factory):
    """A library to which the command has added that person."""
    folder = tmp_path_factory.mktemp("library")
    recording = folder.parent / "somebody.wav"
    soundfile.write(recording, np.concatenate(person(SEEN)), 16000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LC_ALL", "C.UTF-8")
        patch.setenv("GLM_TTS_CACHE", str(cache))
        result = CliRunner().invoke(
            app, ["voices", "add", str(recording), "--consent", "nobody real", "--voices", str(folder)]
        )
    assert result.exit_code == 0, result.output
    assert "voice matching (embedded)" in result.output
    assert "GLM-TTS clones" in result.output
    return Library(folder)


@pytest.fixture(scope="module")
def synthesizer(library, cache):
    with Synthesizer(KokoroEngine.load(cache_dir=cache, voices=library.folder)) as synthesizer:
        yield synthesizer


@pytest.fixture(scope="module")
def listening(synthesizer):
    """An engine that knows the library."""
    return synthesizer.engine


def speak(engine, voice, texts=UNSEEN):
    chunks = [c for text in texts for c in engine.synthesize(analyze(text), voice, SynthesisOptions(), StopSignal())]
    return np.concatenate([chunk.samples for chunk in chunks])


def test_a_matched_voice_is_like_the_person_on_what_the_fit_never_heard(listening, person):
    encoder, matched = SpeakerEncoder(), listening.voices()[-1]
    assert matched.name == "somebody"
    wanted, heard = np.concatenate(person(UNSEEN)), resample(speak(listening, matched), 24000, 16000)
    likeness, packaged = (encoder.embed(wanted) @ them for them in (encoder.embed(heard), Response.load().packaged.T))
    print(f"\n{packaged.max():.3f} the nearest of all packaged voices, {likeness:.3f} the matched one")
    assert likeness > packaged.max() + 0.03
    assert abs(Manner.of(heard).pitch - Manner.of(wanted).pitch) < 3 / 12


def test_a_matched_voice_streams_as_the_stock_model_would_and_as_loud_as_the_others(
    library, listening, cache, mel_distance
):
    matched = listening.voices()[-1]
    whole = KokoroEngine.load(cache_dir=cache, voices=library.folder, whole=True)
    text = UNSEEN[:1]
    ours, stock = speak(listening, matched, text), speak(whole, whole.voices()[-1], text)
    whole.close()
    assert len(list(listening.synthesize(analyze(text[0]), matched, SynthesisOptions(), StopSignal()))) > 2
    assert mel_distance(ours, stock) < 0.4
    meter = pyloudnorm.Meter(24000)
    levels = [meter.integrated_loudness(speak(listening, voice)) for voice in (listening.voices()[0], matched)]
    assert abs(levels[0] - levels[1]) < 2


def test_the_packaged_voices_are_as_before(engine, listening):
    for ours, theirs in zip(engine.voices()[:2], listening.voices()[:2], strict=True):
        assert ours == theirs
        np.testing.assert_array_equal(speak(engine, ours, UNSEEN[:1]), speak(listening, theirs, UNSEEN[:1]))


def test_a_voice_without_its_match_is_told_how_to_get_one(library, listening, tmp_path):
    voice = library.voice("somebody")
    path = matched_file(voice.folder, library.card("somebody").sha256)
    aside = path.rename(tmp_path / path.name)
    try:
        assert listening.voices() == packaged_voices()
        with pytest.raises(SpeechError, match="glm-tts voices match somebody"):
            speak(listening, voice)
        path.write_bytes(b"PK\x03\x04 no archive")
        with pytest.raises(SpeechError, match="match the voice again: glm-tts voices match somebody"):
            speak(listening, voice)
    finally:
        aside.replace(path)
    assert Matched.load(path).quality == "fast"


def test_a_recorded_voice_that_nobody_matched_is_refused_by_name(library, synthesizer, tmp_path):
    other = Library(tmp_path)
    other.add(library.audio("somebody"), name="other", transcript="-", consent="nobody real")
    with pytest.raises(UnknownVoice, match=r"glm-tts voices match other.*--engine glm"):
        speaker(synthesizer, other, "other")
    assert speaker(synthesizer, library, "somebody").folder == library.folder / "somebody"


def test_excitement_carries_over(matcher, person, hasty):
    calm, excited = (
        matcher.match([np.concatenate(person(SEEN, excitement))], lambda stage, fraction: None)
        for excitement in (-0.2, 0.4)
    )
    low, high = (prosody_features(matcher.curves(style_table(m.base), m.delta[128:])) for m in (calm, excited))
    assert high[0] > low[0] + 0.25, "the excited voice is not higher"
    assert (
        Manner.of(np.concatenate(person(SEEN, 0.4))).pitch > Manner.of(np.concatenate(person(SEEN, -0.2))).pitch + 0.3
    )


def test_tempo_and_pauses_carry_over(matcher, person, hasty):
    first, second = person(SEEN)
    slow = [np.concatenate([s, np.zeros(9600, np.float32)]) for s in (resample(first, 16000, 20000), second)]
    hurried = np.concatenate([resample(first, 20000, 16000), np.zeros(2400, np.float32), second])
    calm, quick = (matcher.match([r], lambda stage, fraction: None) for r in (np.concatenate(slow), hurried))
    assert quick.rate > 1.02 * calm.rate  # the two start from different voices, each with a tempo of its own
    assert quick.pause < calm.pause


def test_equal_recordings_give_equal_voices(matcher, person, hasty):
    recordings = person(SEEN)
    matches = [matcher.match(recordings, lambda stage, fraction: None) for _ in range(2)]
    np.testing.assert_array_equal(matches[0].delta, matches[1].delta)


@pytest.mark.parametrize(("limit", "share"), [(1.0, 1.0), (0.6, 0.5), (0.1, 0.0)])
def test_a_voice_that_is_not_understood_is_weakened(limit, share):
    """A listener who understands nobody that has moved further than `limit` from a packaged voice."""

    class Mouth:
        def say(self, sentences, table, delta):
            said = [np.repeat([delta[0], i], 3000).astype(np.float32) for i in range(len(sentences))]
            return [Rendering(samples, *[np.zeros(0)] * 3, 0, *[np.zeros(0)] * 2) for samples in said]

        def embed(self, recordings):
            return np.ones(1)

    def transcribe(samples, language):
        step = 4000 + round(BETWEEN * 16000)
        each = [samples[i : i + step] for i in range(0, len(samples), step)]
        return " ".join(said[round(float(one[3200]))] if one[800] < limit + 0.05 else "嗯" for one in each)

    said = [text for _, texts in spoken_together(6) for text in texts]
    match = Match("jm_kumo", np.ones(256, np.float32), 1.0, 1.0, 0.5, 0.9)
    found, (_, after), renderings = guarded(match, Mouth(), [], transcribe, 6, lambda stage, fraction: None)
    assert found.delta[0] == pytest.approx(share)
    assert found.delta[-1] == 1  # prosody stays
    assert after == 0
    assert [one.samples[0] for one in renderings] == pytest.approx([share] * 6)


def test_the_response_proposes_what_it_expects_to_be_nearer_and_believes_what_it_hears():
    response, random = Response.load(), np.random.default_rng(3)
    somewhere, other = random.normal(size=(2, 40)) * timbres().spread @ timbres().directions
    start, pitch_of, weights = 0.7 * somewhere, 7.2, {"pull": 0.02, "colour": 0.02, "doubt": 0.05}
    wanted = response.predict(other, 7.8)
    proposed = response.propose(wanted, start, pitch_of, **weights)
    before, after = (response.predict(z, pitch_of).embedding @ wanted.embedding for z in (start, proposed))
    assert 1 - after < 0.5 * (1 - before)
    surprise = Heard(response.packaged[1], wanted.colour)
    doubtful = response.predict(proposed, pitch_of).embedding @ surprise.embedding
    response.observe(np.tile(proposed, (12, 1)), pitch_of, [surprise] * 12, [0, 1, 2] * 4)
    assert response.predict(proposed, pitch_of).embedding @ surprise.embedding > max(0.96, doubtful)
    away = response.propose(wanted, proposed, pitch_of, **weights)
    assert np.linalg.norm(away - proposed) > 0.3


def test_what_is_heard_on_the_way_leads_nearer():
    """A mouth that sounds as the response expects it of another timbre, some way off."""
    response, mouth, random = Response.load(), Response.load(), np.random.default_rng(4)
    off, wished = (random.normal(size=128) * length / 128**0.5 for length in (0.6, 0.7))
    wanted, nearness = mouth.predict(wished, 7.3), []
    guess = response.guess(wanted)
    for _ in range(6):
        proposed = response.propose(wanted, guess, 7.3, pull=0.02, colour=0.02, doubt=0.05)
        nearness.append(float(mouth.predict(proposed + off, 7.3).embedding @ wanted.embedding))
        tried = proposed + 0.03 * random.normal(size=(6, 128))
        response.observe(tried, 7.3, [mouth.predict(one + off, 7.3) for one in tried], [0, 1, 2] * 2)
    print(f"\n{np.round(nearness, 3)}")
    assert 1 - nearness[-1] < 0.6 * (1 - nearness[0])


def test_the_start_is_a_native_speaker_of_the_recordings_language_and_pitch():
    response = Response.load()
    places = {name: place for place, name in enumerate(table_names())}
    for name, language, expected in (
        ("zm_yunjian", "zh", "zm_yunjian"),
        ("zm_yunjian", "", "zm_yunjian"),
        ("am_michael", "en", "am_michael"),
        ("am_michael", "zh", "zm_"),
        ("jf_alpha", "", ("z", "a", "b")),
    ):
        likeness = response.packaged @ response.packaged[places[name]]
        assert nearest(response, likeness, response.pitches[places[name]], language).startswith(expected)


def test_a_native_speakers_prosody_is_left_alone_where_the_recording_agrees_with_it(matcher, hasty):
    table = style_table("zm_yunxi")
    said = [
        at_16k(matcher.renderer.render(tokens, style_row(table, len(tokens) - 2))) for tokens in map(tokens_of, SEEN)
    ]
    match = matcher.match(said, lambda stage, fraction: None, "zh")
    assert match.base == "zm_yunxi"
    assert np.abs(match.delta[TIMBRE:] / prosodies().unit).max() < 0.5


@pytest.mark.parametrize("name", ["zf_xiaoyi", "af_heart"])
def test_a_change_of_prosody_that_blurs_the_tones_is_weakened(matcher, name):
    response, random = Response.load(), np.random.default_rng(0)
    nothing, shaken = np.zeros(128), 2 * random.normal(size=128) * prosodies().unit
    np.testing.assert_array_equal(matcher.clear(name, response, [nothing, shaken]), nothing)
    kept = matcher.clear(name, response, [shaken, 0.5 * shaken, 0.05 * shaken])
    assert np.abs(kept).max() < np.abs(shaken).max()
    clarity = [
        response.teachers.clarity(
            name, curves(matcher.renderer, style_table(name) + np.append(nothing, moved).astype(np.float32), TONES)
        )
        for moved in (nothing, kept)
    ]
    assert clarity[1] >= clarity[0] - BLURRED


def test_a_match_tells_better_than_the_usual_step_that_short_sentences_are_one_persons(matcher):
    table, usual = style_table("af_heart"), SpeakerEncoder()
    said = [at_16k(one) for one in matcher.say([tokens_of(text) for text in PROBES[:4]], table, np.zeros(256))]
    close, far = (np.stack([embed(one) for one in said]) for embed in (lambda one: matcher.embed([one]), usual.embed))
    apart = np.triu_indices(len(said), 1)
    assert (close @ close.T)[apart].mean() > (far @ far.T)[apart].mean() + 0.01


def test_erhua_has_the_tone_of_its_syllable(matcher):
    features, tones = curves(matcher.renderer, style_table("zm_yunxi"), ["你去哪儿玩？", "这儿有花儿。"])
    assert tones.tolist() == [3, 4, 3, 2, 4, 3, 1]
    assert np.isfinite(features).all()


def test_the_packaged_voice_is_asked_about_what_was_misheard_and_no_more():
    """A listener who never understands the first three Chinese sentences, whoever says them."""
    asked = []

    class Mouth:
        def say(self, sentences, table, delta):
            asked.append((float(delta[0]), len(sentences)))
            return [Rendering(np.ones(6000, np.float32), *[np.zeros(0)] * 3, 0, *[np.zeros(0)] * 2) for _ in sentences]

        def embed(self, recordings):
            return np.ones(1)

    english = iter([text for text in SENTENCES[:6] if text.isascii()])

    def transcribe(samples, language):
        return "嗯" if language == "zh" else " ".join(english)

    match = Match("jm_kumo", np.ones(256, np.float32), 1.0, 1.0, 0.5, 0.0)
    found, (before, after), _ = guarded(match, Mouth(), [], transcribe, 6, lambda stage, fraction: None)
    assert (found.delta[0], found.after) == (1.0, 1.0)
    assert before == after > 10
    assert asked == [(1.0, 6), (0.0, 3)]


def test_the_mel_spectrum_is_librosas():
    import torch
    from faster_whisper.feature_extractor import FeatureExtractor

    samples = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    np.testing.assert_allclose(mel_filters(), FeatureExtractor.get_mel_filters(16000, 400, n_mels=40), atol=1e-6)
    window = torch.hann_window(400)
    spectrum = torch.stft(torch.tensor(samples), 400, 160, window=window, pad_mode="constant", return_complex=True)
    expected = mel_filters() @ spectrum.abs().square().numpy()
    np.testing.assert_allclose(mel(samples), expected.T, rtol=1e-3, atol=1e-3)


def test_pitch_is_the_models_own(matcher):
    for name in ("zf_xiaobei", "zm_yunxi", "af_heart", "jm_kumo"):
        table = style_table(name)
        tokens = tokens_of(UNSEEN[0])
        rendering = matcher.renderer.render(tokens, style_row(table, len(tokens) - 2))
        heard = pitch(resample(rendering.samples, 24000, 16000))
        true = rendering.pitch[np.minimum(np.arange(len(heard)) * 4 // 5, len(rendering.pitch) - 1)]
        both = (heard > 0) & (true > 50)
        assert both.sum() > 50
        assert np.median(np.abs(np.log2(heard[both] / true[both]))) < 0.05, name


def test_how_whisper_writes_a_number_is_no_mistake():
    assert units("火车晚点了20分钟。") == units("火车晚点了二十分钟。") != units("火车晚点了十分钟。")
    assert units("It takes 20 minutes.") == ["it", "takes", "twenty", "minutes"]
    assert units("热天的花儿") == ["re", "tian", "de", "hua", "er"]
