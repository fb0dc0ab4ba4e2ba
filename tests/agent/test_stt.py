import asyncio
import hashlib
import multiprocessing

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.utils.frame_queue import FrameQueue

from agent.ears.stt import FIRST_WORDS, WhisperSTT
from agent.turns.lull import LULL
from agent.turns.reaction import ReactionFrame, Reactions
from agent.turns.stop import NothingHeardFrame
from tests.agent.speech import SAMPLE_RATE, error_rate, noise, pcm, say, silence
from tests.pipeline import SleepFrame, run_test, until
from tts_service import SpeechError
from tts_service.voices import recogniser as recognition
from tts_service.voices.recogniser import Recogniser, Transcript, is_repetitive, packaged_model, pieces

QUESTION = "你好，请问今天天气怎么样？"


@pytest.fixture(scope="module")
def question(synthesizer):
    return say(synthesizer, QUESTION)


def test_chinese(recogniser, question):
    transcript = recogniser.transcribe(question)
    assert transcript.language == "zh"
    assert error_rate(transcript.text, QUESTION) < 0.3


def test_english(recogniser, synthesizer):
    transcript = recogniser.transcribe(say(synthesizer, "Hello, what time is it now?"))
    assert transcript.language == "en"
    assert error_rate(transcript.text, "Hello, what time is it now?") < 0.3


def test_a_shorter_window_hears_as_well(synthesizer, recogniser, question):
    long = Recogniser(window=30)
    for samples in (question, say(synthesizer, "我想听一个很长的故事。")):
        assert error_rate(recogniser.transcribe(samples).text, long.transcribe(samples).text) < 0.3
    long.close()


@pytest.fixture
def looks(recogniser, monkeypatch):
    """The windows that are looked at, in seconds."""
    looked, encode = [], recogniser._whisper.encode
    monkeypatch.setattr(
        recogniser._whisper, "encode", lambda features: looked.append(features.shape[-1] / 100) or encode(features)
    )
    return looked


def test_a_short_question_is_heard_in_two_thirds_of_the_window(recogniser, question, looks):
    assert error_rate(recogniser.transcribe(question).text, QUESTION) < 0.3
    assert looks == [8]


@pytest.mark.parametrize("doubt", ["certainty", "repetition", "nothing"])
def test_what_is_in_doubt_there_is_heard_again_in_all_of_it(recogniser, question, looks, monkeypatch, doubt):
    if doubt == "certainty":
        monkeypatch.setattr(recognition, "CERTAIN", 0.0)
    elif doubt == "repetition":
        monkeypatch.setattr(recognition, "is_repetitive", lambda text: True)
    recogniser.transcribe(silence(1) if doubt == "nothing" else question)
    assert looks == [8, 12]


def test_what_is_long_is_not_heard_twice(recogniser, question, looks):
    recogniser.transcribe(np.concatenate([question, silence(1), question, silence(3)]))
    assert looks == [12]


def test_repetitions():
    assert all(map(is_repetitive, ["Quiet please Quiet please", "我先去银行,然后去超市。我先去银行,然后", "你好你好"]))
    assert not any(map(is_repetitive, ["你好", "请问现在几点了?", "Hello, what time is it now?", ""]))


def test_a_language_can_be_imposed(question):
    english = Recogniser(languages=("en",))
    assert english.transcribe(question).language == "en"
    english.close()


def test_chinese_is_written_with_simplified_characters(recogniser):
    assert recogniser._simplified("謝謝觀看，後來呢？現在幾點？") == "谢谢观看，后来呢？现在几点？"
    assert "等於多少".translate(recognition.ALSO_SIMPLIFIED) == "等于多少"


@pytest.mark.parametrize("kind", ["white", "brown", "hum", "beeps"])
@pytest.mark.parametrize("level", [0.01, 0.1])
def test_noise_has_no_words(recogniser, kind, level):
    assert recogniser.transcribe(noise(kind, 2.5, level)).text == ""


def test_silence_has_no_words(recogniser):
    assert recogniser.transcribe(silence(3)).text == ""
    assert recogniser.transcribe(silence(0)).text == ""


