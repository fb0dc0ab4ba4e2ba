"""When the user begins, and whether they interrupt the agent or only nod."""

from __future__ import annotations

import asyncio
import math
import re

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy

from agent.turns.nearness import Nearness
from agent.turns.reaction import ReactionFrame

CLEARLY_SPEECH = 0.9
"""Seconds of voice that interrupt, whatever was recognised so far, unless it sounds like a nod."""
LONGEST_NOD = 1.3
"""Seconds of voice after which even 对对对对 is no nod any more."""
SURELY_MEANT = 0.9
"""How much a voice must sound like an interruption to stop the agent at once."""
LIKELY_MEANT = 0.75
"""The same for one that sounded so a moment ago, too, or that is over."""
OF_A_STOP, OF_A_NOD, OF_A_SENTENCE = 3.0, -3.0, 5.0
"""What words weigh beside the sound of the whole, in log-odds that it interrupts; a sentence, more than any sound."""
_NODS = (
    "嗯 恩 摁 唔 哦 噢 喔 啊 哈 呵 嘿 诶 欸 哎 唉 哇 哇塞 天哪 对 队 堆 兑 好 号 是 事 行 对的 好的 好吧 好嘞 "
    "好哦 行吧 是的 是吗 是么 没错 没事 没问题 没关系 明白 明白了 知道 知道了 我知道 懂 懂了 我懂 清楚 清楚了 "
    "了解 了解了 可以 当然 当然了 确实 的确 同意 可不是 可不 就是 也是 也对 那是 倒也是 那倒是 难怪 怪不得 有道理 "
    "有意思 原来如此 原来是这样 是这样 这样 这样子 真的 真的吗 真的假的 不错 厉害 很好 挺好 挺好的 真好 真棒 "
    "太好了 太棒了 u+h+ hu+h+ m+ m+h+m+ hm+ a+h+ o+h+ aha yeah yep yes yup right ok okay sure surething really "
    "wow whoa isee iknow igetit gotit igotit gotcha iunderstand understood iagree agreed ofcourse exactly "
    "absolutely definitely totally true great good alright allright indeed cool nice fine perfect excellent "
    "lovely wonderful amazing awesome interesting correct very makessense thatmakessense soundsgood fairenough "
    "goodpoint goodtoknow noproblem noworries youbet"
).split()
_NOD = re.compile(rf"(?:(?:thats)?(?:{'|'.join(sorted(_NODS, key=len, reverse=True))})[呀啊哈嘛呐啦]?)+")


_STOPS = re.compile(
    r"[停听挺庭厅亭等灯登不布步补部别够狗喂慢错谁啥]|你错|打住|打断|暂停|闭嘴|安静|算了|取消|跳过|换"
    r"|(?:stop|top|wait|no|hey|hold|hang|shut|what|why|who|when|where|how|nope|not|pause|quiet|be quiet|shh|sorry"
    r"|excuse|but|enough|cancel|skip|never ?mind|listen|actually|don.?t|again)\b"
)
"""How people begin who stop each other, and what that is misheard as."""


def is_nod(text: str) -> bool:
    """Whether a text is nothing but what people say to show that they listen."""
    return bool(_NOD.fullmatch(re.sub(r"[\W_]+", "", text.lower())))


def is_stop(text: str) -> bool:
    """Whether a text begins as one does that stops somebody who speaks; 不错 does not."""
    return not is_nod(text) and bool(_STOPS.match(re.sub(r"^\W+", "", text.lower())))


def is_unclear(text: str) -> bool:
    """Whether a text is too little to be believed: one syllable, alone or repeated, or one short word."""
    said = re.sub(r"[\W_]+", "", text.lower())
    return len(set(said)) <= 1 if not said.isascii() else len(said) < 6 and len(text.split()) <= 1


def sounds_meant(meant: float, before: float | None, whole: bool) -> bool:
    """Whether a voice during the agent's speech interrupts it by its sound alone.

    Args:
        meant: How much it sounds like an interruption now.
        before: How much it did at the last look; None: this is the first.
        whole: It is over.
    """
    is_likely = whole or (before is not None and before >= LIKELY_MEANT)
    return meant >= (LIKELY_MEANT if is_likely else SURELY_MEANT)


def means_it(text: str, meant: float | None) -> bool:
    """Whether the words of a voice during the agent's speech interrupt it.

    Args:
        text: All that was recognised of it.
        meant: How much it sounded like an interruption; None: nobody listened to that.
    """
    if meant is None:
        return is_stop(text) or not (is_nod(text) or is_unclear(text))
    words = OF_A_STOP if is_stop(text) else OF_A_NOD if is_nod(text) else OF_A_SENTENCE if is_sentence(text) else 0.0
    meant = min(max(meant, 0.01), 0.99)
    return math.log(meant / (1 - meant)) + words > 0


