"""Closed classes of Mandarin and English: words that announce another one, and words after which a clause is over.

Every pattern looks at the end of a lower-case text without its last punctuation, where nothing else is said. Open
classes (nouns, most verbs) tell nothing and are not here.
"""

from __future__ import annotations

import re


def _last(hanzi: str, english: str) -> re.Pattern[str]:
    """Matches a text that ends in one of these: hanzi between spaces, English between commas."""
    words = "|".join(re.split(r"\s*,\s*", " ".join(english.split())))
    return re.compile(rf"(?:{'|'.join(hanzi.split())}|\b(?:{words}))$")


FILLER = _last(
    "嗯+ 呃+ 额 那个 这个 就是 就是说 怎么说呢? 叫什么(?:来着)? 让?我想想 让?我(?:看|查)(?:看|查|一下)",
    "u+[hm]+, er+m?, hm+, you know, i mean, let me (?:see|think|check), how (?:do|should) i (?:say|put)(?: this| it)?, "
    "what(?: was|'s| is) it(?: called)?, what do you call it, like, well, (?:some )?(?:kind|sort) of, something like",
)
"""The speaker looks for a word."""

CONJUNCTION = _last(
    "因为 由于 所以 因此 于是 但是? 可是 不过 然而 然后 接着 而且 并且 或者? 还是 要么 如果 要是 假如 万一 虽然 虽说 "
    "尽管 即使 就算 既然 "
    "只要 只有 除了 除非 无论 不管 以及 还有 甚至 另外 首先 其次 一方面 比如说? 例如 包括 的话 的时候 以后 之后 之前 "
    "第[一二三四五]",
    "and, or, but, nor, because, unless, if, when, while, whereas, although, though, whether, since, until, once, "
    "than, "
    "(?<!think )(?<!hope )(?<!guess )so, as, then, also, which, who, whose, except, including, especially, first",
)
PREPOSITION = _last(
    "(?<![不存实现])在 (?<![一两三几])把 (?<!棉)被 将 给 (?<!方)向 (?<!来)往 (?<!服)从 自从 对于 关于 至于 "
    "(?<![温暖])和 跟 (?<!参)与 替 "
    "(?<!行)为 为了 按照? 根据 通过 随着 (?<![距分脱])离 (?<![对价分])比 (?<![看收听想遇找碰做办得达买拿报迟不没])到",
    "to, of, for, with, at, by, from, about, into, onto, without, between, among, during, near, via, per, toward, "
    "towards, "
    "through, behind, beside, despite, (?<!it )(?<!them )(?<!log )(?<!sign )(?<!come )(?<!get )(?<!hold )(?:in|on)",
)
DETERMINER = _last(
    "[这那哪每某] [这那哪每某]个 [这那各某一]种 [这那某]些 一个 (?<!等)(?<!等我)一下",
    "the, a, an, my, your, his, her, its, our, their, every, some, double, triple, "
    "(?:the|a|an|my|your|our|this|that) (?:big|small|large|new|old|main|whole|other|certain|different)",
)
SUBJECT = _last(
    "(?<!谢谢)(?<!感谢)(?<!告诉)(?<!通知)(?<!联系)(?<!喜欢)(?<![爱找等问陪])[我你您他她它咱]们?",
    "i, we, he, she, they, (?:i|you|we|they|he|she|it|that|there|who|what)'(?:m|re|s|d|ll|ve), let's",
)
VERB = _last(
    "(?<=.)(?<![是不也])是 叫做? 喊 姓 [属等位处]于 来自 成为 [变改换当做分]成 (?<![不理感联想])想[要问找买订]? "
    "[要去][找买订问] 需要 打算 准备 "
    "希望 觉得吧? 感觉 认为 以为 听说 建议 估计 负责 帮我 麻烦[你您] [我你您他她们就只还]要 (?<!没)有 应该 必须 可能 "
    "也许 "
    "[^不]能不能 可不可以 有没有 是不是 会不会 要不要",
    "is, are, was, were, am, be, been, has, have, had, does, did, can, could, will, would, should, must, might, "
    "(?:do|does|did|is|are|was|were|have|has|had|could|would|should|can|wo)n?'t, i think, wants?, needs?, prefers?, "
    "would like, i'd like, called, named, means, says, said, told, seems, keeps, set, put, let, let me, "
    "looking, planning, hoping, trying, supposed, able",
)
"""Copulas, auxiliaries and verbs that are nothing without what follows."""
ADVERB = _last(
    "很 非常 比较 最 更 太 挺 有点儿? 大概 大约 好像 似乎 其实 一直 总是 经常 老是 已经 正在 还没 [没不]太 稍微 尽量 "
    "最好 至少 也 又 再 还 "
    "(?<![首成])都 (?<!成)就 (?<![刚人天])才 (?<![一两三几])只 (?<!首)先",
    "very, really, quite, rather, just, still, only, even, almost, maybe, perhaps, probably, actually, usually, always",
)
OPEN = (CONJUNCTION, PREPOSITION, DETERMINER, SUBJECT, VERB, ADVERB)

