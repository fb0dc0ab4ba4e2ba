import asyncio
import time

import numpy as np
import pytest
from pipecat.clocks.system_clock import SystemClock
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EagerEndOfTurnCancelFrame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.utils.asyncio.task_manager import TaskManager

from agent.settings import TurnSettings
from agent.turns import WORST_TRANSCRIPTION_SECONDS, turn_taking
from agent.turns.ending import Patience, Pause
from agent.turns.interjections import is_nod, is_stop, is_unclear
from agent.turns.lull import LONG_LULL
from agent.turns.reaction import REACH, ReactionFrame, Reactions
from agent.turns.start import UserTurnStart, character_count
from agent.turns.stop import ASKED_AFTER, EndOfTurnStop, NothingHeardFrame
from agent.turns.words import announces, cues
from tests.agent.speech import SAMPLE_RATE, noise, pcm


def said(text):
    return TranscriptionFrame(text, "", "")


def began():
    return VADUserStartedSpeakingFrame(start_secs=0.15)


def ended():
    return VADUserStoppedSpeakingFrame(stop_secs=0.2)


async def set_up(strategy):
    await strategy.setup(FrameProcessorSetup(clock=SystemClock(), task_manager=TaskManager(), pipeline_worker=None))
    return strategy


async def turns_begun(strategy, *frames):
    """Which of the frames begin a turn, by index."""
    begun = []
    where = 0

    async def on_started(_, params):
        assert params.enable_interruptions
        begun.append(where)

    await set_up(strategy)
    strategy.add_event_handler("on_user_turn_started", on_started)
    for where, frame in enumerate(frames):  # noqa: B007 (read by the handler)
        await strategy.process_frame(frame)
    await strategy.cleanup()
    return begun


def heard(text):
    return InterimTranscriptionFrame(text, "", "")


SPEAKS = BotStartedSpeakingFrame


@pytest.mark.parametrize(
    ("interrupt", "frames", "begun"),
    [
        ("auto", [began()], [0]),
        ("auto", [SPEAKS(), began()], []),
        ("auto", [SPEAKS(), began(), heard("嗯"), ended(), said("嗯。")], []),
        ("auto", [SPEAKS(), began(), heard("Uh-huh")], []),
        ("auto", [SPEAKS(), began(), heard("停")], [2]),
        ("auto", [SPEAKS(), began(), heard("好的，那"), said("好的，那地址呢？")], [3]),
        ("auto", [SPEAKS(), began(), heard("天营"), said("嗯嗯。")], []),
        ("auto", [SPEAKS(), began(), ended(), said("敬")], []),
        ("auto", [SPEAKS(), began(), ended(), said("不对")], [3]),
        ("auto", [SPEAKS(), began(), ended(), NothingHeardFrame()], []),
        ("auto", [SPEAKS(), began(), ended(), said("……")], []),
        ("auto", [SPEAKS(), BotStoppedSpeakingFrame(), said("嗯。")], [2]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.95)], [2]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.8), ended(), NothingHeardFrame()], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.8), ReactionFrame(0.8)], [3]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.8), ReactionFrame(0.5), ReactionFrame(0.8)], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.8), ended(), began(), ReactionFrame(0.8)], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.8, whole=True)], [2]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.5), ended(), NothingHeardFrame()], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.05), ended(), said("回男人")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.7), ended(), said("回男人")], [4]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.6), ended(), said("回男人")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.1), ended(), said("停。")], [4]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.01), ended(), said("听。")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.7), ended(), said("青")], [4]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.74), ended(), said("对。")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.001), ended(), said("明天会下雨吗？")], [4]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.001), ended(), said("My card was charged twice")], [4]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.1), ended(), said("暗示的呀")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.06), ended(), said("He says, yeah.")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.06), ended(), said("Ee, ee, ee, ee.")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.7), ended(), said("He has it.")], [4]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.05), began(), ended(), said("十点")], [5]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.6), ended(), said("耗的")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.6), ended(), said("醒啊。")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.06), ended(), said("课试")], [4]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.06), ended(), said("登一下")], [4]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.09), ended(), said("Hold.")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.2), ended(), said("No.")], [4]),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.07), ended(), said("唯一")], []),
        ("auto", [SPEAKS(), began(), ReactionFrame(0.01), ended(), said("你错了。")], [4]),
        ("voice", [began()], [0]),
        ("voice", [SPEAKS(), began()], [1]),
        ("words", [began()], [0]),
        ("words", [SPEAKS(), began()], []),
        ("words", [SPEAKS(), said("嗯。")], []),
        ("words", [SPEAKS(), said("uh, ...")], []),
        ("words", [SPEAKS(), said("等一下！")], [1]),
        ("words", [SPEAKS(), said("wait")], [1]),
        ("words", [SPEAKS(), heard("等一下")], [1]),
        ("words", [SPEAKS(), BotStoppedSpeakingFrame(), said("嗯。")], [2]),
        ("voice", [said("嗯。")], [0]),
    ],
)
async def test_what_begins_a_turn(interrupt, frames, begun):
    assert await turns_begun(UserTurnStart(interrupt=interrupt, min_characters=3), *frames) == begun