def test_a_long_monologue_is_heard_to_its_end(recogniser, question):
    samples = np.concatenate([question, silence(26), question])
    assert len(samples) > 30 * SAMPLE_RATE
    assert error_rate(recogniser.transcribe(samples).text, QUESTION * 2) < 0.3


def test_cuts_are_made_where_it_is_quiet():
    samples = noise("white", 70)
    for second in (24, 47):
        samples[second * SAMPLE_RATE : second * SAMPLE_RATE + 8000] *= 0.01
    cut = pieces(samples)
    assert np.array_equal(np.concatenate(cut), samples)
    assert all(len(piece) <= 30 * SAMPLE_RATE for piece in cut)
    first, second = np.cumsum([len(piece) for piece in cut])[:2] / SAMPLE_RATE
    assert 24 <= first <= 24.5
    assert 47 <= second <= 47.5


async def test_callers_that_went_away_cost_nothing(recogniser, question, monkeypatch):
    encoded = []
    encode = recogniser._whisper.encode
    monkeypatch.setattr(recogniser._whisper, "encode", lambda features: encoded.append(1) or encode(features))
    gone = [asyncio.create_task(recogniser.hear(pcm(question), SAMPLE_RATE)) for _ in range(6)]
    await asyncio.sleep(0)  # let them queue
    for task in gone:
        task.cancel()
    transcript = await recogniser.hear(pcm(question), SAMPLE_RATE)
    assert error_rate(transcript.text, QUESTION) < 0.3
    assert all(task.cancelled() for task in gone)
    assert len(encoded) <= 2, "at most the first had begun"


