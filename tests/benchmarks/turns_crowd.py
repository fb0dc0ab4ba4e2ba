"""A crowd to learn from: everybody whom the kept half has not, and blends of two of them, who are throats of their own.

What people say most into the agent's speech is said by many of them, in many intonations; all else now and then, alone
or behind something short. Utterances depend on their number alone, so that a crowd may grow.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from agent.turns.interjections import is_nod
from tests.benchmarks import turns_reactions_said as more
from tests.benchmarks.turns_heard import voices_for
from tests.benchmarks.turns_reactions_said import texts
from tests.benchmarks.turns_said import QUESTIONS, SCRIPTS, UNSEEN_COMMANDS, UNSEEN_NODS, UNSEEN_QUESTIONS
from tts_service.kokoro.cast import native, table_names

UTTERANCES = 4800
SPEEDS = (0.8, 0.9, 1.0, 1.0, 1.1, 1.2, 1.3)
BLENDED = {"zh": 0.85, "en": 0.5, "": 0.7}
"""How often somebody of that mother tongue is blended with somebody else, of whom less than half is there."""
MOTHERS = {"zh": 0.45, "en": 0.4, "": 0.15}
MANDARIN = {"zh": 0.9, "": 0.5, "en": 0.15}
"""How often somebody of that mother tongue speaks it."""
KINDS = {"nod": 0.5, "command": 0.36, "sentence": 0.14}
MOST, ALONE = 0.4, 0.35
"""How often it is something that is said most, and how often something else; the rest is in two."""
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
FIRST = {
    "zh": (
        "嗯，/嗯嗯，/哦，/噢，/对，/对对，/好，/是，/啊，/行，/是的，/好的，",
        "喂，/哎，/不，/等等，/停，/别，/不对，/你/先/快/请",
    ),
    "en": (
        "Mm, /Mm-hmm, /Uh-huh, /Oh, /Yeah, /Yes, /Okay, /Right, /Ah, /Sure, ",
        "No, /Hey, /Wait, /Stop, /Sorry, /Please ",
    ),
}
"""What nods begin with, and commands."""
THEN = {
    "zh": (
        "对/对的/好/好的/是/是的/是啊/行/可以/明白/明白了/知道了/没错/了解/懂了/清楚/这样啊/不错/挺好/当然/有意思/确实/原来如此/真的",
        "停/停下/停一停/先停/等等/等一下/等一等/等我说完/别说了/别讲了/不是/不是这样/不对/听我说/我问一下/换一个/"
        "打住/慢点/够了/安静/不要了/我有问题/先别讲/停下来/暂停一下/打断一下",
    ),
    "en": (
        "right/okay/sure/yeah/yes/I see/got it/of course/nice/great/good/exactly/true/cool/totally/I know/really/"
        "I understand",
        "stop/wait/hold on/hang on/no/not that/not now/listen/listen to me/that's wrong/one second/be quiet/"
        "let me talk/stop talking/stop there/go back/slow down/I have a question/enough/shut up/hold it",
    ),
}
"""What follows there."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something that is said into the agent's speech."""

    text: str
    """By `|` a nod before the sentence ends."""
    meant: bool
    """Whether it interrupts."""
    voice: str
    speed: float


def crowd() -> Iterator[Utterance]:
    """Everything that it says."""
    kept = {name for language in ("zh", "en") for name in voices_for(language, kept=True)}
    people = [name for name in table_names() if name not in kept]
    unseen = {
        bare(t) for table in (UNSEEN_NODS, UNSEEN_COMMANDS, UNSEEN_QUESTIONS) for ts in table.values() for t in ts
    }
    said = {language: sayings(language) for language in ("zh", "en")}
    for number in range(UTTERANCES):
        dice = random.Random(f"crowd {number}")
        [mother] = dice.choices(list(MOTHERS), list(MOTHERS.values()))
        voice = dice.choice([name for name in people if native(name) == mother])
        if dice.random() < BLENDED[mother]:
            other = dice.choice([name for name in people if name[1] == voice[1] and name != voice])
            voice += f"+{other}@{dice.uniform(0.5, 0.85):.2f}"
        language = "zh" if dice.random() < MANDARIN[mother] else "en"
        [kind] = dice.choices(list(KINDS), list(KINDS.values()))
        often, seldom = said[language][kind]
        chance = dice.random()
        if chance > MOST + ALONE and kind != "sentence":
            text = in_two(language, kind == "command", dice)
        else:
            text = dice.choice(often if chance < MOST else seldom)
        if bare(text) not in unseen:
            yield Utterance(text, kind != "nod", voice, dice.choice(SPEEDS))


def sayings(language: str) -> dict[str, tuple[list[str], list[str]]]:
    """What is said most and what else, of each kind."""
    between = "" if language == "zh" else " "
    scripts = [
        script.text.replace("|", between)
        for script in SCRIPTS
        if script.language == language and not script.kept and script.kind != "plain"
    ]
    return {
        "nod": (texts(NODS[language]), texts(more.NODS[language])),
        "command": (texts(COMMANDS[language]), texts(more.COMMANDS[language])),
        "sentence": (
            [begun(text, language) for text in QUESTIONS[language]],
            [begun(text, language) for text in texts(more.SENTENCES[language]) + scripts],
        ),
    }


def in_two(language: str, is_command: bool, dice: random.Random) -> str:
    """Something short and something else."""
    behind_nod = is_command and dice.random() < 0.3
    first = dice.choice(FIRST[language][is_command and not behind_nod].split("/"))
    then = dice.choice(THEN[language][is_command].split("/"))
    return f"{first}{'|' * behind_nod}{then}{'。' if language == 'zh' else '.'}"


def begun(sentence: str, language: str) -> str:
    """So much of it that it has told what it is, by `|` a nod before it ends."""
    nod, comma, rest = sentence.replace("|", "").partition("，" if language == "zh" else ", ")
    if comma and is_nod(nod):
        return f"{nod}{comma}|{begun(rest, language)}"
    return sentence[:9] if language == "zh" else " ".join(sentence.split()[:5])


def bare(text: str) -> str:
    """Its letters."""
    return "".join(char for char in text.lower() if char.isalnum())
