"""A crowd to learn from: everybody whom the kept half has not, and blends of two of them, who are throats of their own.

What people say most into the agent's speech is said by each of them, in many intonations.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.benchmarks import turns_reactions_said as more
from tests.benchmarks.turns_heard import voices_for
from tests.benchmarks.turns_reactions_said import texts
from tts_service.kokoro.cast import native, table_names

READINGS = 15
"""Of each speaker."""
PARTNERS = 8
"""Of each native speaker of Mandarin, to blend with."""
SHARES = (0.5, 0.7)
"""What is left of the first of two."""
SPEEDS = (0.8, 0.9, 1.0, 1.0, 1.1, 1.2, 1.3)
MANDARIN = {"zh": 0.85, "": 0.55, "en": 0.25}
"""How often somebody of that mother tongue speaks it."""
KINDS = (0.5, 0.92, 1.0)
"""How often it is a nod at most, how often a command, and how often a sentence."""
NODS = {
    "zh": """
嗯。 嗯？ 嗯！ 嗯…… 嗯，嗯。 嗯嗯。 嗯嗯！ 嗯嗯嗯。 嗯哼。 对。 对！ 对…… 对对。 对对对。 对对对！ 对，对。 对啊。
对的。 对呀。 好。 好！ 好…… 好啊。 好好。 好的。 好的！ 好的好的。 好，好的。 哦。 哦？ 哦！ 哦…… 哦哦。 哦，哦。
噢。 是。 是！ 是是。 是的。 是的！ 是的是的。 是啊。 是啊！ 是吗？ 啊。 啊？ 啊！ 啊…… 啊啊。 行。 行！ 行…… 行啊。
没错。 没错！ 明白。 知道了。 可以。 嗯，好。 哦，好的。 嗯，是的。 真的？ 这样啊。
""",
    "en": """
Uh-huh. Uh-huh! Mm-hmm. Mm-hmm… Mhm. Mm. Hmm. Yeah. Yeah! Yeah? Yeah… Yeah, yeah. Yes. Yes! Yep. Yup. Right. Right!
Right? Okay. Okay! Okay? Okay… Oh. Oh! Oh? Oh… Ah. I see. I see! Oh, I see. Sure. Sure! Alright. Got it. Got it! Cool.
Great. Really? True. Exactly. Of course. Uh-huh, uh-huh.
""",
}
COMMANDS = {
    "zh": """
停。 停！ 停…… 停停。 停停停。 停停停！ 停下。 停下！ 停一下。 等。 等！ 等等。 等等！ 等等等等。 等一下。 等一下！
等会儿。 等下。 稍等。 不。 不！ 不不。 不不不。 不对。 不对！ 不是。 不是！ 不是的。 不要。 不要！ 不行。 别。 别！
别说了。 别说了！ 别讲了。 打住。 打住！ 慢着。 慢着！ 慢点。 够了。 够了！ 错了。 喂。 喂！ 什么？ 为什么？ 换一个。
算了。 那个。 可是。
""",
    "en": """
Stop. Stop! Stop… Stop it. Stop, stop. Wait. Wait! Wait… Wait, wait. Wait a second. No. No! No… No, no. No, no, no.
No, stop. Hold on. Hold on! Hang on. Shut up. Shut up! Enough. Enough! Hey. Hey! Don't. What? Why? But. Excuse me.
Actually.
""",
}


def speakers() -> list[str]:
    """Everybody: those who are in no half, those of the development half, and blends of all of them."""
    kept = {name for language in ("zh", "en") for name in voices_for(language, kept=True)}
    people = [name for name in table_names() if name not in kept]
    blends = []
    for sex in "fm":
        for first in (name for name in people if native(name) == "zh" and name[1] == sex):
            dice = random.Random(first)
            others = dice.sample([name for name in people if name[1] == sex and name != first], PARTNERS)
            blends += [f"{first}+{other}@{share}" for share, other in zip(SHARES * PARTNERS, others, strict=False)]
        others = random.Random(sex).sample([name for name in people if name[1] == sex and native(name) != "zh"], 8)
        blends += [f"{one}+{other}@{SHARES[0]}" for one, other in zip(others[::2], others[1::2], strict=True)]
    return people + blends


def readings() -> Iterator[tuple[str, bool, str, float]]:
    """Text, whether it interrupts, speaker and tempo, one of each speaker after the other."""
    tables = {language: [texts(table[language]) for table in (NODS, COMMANDS)] for language in ("zh", "en")}
    sentences = {language: [text for text in texts(more.SENTENCES[language]) if "|" not in text] for language in tables}
    everybody = speakers()
    for number in range(READINGS):
        for voice in everybody:
            dice = random.Random(f"{voice} {number}")
            language = "zh" if dice.random() < MANDARIN[native(voice)] else "en"
            chance = dice.random()
            kind = next(kind for kind, most in enumerate(KINDS) if chance < most)
            text = dice.choice((*tables[language], sentences[language])[kind])
            yield text, kind > 0, voice, dice.choice(SPEEDS)