async def test_a_voice_that_outlasts_any_nod_interrupts():
    strategy, begun = await set_up(UserTurnStart()), asyncio.Event()
    strategy.add_event_handler("on_user_turn_started", lambda *_: begun.set())
    await strategy.process_frame(SPEAKS())
    await strategy.process_frame(VADUserStartedSpeakingFrame(start_secs=0.89))
    await asyncio.wait_for(begun.wait(), 5)


async def test_a_noise_may_last():
    strategy, begun = await set_up(UserTurnStart()), []
    strategy.add_event_handler("on_user_turn_started", lambda *_: begun.append(True))
    await strategy.process_frame(SPEAKS())
    await strategy.process_frame(VADUserStartedSpeakingFrame(start_secs=5))
    await strategy.process_frame(ReactionFrame(0.05))
    await asyncio.wait_for(asyncio.shield(strategy._timer), 5)
    assert not begun
    await strategy.cleanup()


def loud(decibels):
    """A fifth of a second of voice."""
    samples = noise("white", 0.2, level=0.2 * 10 ** (decibels / 20))
    return InputAudioRawFrame(pcm(samples), SAMPLE_RATE, 1)


@pytest.mark.parametrize(("decibels", "begun"), [(0, True), (-8, True), (-20, False)])
@pytest.mark.parametrize("what", [ReactionFrame(0.99), said("停。"), said("明天会下雨吗？")])
async def test_a_voice_far_behind_the_callers_interrupts_nothing(decibels, begun, what):
    strategy = UserTurnStart()
    first = [loud(0), began(), loud(0), ended(), said("讲个故事。"), SPEAKS()]
    turns = await turns_begun(strategy, *first, loud(decibels), began(), loud(decibels), what)
    assert (len(first) + 3 in turns) == begun


async def test_before_the_caller_has_spoken_any_voice_may_interrupt():
    assert await turns_begun(UserTurnStart(), SPEAKS(), loud(-30), began(), loud(-30), said("停。")) == [4]


def test_networks_that_listen_together_say_the_mean_of_what_each_says():
    dice = np.random.default_rng(0)
    shapes = {"inner": (512, 4), "inner_offsets": (4,), "near": (REACH, 4, 4), "near_offsets": (4,), "outer": (12,)}

    def network():
        weights = {name: 0.1 * dice.standard_normal((1, *shape)).astype(np.float32) for name, shape in shapes.items()}
        return Reactions(**weights, bias=np.float32(dice.standard_normal()))

    def log_odds(reactions):
        meant = reactions.meant(states)
        return np.log(meant / (1 - meant))

    one, other, states = network(), network(), dice.standard_normal((30, 512)).astype(np.float32)
    both = Reactions.together([one, other], [0.75, 0.25])
    assert log_odds(both) == pytest.approx(0.75 * log_odds(one) + 0.25 * log_odds(other), abs=1e-4)
    assert abs(log_odds(one) - log_odds(other)) > 0.1