async def test_telephone_audio(recogniser, question):
    narrow = question.reshape(-1)[: len(question) // 2 * 2].reshape(-1, 2).mean(axis=1)
    transcript = await recogniser.hear(pcm(narrow), 8000)
    assert error_rate(transcript.text, QUESTION) < 0.35


async def transcribe_in_a_pipeline(recogniser, samples):
    audio = pcm(samples)
    frames = [InputAudioRawFrame(audio[i : i + 640], SAMPLE_RATE, 1) for i in range(0, len(audio), 640)]
    down, _ = await run_test(
        WhisperSTT(recogniser),
        frames_to_send=[
            VADUserStartedSpeakingFrame(),
            SleepFrame(0.05),
            *frames,
            SleepFrame(0.2),
            VADUserStoppedSpeakingFrame(),
            SleepFrame(0.05),
        ],
        pipeline_params=PipelineParams(audio_in_sample_rate=SAMPLE_RATE),
    )
    return down


async def test_the_service_gives_one_final_transcript(recogniser, question):
    down = await transcribe_in_a_pipeline(recogniser, question)
    [transcript] = [frame for frame in down if isinstance(frame, TranscriptionFrame)]
    assert transcript.finalized
    assert transcript.language == "zh"
    assert error_rate(transcript.text, QUESTION) < 0.3


async def test_the_service_says_when_there_was_nothing(recogniser):
    down = await transcribe_in_a_pipeline(recogniser, noise("hum", 1.0))
    assert [frame for frame in down if isinstance(frame, NothingHeardFrame)]
    assert not [frame for frame in down if isinstance(frame, TranscriptionFrame)]


class Scribe:
    """A recogniser that writes down when it is asked, and hears what it is told to."""

    def __init__(self, text="你好。"):
        self.text, self.asked, self.glimpses, self.likely = text, [], [], []

    async def hear(self, audio, rate, likely=None):
        self.asked.append(len(audio) / 2 / rate)
        self.likely.append(likely)
        return Transcript(self.text, "zh", 0.0, 1.0)

    async def attend(self, audio, rate):
        return None

    async def glimpse(self, audio, rate, likely=None):
        self.glimpses.append(len(audio) / 2 / rate)
        return Transcript(self.text, "zh", 0.0, 1.0)


def sound(*parts):
    audio = pcm(np.concatenate(parts))
    return [InputAudioRawFrame(audio[i : i + 640], SAMPLE_RATE, 1) for i in range(0, len(audio), 640)]


async def listen(scribe, *frames, context=None):
    flat = (f for frame in frames for f in ([frame] if isinstance(frame, Frame) else frame))
    down, _ = await run_test(
        WhisperSTT(scribe, context=context),
        frames_to_send=flat,
        pipeline_params=PipelineParams(audio_in_sample_rate=SAMPLE_RATE),
    )
    return down


async def test_recognition_begins_at_the_first_lull_and_once():
    scribe, loud = Scribe(), noise("white", 0.6, level=0.2)
    down = await listen(
        scribe,
        [VADUserStartedSpeakingFrame(), SleepFrame(0.05), *sound(loud, silence(0.12)), SleepFrame(0.05)],
        [*sound(silence(0.1)), SleepFrame(0.05), VADUserStoppedSpeakingFrame(), SleepFrame(0.1)],
    )
    assert scribe.asked == [pytest.approx(0.6 + LULL, abs=0.03)], "before the voice activity detector was certain"
    assert [frame.text for frame in down if isinstance(frame, TranscriptionFrame)] == ["你好。"]


async def test_recognition_begins_again_when_the_voice_goes_on():
    scribe, loud = Scribe(), noise("white", 0.5, level=0.2)
    down = await listen(
        scribe,
        [VADUserStartedSpeakingFrame(), SleepFrame(0.05), *sound(loud, silence(0.12)), SleepFrame(0.05), *sound(loud)],
        [SleepFrame(0.05), VADUserStoppedSpeakingFrame(), SleepFrame(0.1)],
    )
    assert scribe.asked[-1] == pytest.approx(1.12, abs=0.03), "all of it"
    assert len([frame for frame in down if isinstance(frame, TranscriptionFrame)]) == 1


async def test_the_language_of_the_talk_is_believed_for_a_short_word():
    scribe, word = Scribe(), noise("white", 0.5, level=0.2)
    turn = [
        VADUserStartedSpeakingFrame(),
        SleepFrame(0.05),
        *sound(word),
        SleepFrame(0.05),
        VADUserStoppedSpeakingFrame(),
    ]
    await listen(scribe, turn, SleepFrame(0.1), turn, SleepFrame(0.1))
    assert scribe.likely == [None, "zh"]


@pytest.mark.parametrize("speaks", [True, False])
async def test_interim_words_are_told_while_the_agent_speaks(speaks):
    scribe, loud = Scribe("停"), noise("white", 0.6, level=0.2)
    bot = [BotStartedSpeakingFrame(), SleepFrame(0.05)] if speaks else []
    down = await listen(
        scribe,
        [*bot, *sound(silence(0.3)), VADUserStartedSpeakingFrame(start_secs=0.15), SleepFrame(0.05), *sound(loud)],
        [SleepFrame(0.6), VADUserStoppedSpeakingFrame(), SleepFrame(0.1)],
    )
    interim = [frame.text for frame in down if isinstance(frame, InterimTranscriptionFrame)]
    assert bool(interim) == speaks
    assert all(FIRST_WORDS <= seconds < 1.0 for seconds in scribe.glimpses)


class SlowScribe(Scribe):
    """Hears what it is told to, one after the other, when it is told to, and listens to how it sounds."""

    def __init__(self, *texts):
        super().__init__()
        self.texts, self.may_hear = list(texts), asyncio.Event()

    async def hear(self, audio, rate, likely=None):
        await self.may_hear.wait()
        return Transcript(self.texts.pop(0), "zh", 0.0, 1.0)

    async def attend(self, audio, rate):
        return np.zeros((20, 512), np.float32)


def voice(seconds=0.5):
    return [
        VADUserStartedSpeakingFrame(start_secs=0.15),
        SleepFrame(0.05),
        *sound(noise("white", seconds, level=0.2)),
        SleepFrame(0.05),
    ]


async def test_how_a_voice_sounds_is_told_before_its_words_however_long_they_take():
    scribe = SlowScribe("停。")
    scribe.may_hear.set()
    down = await listen(
        scribe, [BotStartedSpeakingFrame(), SleepFrame(0.05)], voice(0.2), VADUserStoppedSpeakingFrame()
    )
    told = [frame for frame in down if isinstance(frame, (ReactionFrame, TranscriptionFrame))]
    assert [type(frame) for frame in told][-2:] == [ReactionFrame, TranscriptionFrame]
    assert told[-2].whole


@pytest.mark.parametrize("nod", ["嗯。", ""])
async def test_a_nod_that_is_understood_after_the_interruption_behind_it_is_not_told(nod):
    scribe = SlowScribe(nod, "停。")

    def words():
        yield from [BotStartedSpeakingFrame(), SleepFrame(0.05), *voice(), VADUserStoppedSpeakingFrame()]
        yield from [*voice(), UserStartedSpeakingFrame(), SleepFrame(0.05), VADUserStoppedSpeakingFrame()]
        scribe.may_hear.set()
        yield from until(lambda: not scribe.texts)

    down = await listen(scribe, words())
    told = [frame for frame in down if isinstance(frame, (TranscriptionFrame, NothingHeardFrame))]
    assert [getattr(frame, "text", None) for frame in told] == ["停。"]


@pytest.mark.parametrize(
    ("said", "told"), [("嗯。", None), ("耗的", None), ("停。", "停。"), ("好的，那明天呢？", "好的，那明天呢？")]
)
@pytest.mark.parametrize("late", [False, True], ids=["while it lasts", "as it is over"])
async def test_a_nod_that_stopped_the_agent_by_its_sound_was_nothing(said, told, late):
    scribe = SlowScribe(said)

    def words():
        stops = [UserStartedSpeakingFrame(), SleepFrame(0.05)], [VADUserStoppedSpeakingFrame(), SleepFrame(0.05)]
        yield from [BotStartedSpeakingFrame(), SleepFrame(0.05), *voice()]
        yield from [frame for frames in (stops[::-1] if late else stops) for frame in frames]
        scribe.may_hear.set()
        yield from until(lambda: not scribe.texts)

    down = await listen(scribe, words())
    heard = [frame for frame in down if isinstance(frame, (TranscriptionFrame, NothingHeardFrame))]
    assert [getattr(frame, "text", None) for frame in heard] == [told]


@pytest.mark.parametrize(("second", "told"), [("对。", [None, None]), ("停。", [None, "停。"])])
async def test_a_nod_in_two_is_still_one_and_a_command_behind_it_is_none(second, told):
    scribe = SlowScribe("嗯。", second)
    scribe.may_hear.set()
    down = await listen(
        scribe,
        [BotStartedSpeakingFrame(), SleepFrame(0.05), *voice(), UserStartedSpeakingFrame(), SleepFrame(0.05)],
        [VADUserStoppedSpeakingFrame(), BotStoppedSpeakingFrame(), *voice(), VADUserStoppedSpeakingFrame()],
        until(lambda: not scribe.texts),
    )
    heard = [frame for frame in down if isinstance(frame, (TranscriptionFrame, NothingHeardFrame))]
    assert [getattr(frame, "text", None) for frame in heard] == told


ASKED = ("您现在要取消这个订单吗？", "Shall I cancel it? If", "您要取消吗？我现")
TOLD = ("我已经取消了订单。", "您要取消吗？我这就告诉您，退款", "Shall I cancel it? If not, there will be a fee")


@pytest.mark.parametrize("said", ASKED + TOLD)
async def test_a_nod_that_stopped_the_agent_behind_its_question_is_the_answer(said):
    scribe = SlowScribe("对。")
    scribe.may_hear.set()
    down = await listen(
        scribe,
        [BotStartedSpeakingFrame(), SleepFrame(0.05), *voice(), UserStartedSpeakingFrame(), SleepFrame(0.05)],
        [VADUserStoppedSpeakingFrame()],
        until(lambda: not scribe.texts),
        context=LLMContext([{"role": "assistant", "content": said}]),
    )
    heard = [frame for frame in down if isinstance(frame, (TranscriptionFrame, NothingHeardFrame))]
    assert [getattr(frame, "text", None) for frame in heard] == ["对。" if said in ASKED else None]


@pytest.mark.parametrize("said", [ASKED[0], TOLD[0]])
async def test_a_nod_that_went_by_at_the_end_of_a_question_is_the_answer(said):
    scribe = SlowScribe("对。")
    scribe.may_hear.set()
    down = await listen(
        scribe,
        [BotStartedSpeakingFrame(), SleepFrame(0.05), *voice(), VADUserStoppedSpeakingFrame()],
        until(lambda: not scribe.texts),
        [SleepFrame(0.05), BotStoppedSpeakingFrame(), SleepFrame(0.05)],
        context=LLMContext([{"role": "assistant", "content": said}]),
    )
    told = [frame.text for frame in down if isinstance(frame, TranscriptionFrame)]
    assert told == (["对。"] * 2 if said in ASKED else ["对。"])


async def test_a_nod_by_itself_is_told():
    scribe = SlowScribe("嗯。")
    scribe.may_hear.set()
    down = await listen(scribe, [BotStartedSpeakingFrame(), SleepFrame(0.05)], voice(), VADUserStoppedSpeakingFrame())
    [words] = [frame for frame in down if isinstance(frame, TranscriptionFrame)]
    assert words.text == "嗯。"


async def test_an_interruption_drops_no_words_that_wait_to_be_looked_at():
    scribe = SlowScribe("停。")
    scribe.may_hear.set()
    down = await listen(scribe, voice(), VADUserStoppedSpeakingFrame())
    [words] = [frame for frame in down if isinstance(frame, TranscriptionFrame)]
    queue = FrameQueue()
    queue.put_nowait(words)
    queue.put_nowait(NothingHeardFrame())
    queue.reset()  # what Pipecat does to the queue of whoever interrupts
    assert queue.qsize() == 2


def test_a_glimpse_hears_the_first_words(recogniser, synthesizer):
    spoken = say(synthesizer, "等一下，我还有一个问题。", voice="lian")
    assert recogniser.transcribe_glimpse(spoken[: int(0.9 * SAMPLE_RATE)], likely="zh").text[1:3] == "一下"


def test_the_first_syllables_tell_a_nod_from_an_interruption(recogniser, synthesizer):
    reactions = Reactions.packaged()

    def meant(text):
        spoken = say(synthesizer, text, voice="lian")[: int(0.9 * SAMPLE_RATE)]
        return reactions.meant(recogniser.encode(np.concatenate([silence(0.15), spoken])))

    assert max(map(meant, ("嗯。", "对对。"))) < 0.5 < min(map(meant, ("等一下。", "我想问另外一个问题。")))


def test_another_encoder_tells_nothing():
    foreign = Recogniser(model=packaged_model())
    assert foreign.encode(silence(1)) is None
    foreign.close()


def join_into(cache, barrier, results):
    import os

    os.environ["GLM_TTS_CACHE"] = str(cache)
    barrier.wait(60)
    results.put(str(packaged_model()))


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_processes_join_the_weights_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    workers = [context.Process(target=join_into, args=(tmp_path, barrier, results)) for _ in range(2)]
    for worker in workers:
        worker.start()
    folders = {results.get(timeout=120) for _ in workers}
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    [folder] = folders
    names = {path.name for path in tmp_path.glob("*/*")}
    assert names == {"model.bin", "config.json", "tokenizer.json", "vocabulary.txt"}
    assert checksum(tmp_path / folder / "model.bin") == recognition.PARTS_SHA256


def test_a_damaged_copy_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("GLM_TTS_CACHE", str(tmp_path))
    weights = packaged_model() / "model.bin"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert checksum(packaged_model() / "model.bin") == recognition.PARTS_SHA256


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GLM_TTS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SpeechError, match="GLM_TTS_CACHE"):
        packaged_model()


def test_a_missing_package(monkeypatch):
    monkeypatch.setattr(recognition, "PARTS", (("no_such_whisper_part1", "model.bin.part1"),))
    with pytest.raises(SpeechError, match="pip install no-such-whisper-part1"):
        packaged_model()


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(SpeechError, match=str(tmp_path)):
        Recogniser(model=tmp_path)


def test_languages_that_whisper_does_not_know():
    with pytest.raises(SpeechError, match="tlh"):
        Recogniser(languages=("zh", "tlh"))