SHORT_ANSWER = re.compile(
    r"(?P<word>(?:(?:yes|no|yeah|nope|sure|of course)\W+)*)(?:i|we|you|it|they|he|she|that|there) "
    r"(?:am|is|are|was|were|do|does|did|have|has|had|can|could|will|would|should)(?:n't| not)?"
    r"|我[是有会要]|[是有会要]的?"
)
"""Yes and no in whole sentences: they end in a verb and are complete."""
ATTRIBUTE = re.compile(r"(?<![是好对真行])的$")
"""大的, 我妈妈喜欢的: a noun will follow, unless it was asked which one, or 是 opened the sentence (是昨天买的)."""
COMPLETE_ATTRIBUTE = re.compile(r"[是都也][^，。,.]+的$|(?:可以|没有|不会|会|不是)的$")
TOPIC = re.compile(
    r"^[^到在是等]*(?:[上下这那本每](?:个?月|周|个?星期|个?礼拜|次|学期|季度)|[明去今]年)$"
    r"|^(?:and |so |well )?(?:next|last|this|every) (?:week|weekend|month|year|time|semester|spring|summer|fall"
    r"|winter)$"
)
"""When, at the beginning; what, is to come."""
DATE = re.compile(r"(?:[0-9]{2,4}|[零〇一二三四五六七八九]{2,4})年$|(?:[0-9]{1,2}|十?[一二三四五六七八九十])月$")
"""A year without its month, a month without its day."""
ADDRESS = re.compile(r"(?:[省市区县镇路街道巷栋幢]|号楼|单元)$|\b(?:street|road|avenue|drive|lane|boulevard)$")
"""What a finer part of an address follows."""
LABEL = re.compile(
    r"(?<![0-9零一二三四五六七八九十])(?:号码?|码|楼)$|\b(?:apartment|suite|unit|flat|room|number|flight|gate|platform|page|chapter|extension|code"
    r"|box)$"
)
"""What a number follows."""

CLOSED = re.compile(
    r"(?:[吗呢吧了啦呀嘛]|谢谢[你您]?|再见|多少钱?|几[点个位次天号]|什么|哪里|哪儿|怎么样|怎么办|为什么|[没还]有"
    r"|不用|可以|行|好的?|好不好|对不对|行不行"
    r"|还是.+|\b(?:thank you|thanks(?: a lot)?|please|(?:good)?bye|that's (?:all|it)|okay|again|today|tonight|tomorrow"
    r"|yesterday|now|too|either|already|instead|it|me|them))$"
)
"""A particle, a question word, a courtesy, an object: little follows."""
SUBORDINATE = re.compile(
    r"^(?:那|嗯|就是|其实|so |well |and )?(?:如果|要是|假如|因为|由于|虽然|虽说|尽管|即使|就算|等|当|除了|关于|只要"
    r"|只有|既然|不管|无论"
    r"|一方面|首先|第一|我?本来|我先|不是我?不|(?:if|because|although|though|even (?:if|though)|when|while|since|unless"
    r"|after|before|apart from|about the|on the one hand|first|once|until|as (?:soon|long|far) as|it's not that|given"
    r"|provided|in case|besides|instead of|despite)\b)"
)
"""A clause that needs another one."""
MAIN = re.compile(
    r"[就却才]|所以|但是?|可是|能不能|另一方面|再给|然后"
    r"|\b(?:then|but|on the other hand|\w+'ll|(?:could|can|will|would|should) (?:you|i|we)|(?:we|you) should)\b"
)
"""Which that other one has."""