async def test_what_was_a_nod_is_forgotten():
    strategy, forgotten = await set_up(UserTurnStart()), []
    strategy.add_event_handler("on_reset_aggregation", lambda *_: forgotten.append(True))
    for frame in (SPEAKS(), began(), heard("对"), ended(), said("对对。")):
        await strategy.process_frame(frame)
    assert forgotten == [True]
    await strategy.cleanup()


@pytest.mark.parametrize(
    "text",
    [
        "嗯。",
        "嗯嗯",
        "对对对！",
        "哦，好的。",
        "是的，是的。",
        "对对呀",
        "没错",
        "Uh-huh.",
        "Mm-hmm",
        "Yeah, right.",
        "OK.",
        "I see.",
        "Oh, got it.",
        "不错。",
        "真的吗？",
        "有道理。",
        "哦，原来是这样啊",
        "That's right.",
        "Oh, that makes sense.",
        "No problem.",
        "真不错。",
        "对，说得对。",
        "我同意。",
        "No kidding!",
        "Oh, how nice.",
        "Go on.",
        "听起来不错。",
        "哎哟，挺有意思！",
        "确实如此。",
        "说得太对了。",
        "哈哈哈哈哈哈",
        "That sounds really great!",
        "Oh, it's so interesting.",
        "Good for you.",
    ],
)
def test_nods(text):
    assert is_nod(text)


@pytest.mark.parametrize(
    "text",
    [
        "停",
        "等等",
        "等一下。",
        "不对",
        "不是",
        "好的，那地址呢？",
        "对了，帮我查一下",
        "Wait.",
        "No.",
        "Okay, but where?",
        "Rights",
        "那",
        "真的吗那明天呢",
        "That's wrong.",
        "No problem but wait",
        "Go on to the next one",
        "真不错，那明天呢",
        "不太好",
        "太快了",
        "这个可以吗",
        "It's too fast",
        "Good question, but why",
        "",
    ],
)
def test_no_nods(text):
    assert not is_nod(text)