def is_sentence(text: str) -> bool:
    """Whether a text is more than a misheard nod: five syllables, or four words (嗯，是的 can become 暗示的呀)."""
    said = re.sub(r"[\W_]+", "", text.lower())
    return len(set(text.lower().split())) >= 4 if said.isascii() else len(set(said)) >= 5


class UserTurnStart(BaseUserTurnStartStrategy):
    """Begins the user's turn at their voice; while the agent speaks, at what is no nod.

    While the agent is silent any voice begins a turn. While it speaks, it depends on `interrupt`:

    `auto`: a nod (嗯, 对, uh-huh) goes by, and so does noise in which the recogniser finds no word; it is forgotten.
        What sounds like an interruption (`ReactionFrame`s, which the embedded ears send) stops the agent in its first
        syllables, 停 or wait as soon as it is recognised, by a recogniser with interim transcripts while it is said. So
        does a voice that lasts longer than a nod, and at its end whatever is more than one syllable. A voice that is
        much quieter than the caller's in this call (a television) never does.
    `voice`: any voice interrupts at once.
    `words`: a transcript of at least `min_characters` hanzi or letters interrupts.
    """

    def __init__(self, *, interrupt: str = "auto", min_characters: int = 3) -> None:
        super().__init__()
        self._interrupt = interrupt
        self._min_characters = min_characters
        self._bot_speaking = False
        self._in_turn = False
        self._long_voice: asyncio.Task[None] | None = None
        self._nods = False
        self._meant: float | None = None
        """How much the voice of now sounds like an interruption."""
        self._nearness = Nearness()

    async def handle_user_turn_started(self) -> None:
        """A turn runs: nothing is to be decided until it ends."""
        self._in_turn = True
        await self._stop_waiting()

    async def handle_user_turn_stopped(self) -> None:
        """The next voice may begin a turn."""
        self._in_turn = False

    async def cleanup(self) -> None:
        """End what runs."""
        await super().cleanup()
        await self._stop_waiting()

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Look at one frame; STOP when it begins a turn."""
        if isinstance(frame, InputAudioRawFrame):
            self._nearness.hear(frame.audio, frame.sample_rate)
        elif isinstance(frame, BotStartedSpeakingFrame):
            self._bot_speaking = True
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._bot_speaking = False
        elif isinstance(frame, VADUserStartedSpeakingFrame):
            self._nearness.begin(frame.start_secs)
            if self._interrupt == "voice" or not self._bot_speaking:
                return await self._start()
            if self._interrupt == "auto" and not self._in_turn:
                await self._stop_waiting()
                self._nods, self._meant = False, None
                self._long_voice = self.task_manager.create_task(
                    self._outlast_a_nod(frame.start_secs), f"{self}::long voice"
                )
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._nearness.end()
            await self._stop_waiting()
        elif isinstance(frame, ReactionFrame) and self._interrupt == "auto" and self._bot_speaking:
            before, self._meant = self._meant, frame.meant
            is_meant = sounds_meant(frame.meant, before, frame.whole)
            if is_meant and not self._in_turn and not self._nearness.is_far:
                return await self._start()
            self._nods = frame.meant < 0.5
        elif isinstance(frame, (TranscriptionFrame, InterimTranscriptionFrame)):
            return await self._words(frame.text, final=isinstance(frame, TranscriptionFrame))
        return ProcessFrameResult.CONTINUE

    async def _words(self, text: str, *, final: bool) -> ProcessFrameResult:
        if self._interrupt != "auto":
            interrupts = character_count(text) >= self._min_characters
        else:
            interrupts = means_it(text, self._meant) if final else is_stop(text)
            interrupts = interrupts and not self._nearness.is_far
        if interrupts or not self._bot_speaking:
            if final:
                self._nearness.learn()
            return await self._start()
        self._nods = is_nod(text)
        if final and not self._in_turn:
            await self.trigger_reset_aggregation()
        return ProcessFrameResult.CONTINUE

    async def _outlast_a_nod(self, already: float) -> None:
        await asyncio.sleep(CLEARLY_SPEECH - already)
        if self._nods:
            await asyncio.sleep(LONGEST_NOD - CLEARLY_SPEECH)
        self._long_voice = None
        is_noise = self._meant is not None and self._meant < 0.5
        if not is_noise and not self._nearness.is_far:
            await self._start()

    async def _stop_waiting(self) -> None:
        task, self._long_voice = self._long_voice, None
        if task and task is not asyncio.current_task():
            await self.task_manager.cancel_task(task)

    async def _start(self) -> ProcessFrameResult:
        await self.trigger_user_turn_started()
        return ProcessFrameResult.STOP


def character_count(text: str) -> int:
    """Hanzi, letters and digits in a text; punctuation and spaces do not count."""
    return sum(char.isalnum() for char in text)
