"""Is what was heard what is remembered? `python -m tests.benchmarks.memory [--count 500] [--peer 50]`.

Answers of several kinds are written at the speed of LLMs, spoken by an engine of tones at the speeds of voices, played
in real time and interrupted at random. What left the loudspeaker is compared with the LLM's context. The peer
is a word-timestamp service written as Pipecat's own are, with the same engine, texts and moments.

Goals: at most two characters apart in 99 %, nothing forgotten of what was heard, nothing remembered that was not.
"""

import argparse
import asyncio
import collections
import random

from loguru import logger
from pipecat.frames.frames import LLMTextFrame, TTSAudioRawFrame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

import g2p
from tests.tts_service.stage import stage

TEXTS = [
    "今天我想给你介绍一下北京的历史，它有三千多年，做过辽金元明清的首都，名胜古迹多得数不过来。",
    "好的，没问题。明天早上八点我会提醒你带伞，下午可能有雨；晚上就晴了。",
    "他说：“你先别急。”然后打开了门。屋里很暗，什么也看不见，只听见钟在走。",
    "我们用 Python 写了一个小程序，在 3 台机器上跑了 45 分钟，结果比 GPU 还快一点。",
    "做法很简单：**先**把水烧开，再放面，煮三分钟，最后加盐、葱花和一点香油就可以吃了。",
    "Sure, let me see. It is a bit far to go on foot, so we may as well get a cab at six.",
]
LLM_SPEEDS = (5, 10, 20, 40, 0)
"""Characters a second; 0: all at once."""
TOGETHER = 5
BEGUN = 0.05
"""Seconds of a word after which a listener has heard it."""


class Reference(TTSService):
    """A word-timestamp service as Pipecat's own are: sentences in, audio and word times out."""

    def __init__(self, synthesizer, speed):
        settings = TTSSettings(model="reference", voice="low", language="zh")
        super().__init__(push_text_frames=False, push_stop_frames=True, push_start_frame=True, settings=settings)
        self._voice, self._speed, self._texts = synthesizer, speed, {}

    async def run_tts(self, text, context_id):
        if context_id not in self._texts:
            self._texts[context_id] = asyncio.Queue()
            self.create_task(self._speak(context_id, self._texts[context_id]))
        self._texts[context_id].put_nowait(text)
        yield None

    async def flush_audio(self, context_id=None):
        if context_id in self._texts:
            self._texts[context_id].put_nowait(None)

    async def on_audio_context_interrupted(self, context_id):
        self._texts.pop(context_id, None)

    async def on_audio_context_completed(self, context_id):
        self._texts.pop(context_id, None)

    async def _speak(self, context_id, texts):
        done = 0.0
        while (text := await texts.get()) is not None:
            begin = done
            async for chunk in self._voice.astream(text, speed=self._speed):
                if self._texts.get(context_id) is not texts:
                    return
                words = [(text[t.start : t.end], t.seconds + begin) for t in chunk.timings]
                await self.add_word_timestamps(words, context_id, includes_inter_frame_spaces=True)
                pcm = (chunk.samples * 32767).astype("<i2").tobytes()
                await self.append_to_audio_context(context_id, TTSAudioRawFrame(pcm, 24000, 1, context_id=context_id))
                done += chunk.seconds
        await self.remove_audio_context(context_id)


def letters(text):
    return sum(char.isalnum() for char in text)


async def interruption(seed, peer):
    """Characters heard and remembered, and what is remembered if it is not the beginning of the text."""
    chance = random.Random(seed)
    text, llm_speed = chance.choice(TEXTS), chance.choice(LLM_SPEEDS)
    speed, moment = chance.uniform(0.8, 2.0), chance.uniform(0.1, 4.0)
    tokens = [token for token in g2p.analyze(text).tokens if token.kind != "pause"]
    seconds_each = int(0.2 * 24000 / speed) / 24000
    wrap = (lambda tts: Reference(tts._synthesizer, speed)) if peer else None
    async with stage(speed=speed, voice=chance.choice(["low", "high"]), wrap=wrap) as it:

        async def write():
            await it.write()
            for piece in text if llm_speed else [text]:
                await it.worker.queue_frame(LLMTextFrame(piece))
                await asyncio.sleep(1 / llm_speed if llm_speed else 0)

        writing = asyncio.create_task(write())
        await it.loudspeaker.heard.wait()
        await asyncio.sleep(moment)
        writing.cancel()
        await asyncio.sleep(0.02)  # an interruption overtakes text that is on its way
        await it.interrupt()
        sounded = len(it.loudspeaker.pcm) / 2 / 24000
        await it.end()
    whole, begun = divmod(sounded, seconds_each)
    count = min(int(whole) + (begun >= BEGUN), len(tokens))
    heard = text[: tokens[count - 1].end] if count else ""
    return letters(heard), letters(it.remembered), "" if text.startswith(it.remembered) else it.remembered


async def measure(count, peer):
    free = asyncio.Semaphore(TOGETHER)

    async def one(seed):
        async with free:
            return await interruption(seed, peer)

    return await asyncio.gather(*map(one, range(count)))


def tell(name, found):
    apart = [heard - remembered for heard, remembered, _ in found]
    close = sum(abs(gap) <= 2 for gap in apart) / len(found)
    forgotten = sum(heard > 0 and remembered == 0 for heard, remembered, _ in found)
    print(
        f"{name:10} {len(found)} interruptions: at most 2 characters apart {100 * close:.1f} %, "
        f"all forgotten {forgotten}, 3 or more remembered unheard {sum(gap < -2 for gap in apart)}, "
        f"not as written {sum(bool(wrong) for *_, wrong in found)}"
    )
    for wrong in filter(None, (wrong for *_, wrong in found)):
        print("           remembered:", repr(wrong))
    print("           heard minus remembered:", dict(sorted(collections.Counter(apart).items())))
    return 1 - close


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--peer", type=int, default=50)
    asked = parser.parse_args()
    logger.remove()
    g2p.warm_up()
    ours = tell("this", asyncio.run(measure(asked.count, peer=False)))
    theirs = tell("reference", asyncio.run(measure(asked.peer, peer=True)))
    print(f"wrong by more than 2 characters: {100 * ours:.1f} % against {100 * theirs:.1f} %")


if __name__ == "__main__":
    main()