@pytest.mark.parametrize("sound", ["哈", "m", "mhm", "好啊", "太好了", "good", "uh huh "])
def test_what_almost_is_a_nod_is_read_in_no_time(sound):
    began = time.process_time()
    assert not is_nod(sound * (36 // len(sound)) + "谁")
    assert not is_nod(sound * 1000)
    assert time.process_time() - began < 0.1


def test_what_stops_and_what_is_too_little():
    assert all(map(is_stop, ["停。", "等一下", "不对", "不是的", "别说了", "部队", "你错了"]))
    assert all(map(is_stop, ["Wait, wait.", "No.", "Hold on", "Actually.", "Don't."]))
    assert all(map(is_stop, ["捕腿", "大柱", "漫者", "微线吗"])), "不对, 打住, 慢着 and 为什么 as they are misheard"
    assert not any(map(is_stop, ["嗯", "好的", "Nothing", "Okay", "今天", "", "不错", "No problem.", "布错"]))
    assert all(map(is_unclear, ["敬", "推推", "Twey.", "vau", ""]))
    assert not any(map(is_unclear, ["十点", "你好", "Which time", "tomorrow"]))


@pytest.mark.parametrize(
    ("text", "count"), [("等一下！", 3), ("嗯……", 1), ("", 0), ("uh huh", 5), ("12点，OK", 5), ("。？！", 0)]
)
def test_characters_are_counted_without_punctuation(text, count):
    assert character_count(text) == count


@pytest.mark.parametrize(
    ("question", "stretches", "cue"),
    [
        ("", ["我想找一下那个"], "filler"),
        ("", ["I'd like, um"], "filler"),
        ("", ["我觉得是"], "open"),
        ("", ["I was looking for the"], "open"),
        ("", ["Apples..."], "trails_off"),
        ("", ["现在几点了"], "closed"),
        ("", ["How much is this one?"], "closed"),
        ("", ["如果明天下雨的话"], "subordinate"),
        ("", ["If it rains tomorrow"], "subordinate"),
        ("请问您的手机号是多少？", ["138", "0013"], "number_open"),
        ("请问您的手机号是多少？", ["138", "0013", "8000"], "number_whole"),
        ("What is your phone number?", ["Five five five", "two one seven"], "number_open"),
        ("What is your phone number?", ["Five five five, 217", "8493"], "number_whole"),
        ("请问您的订单号是？", ["订单号是2024"], "number_unknown"),
        ("您需要买些什么？", ["苹果", "香蕉"], "list_open"),
        ("您确定要取消吗？", ["是的。"], "answer"),
        ("Anything else? Do you need a receipt?", ["No, thank you."], "answer"),
        ("", ["好"], "brief"),
        ("", ["我觉得吧"], "open"),
        ("您的生日是哪天？", ["1992年"], "open"),
        ("", ["That big"], "fragment"),
        ("What is your phone number?", ["for one five"], "number_open"),
    ],
)
def test_words_tell(question, stretches, cue):
    assert getattr(cues(stretches, question), cue) > 0


@pytest.mark.parametrize(
    ("question", "stretches", "cue"),
    [
        ("", ["如果明天下雨的话", "我们就不去了"], "subordinate"),
        ("", ["如果下雨我就不去"], "subordinate"),
        ("您需要买些什么？", ["苹果", "还有香蕉"], "list_open"),
        ("", ["我有三个苹果"], "number_unknown"),
        ("", ["没有"], "open"),
        ("", ["是"], "open"),
        ("需要吗？", ["是的"], "open"),
        ("您要什么？", ["大杯的"], "open"),
        ("What is your phone number?", ["555 217 8493"], "number_open"),
        ("您贵姓？", ["我姓陈"], "fragment"),
        ("您要大杯的还是小杯的？", ["大杯的"], "filler"),
    ],
)
def test_words_do_not_tell(question, stretches, cue):
    assert getattr(cues(stretches, question), cue) == 0


@pytest.mark.parametrize(
    "text",
    (
        "麻烦你把车停到 / 我女儿的 / 把文件发给 / 我想换成 / 我儿子在 / 你先 / 我跟他们 / 这个月的房租大概 / "
        "他昨天告诉我说，因为 / 我弟弟在邮局负责 / 车票改签到 / 我去年 / 你有没有 / 我们学校一直 / 这道题其实 / "
        "那本书是 / 我的快递放在门口的 / 请转给 / 他的电话是 / i left it on the / she works for / "
        "the parcel should be / he doesn't / i need / we were looking for / could you tell me whether / "
        "my brother is / it depends on / the train leaves at / i'd rather / they said / put it next to / "
        "next semester / it was a big / you should probably"
    ).split(" / "),
)
def test_the_last_word_announces_another(text):
    assert announces(text)


@pytest.mark.parametrize(
    "text",
    (
        "我看到了 / 没听到 / 没找到 / 暖和 / 刚才 / 李先生 / 谢谢你 / 他不在 / 是红色的 / 这件是昨天买的 / "
        "可以的 / 等一下 / 方向 / 音量 / 一把 / 自由 / 不用 / 说不定 / turn it on / i can't log in / yes, i do / "
        "no, it isn't / i think so / i like it / see you tomorrow / that's enough / hold on / it's broken / "
        "the second one"
    ).split(" / "),
)
def test_the_last_word_announces_nothing(text):
    assert not announces(text)


def test_what_was_asked_tells_whether_more_belongs_to_it():
    assert announces("朝阳区", "请问您住在哪里？")
    assert not announces("朝阳区的天气", "")
    assert announces("twelve baker street, flat", "what is your address?")
    assert not announces("i rent a flat", "")
    assert not announces("红色的", "您要哪一个？")
    assert announces("我要红色的")
    assert announces("he doesn't")
    assert not announces("he doesn't", "Does your son smoke?")


def test_the_wait_follows_the_evidence():
    patience = Patience.packaged()
    question = "请问您的手机号是多少？"
    half = patience.wait(Pause(0.5, ["138", "0013"], question=question), 2.5)
    whole = patience.wait(Pause(0.5, ["138", "0013", "8000"], question=question), 2.5)
    assert whole < 0.8 < half <= 2.5
    assert patience.wait(Pause(0.99, ["现在几点了？"]), 2.5) < 0.5 < patience.wait(Pause(0.3, ["我想找那个"]), 2.5)
    assert patience.wait(Pause(0.01, ["我想找那个"]), 0.6) <= 0.6, "nobody waits longer than asked to"


class Ending:
    """A strategy in a turn, whose audio detector says what it is told to."""

    def __init__(self, sound, **options):
        self.strategy = EndOfTurnStop(**options)
        self.sound = sound
        self.asked = []
        self.happened = asyncio.Queue()

    async def __aenter__(self):
        strategy = await set_up(self.strategy)

        self.listened = asyncio.Event()
        self.listened.set()

        async def probability(quiet=0.0):
            self.asked.append(quiet)
            await self.listened.wait()
            return self.sound

        strategy._sound.probability = probability

        async def inference(_, speculation):
            await self.happened.put(("answer ahead", speculation.text) if speculation else ("answer",))

        async def stopped(_, params):
            await self.happened.put(("confirmed",) if params.confirms_speculation else ("over",))

        async def cancelled(_):
            await self.happened.put(("withdrawn",))

        strategy.add_event_handler("on_user_turn_inference_triggered", inference)
        strategy.add_event_handler("on_user_turn_stopped", stopped)
        strategy.add_event_handler("on_user_turn_speculation_cancelled", cancelled)
        await self.frames(began())
        await strategy.handle_user_turn_started()
        return self

    async def __aexit__(self, *_):
        await self.strategy.cleanup()

    async def frames(self, *frames):
        for frame in frames:
            await self.strategy.process_frame(frame)

    async def next(self):
        return await asyncio.wait_for(self.happened.get(), 5)


async def test_a_finished_question_ends_the_turn_with_its_words():
    async with Ending(0.99) as turn:
        await turn.frames(ended())
        await asyncio.sleep(0.05)
        assert turn.happened.empty(), "the words are not known yet"
        await turn.frames(said("现在几点了？"))
        assert (await turn.next())[0] in ("answer", "answer ahead")  # on a slow machine the silence is long enough
        assert await turn.next() in (("over",), ("confirmed",))


@pytest.mark.parametrize(
    ("question", "stretches", "broken"),
    [
        ("", ["我的电话是138。"], True),
        ("", ["我的电话是138", "0013"], True),
        ("", ["我的电话是138 0013"], True),
        ("", ["我的电话是一三八"], True),
        ("请问您的身份证号是多少？", ["310104"], True),
        ("", ["我的电话是138", "0013", "8000"], False),
        ("", ["我的电话是6532", "1234"], False),
        ("", ["请帮我打电话给110。"], False),
        ("请问您的电话？", ["10086"], False),
        ("请问您的验证码？", ["384291"], False),
        ("", ["我的电话是138开头的"], False),
        ("", ["一共三百二十一"], False),
    ],
)
def test_a_number_that_breaks_off_is_waited_for_however_it_sounds(question, stretches, broken):
    patience = Patience.packaged()
    waits = [patience.wait(Pause(sound, stretches, question=question), 2.5) for sound in (0.05, 0.95)]
    assert (min(waits) > 2.2) is broken


async def test_the_brain_begins_with_the_words_and_the_turn_ends_with_the_sound():
    async with Ending(0.99) as turn:
        turn.listened.clear()
        await turn.frames(ended(), said("现在几点了？"))
        assert await turn.next() == ("answer ahead", "现在几点了？")
        assert turn.happened.empty()
        turn.listened.set()
        assert await turn.next() == ("confirmed",)


LOUD = InputAudioRawFrame(pcm(noise("white", 0.02)), SAMPLE_RATE, 1)
SOFT = InputAudioRawFrame(bytes(len(LOUD.audio)), SAMPLE_RATE, 1)


async def test_the_audio_detector_is_asked_at_the_first_lull_as_if_it_were_a_pause():
    async with Ending(0.99) as turn:
        await turn.frames(*[LOUD] * 20, *[SOFT] * 4)
        await asyncio.sleep(0)
        assert not turn.asked
        await turn.frames(*[SOFT] * 4, ended(), said("现在几点了？"))
        assert (await turn.next())[0] in ("answer", "answer ahead")
        assert await turn.next() in (("over",), ("confirmed",))
        assert turn.asked == [pytest.approx(ASKED_AFTER - LONG_LULL)]


async def test_a_lull_in_mid_sentence_tells_nothing_of_the_pause_that_follows():
    async with Ending(0.99) as turn:
        turn.listened.clear()
        await turn.frames(*[LOUD] * 20, *[SOFT] * 6)
        await asyncio.sleep(0)
        await turn.frames(LOUD, *[SOFT] * 4, ended(), said("现在几点了？"))
        turn.listened.set()
        assert await turn.next() == ("answer ahead", "现在几点了？")
        assert await turn.next() == ("confirmed",)
        assert turn.asked == [pytest.approx(ASKED_AFTER - LONG_LULL), 0.0]


async def test_the_brain_does_not_begin_with_half_a_sentence():
    async with Ending(0.01, longest=30) as turn:
        turn.listened.clear()
        await turn.frames(ended(), said("我的电话是138"))
        assert turn.happened.empty()


async def test_half_a_number_is_waited_for_and_answered_once():
    context = LLMContext(messages=[{"role": "assistant", "content": "请问您的手机号是多少？"}])
    async with Ending(0.6, context=context, longest=30) as turn:
        await turn.frames(ended(), said("138"), began(), ended(), said("0013"), began())
        assert turn.happened.empty()
        turn.sound = 0.97
        await turn.frames(ended(), said("8000"))
        assert [await turn.next(), await turn.next()][-1][0] in ("over", "confirmed")
        assert turn.happened.empty()


async def test_a_likely_end_is_answered_ahead_and_confirmed():
    async with Ending(0.6, likely=0.0, longest=1.0) as turn:
        await turn.frames(ended(), said("我觉得这个方案不行，但是"))
        assert await turn.next() == ("answer ahead", "我觉得这个方案不行，但是")
        assert await turn.next() == ("confirmed",)


async def test_what_was_answered_ahead_is_withdrawn_when_the_voice_goes_on():
    async with Ending(0.6, likely=0.0, longest=30) as turn:
        await turn.frames(ended(), said("我想订一个"))
        assert (await turn.next())[0] == "answer ahead"
        await turn.frames(began())
        assert await turn.next() == ("withdrawn",)


async def test_what_the_brain_refuses_to_answer_ahead_is_answered_at_the_end():
    async with Ending(0.6, likely=0.0, longest=1.0) as turn:
        await turn.frames(ended(), said("我想订一个"))
        assert (await turn.next())[0] == "answer ahead"
        await turn.frames(EagerEndOfTurnCancelFrame())
        assert await turn.next() == ("answer",)
        assert await turn.next() == ("over",)


async def test_a_turn_without_words_ends_at_once_and_asks_for_nothing():
    async with Ending(0.1, longest=30) as turn:
        await turn.frames(ended(), NothingHeardFrame())
        assert await turn.next() == ("over",)
        assert turn.happened.empty()


async def test_a_cough_behind_words_does_not_hide_them():
    async with Ending(0.99, longest=1.0) as turn:
        await turn.frames(ended(), began(), said("现在几点了？"), ended(), NothingHeardFrame())
        assert await turn.next() == ("answer ahead", "现在几点了？")
        assert await turn.next() == ("confirmed",)


def test_settings_reach_the_analyzers():
    params = turn_taking(
        TurnSettings(start_seconds=0.3, stop_seconds=0.4, max_pause=1.5, confidence=0.8, min_volume=0.2)
    )
    vad = params.vad_analyzer.params
    assert (vad.start_secs, vad.stop_secs, vad.confidence, vad.min_volume) == (0.3, 0.4, 0.8, 0.2)
    assert params.user_turn_strategies.stop[0]._longest == 1.5
    assert params.user_turn_stop_timeout == WORST_TRANSCRIPTION_SECONDS
