"""What is said into the agent's speech to learn how nods and interruptions sound: by `|` a nod before a sentence ends.

All of it was written for this. What `turns_said` keeps as unseen is not here.
"""

from __future__ import annotations

NODS = {
    "zh": """
嗯。 嗯嗯。 嗯哼。 嗯？ 嗯…… 嗯，嗯。 嗯，嗯，嗯。 对。 对对。 对对对。 对对对对。 对呀。 对啊。 对的。 没错。
没错没错。 是。 是的。 是的是的。 是啊。 是呀。 是是是。 是吗？ 是哦。 哦。 哦哦。 哦哦哦。 哦？ 噢。 噢噢。 喔。 啊。
啊？ 啊啊。 好。 好好。 好好好。 好的。 好的好的。 好呀。 好啊。 好嘞。 好哦。 行。 行吧。 行啊。 可以。 可以啊。
明白。 明白了。 明白明白。 知道。 知道了。 我知道。 了解。 了解了。 清楚了。 懂。 我懂。 真的？ 真的吗？ 真的啊？
真的假的？ 这样啊。 这样子啊。 原来如此。 原来是这样。 怪不得。 难怪。 当然。 当然了。 当然啦。 确实。 确实是。 的确。
厉害。 不错。 不错不错。 挺好。 挺好的。 很好。 太好了。 真好。 真棒。 有意思。 哇。 哇塞！ 天哪。 哈哈。 哈哈哈。
呵呵。 嘿嘿。 没问题。 没事。 没关系。 也是。 也对。 倒也是。 那是。 就是。 就是啊。 是这样。 是这样的。 嗯，好。
嗯，好的。 嗯，是的。 嗯，对对。 嗯，明白。 嗯，知道了。 嗯啊。 哦，好。 哦，好的。 哦，这样。 哦，明白了。 哦，对。
哦，原来如此。 啊，对。 啊，是的。 啊，好的。 好，好。 好，明白了。 好，知道了。 对，没错。 对，是的。 行，好的。 欸？
诶。 唉。 哎呀。 哎哟。 同意。 好极了。
说得对。 说得好。 讲得好。 有意思啊。 那挺好。 那不错。 那太好了。 挺不错的。 还不错。 还行。 还可以。 还好。 好棒。
真厉害。 太厉害了。 好厉害。 真有意思。 真有趣。 有趣。 好玩。 哦，原来啊。 哦，这样子。 是这么回事。 就这样。 那行。
那好。 那可以。 那当然。 必须的。 一点没错。 完全正确。 正确。 对极了。 太棒了。 好样的。 谢谢。 哦，谢谢。 我明白。
我明白了。 我了解。 我清楚。 晓得了。 收到。 没意见。 赞成。 支持。 我也觉得。 我也这么想。 我也是。 同感。 是呢。
对呢。 好呢。 嗯呢。 对嘛。 是嘛。 天啊。 我的天。 真没想到。 哎呀，真好。 这么好。 这么多啊。 这样呀。 你说得对。
你说的对。 这倒是。 确实不错。 很有意思。 非常好。 非常对。
""",
    "en": """
Uh-huh. Uh-huh, uh-huh. Mm-hmm. Mm-hmm, mm-hmm. Mhm. Mm. Mmm. Hmm. Hm. Yeah. Yeah, yeah. Yeah, yeah, yeah. Yeah? Yes.
Yes, yes. Yep. Yup. Yup, yup. Right. Right? Right, okay. Okay. Okay, okay. Okay? Okay, sure. Alright. All right. Sure.
Sure, sure. Sure thing. Of course. I see. I see, I see. Oh, I see. Oh. Oh? Oh, okay. Oh, right. Oh, wow. Oh, nice.
Oh, great. Oh, good. Oh my. Ah. Ah, okay. Ah, I see. Ah, right. Aha. Really? Really. Is it? Great. Good. Good point.
Cool. Nice. Very good. Perfect. Excellent. Fine. That's fine. That's good. That's great. That's nice. That's correct.
Interesting. That's interesting. Exactly. Definitely. Totally. Indeed. True. Very true. Fair enough. Got it. Gotcha.
I got it. I know. I know, right. I understand. Understood. I get it. I agree. Agreed. No problem. Uh-huh, yeah.
Uh-huh, okay. Mm-hmm, right. Yeah, okay. Yeah, right. Yeah, sure. Yeah, I see. Yeah, exactly. Yes, exactly.
Yes, right. Okay, good. Okay, great. Okay, got it. Okay, I see. Okay, cool. Ha ha. Ha. Amazing. Awesome. Wonderful.
Lovely. Sounds good. Good to know. Whoa. Gosh. You bet. Correct. Oh, cool. Mm, yeah. Mm, okay.
I suppose so. I guess so. I think so too. Me too. Same here. So true. How true. How interesting. How lovely.
How funny. That's funny. That's cool. That's amazing. That's wonderful. That's fantastic. That's lovely. That's fair.
That figures. That works. Works for me. Sounds right. Sounds fine. Looks good. Very well. Well done. Good to hear.
Great to hear. Glad to hear it. Good news. Great idea. Good stuff. Well said. Point taken. Fair point. I follow you.
I'm with you. I'm listening. Go on. Keep going. Carry on. Thank you. Thanks. Oh, thanks. Oh, sure. Oh, of course.
Okay then. All good. No doubt. Certainly. Naturally. Obviously. Clearly. Precisely. Yes, agreed. Yes, of course.
Yeah, of course. Yeah, true. Yeah, good. Uh-huh, right. Uh-huh, sure. Mm, right. Mm, nice. Mm-hmm, okay. Oh gosh.
Oh dear. My goodness. Seriously? You're kidding. Is that so? I like that. I like it. Nice, okay. Great, thanks.
""",
}
"""Nods of either language."""
COMMANDS = {
    "zh": """
停。 停停。 停停停。 停下。 停住。 停一下。 停下来。 你停。 你先停。 先停一下。 快停。 我说停。 好了，停。 等。 等等。
等等等等。 等一下。 等一下，等一下。 等会儿。 等一等。 等下。 先等一下。 你等等。 稍等。 稍等一下。 不对。 不是。
不是的。 不不。 不不不。 不要。 不用。 不用了。 不行。 不好。 不可以。 不，不是。 别。 别，别。 别说了。 别讲了。
别念了。 别再说了。 打住。 够了。 慢着。 慢点。 慢一点。 错了。 错错错。 你错了。 说错了。 喂。 喂，喂。 哎，等等。
哎，不对。 嘿。 换一个。 换个话题。 跳过。 下一个。 下一条。 再说一遍。 重来。 重新说。 你说什么？ 什么？ 什么意思？
为什么？ 怎么了？ 怎么会？ 谁？ 哪里？ 几点？ 多少？ 多少钱？ 算了。 算了吧。 取消。 退出。 返回。 关掉。 小声点。
大声点。 太快了。 太吵了。 听不清。 没听清。 我不要。 我不想听。 不想听了。 让我说。 让我说完。 我问你。 我想问。
我想问一下。 那个。 那个，我问一下。 请问。 请问一下。 不好意思。 抱歉。 可是。 可是我。 但是。 但是呢。 不过。
不过我。 那。 那么。 所以呢？ 然后呢？ 还有呢？ 如果。 我要。 我是说。 我的意思是。 其实。 其实我。 你能不能。
你先听我讲。
""",
    "en": """
Stop. Stop it. Stop, stop. Stop, stop, stop. Please stop. Just stop. Stop talking. Stop there. Okay, stop. Wait.
Wait, wait. Wait, wait, wait. Wait a second. Wait, what? Just wait. Hold on. Hold on a second. Hold up. Hang on.
Hang on a second. No. No, no. No, no, no. No, stop. No, thanks. No, not that one. Nope. Not now. Not yet. Don't.
Don't say that. Enough. That's enough. Shut up. Quiet. Quiet, please. Excuse me. Pardon me. Sorry, but. Sorry, what?
I'm sorry. Hey. Hey, hey. Hello? Just a moment. One second. One moment. That's wrong. That's not it. That's not right.
You're wrong. Wrong. Skip this. Skip it. Next. Next one. Cut it. Go back. Back up. Again. Say that again. Repeat that.
Start over. Forget it. Cancel. Quit. Let me talk. Let me finish. Let me ask. Can you. Could you. Can I ask something?
But. But I. But wait. Actually. Actually, no. Well. Well, I. So. So what? What? What about. What's that? Why? Why not?
How? How come? Who? When? Where? Which one? Too fast. Slow down. Louder. I can't hear you. I don't want that.
I don't think so. I want. I need. I have. I was going to. Give me. Tell me. Show me. Give me a minute. Change it.
Turn it off.
""",
}
"""What stops somebody who speaks, and how people begin who break in."""
SENTENCES = {
    "zh": """
明天天气怎么样？ 我想订一张去北京的票。 帮我查一下余额。 你们几点关门？ 能便宜一点吗？ 我昨天已经交过了。 这个怎么用？
你说的是哪一个？ 刚才那个再讲一遍。 我的电话号码换了。 可以用微信付款吗？ 给我转人工。 今天星期几？ 下周三有空吗？
那我应该怎么办？ 要多长时间？ 是不是要带身份证？ 有没有别的办法？ 我听不懂你在说什么。 你能说英语吗？
对，|但是我不想要这个。 好，|那就这样，再见。 嗯，|我想问一下价格。 是的，|不过我要改时间。 哦，|那地铁怎么走？
知道了，|下一个问题。 嗯，|等一下。 对对，|那多少钱？ 行，|帮我订两个。 啊，|我忘了说。 嗯，|停。 他昨天来过。
老师说不用交。 如果下雨怎么办？ 因为我没时间。 最近有什么电影？ 帮我定个闹钟。 把声音调小。 我们三个人。
从这里到机场要多久？ 谁告诉你的？ 电影几点开始？ 对面有超市吗？ 是谁打来的？ 好多人都这么说。 行李放在哪里？
""",
    "en": """
What's the weather tomorrow? I'd like to book a table. Can you check my balance? When do you close?
Is there a cheaper one? I already paid yesterday. How does this work? Which one do you mean? Say the last part again.
My number has changed. Can I pay by card? Put me through to somebody. What day is it today? Are you free on Wednesday?
So what should I do? How long does it take? Do I need my passport? Is there another way? I don't understand you.
Do you speak Chinese? Yes, |but I don't want that. Okay, |then let's do it, goodbye. Yeah, |I have a question.
Right, |but I need to change the date. Oh, |and where is the station? I see, |next question. Uh-huh, |wait a second.
Okay, |how much is that? Sure, |book two of them. Ah, |I forgot something. Mm-hmm, |stop. He came yesterday.
My teacher said no. If it rains what then? Because I have no time. Any good movies lately? Set an alarm for six.
Turn the volume down. There are three of us. Is it far from here? Who told you that? When does the movie start?
The other one please. That's not what I ordered. I see a problem there. Right now I can't talk.
""",
}
"""Questions and statements, some behind a nod."""


def texts(table: str) -> list[str]:
    """The utterances of a table: what ends in a mark, up to the next."""
    found: list[str] = []
    for piece in table.split():
        if found and found[-1][-1] not in "。？！?!.…":
            found[-1] += f" {piece}"
        else:
            found.append(piece)
    return found
