"""What is said to the agent in the bench of turn-taking: `|` is a pause inside the turn, the end is the turn's end.

`_SAID` is for development, `_KEPT` for the figure: other topics, written after the rules and not looked at by them.
All of it was written for this bench.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Script:
    """One turn of a user."""

    language: str
    kind: str
    """`numbers`, `search` (for a word), `list`, `clause` or `plain` (without a pause)."""
    question: str
    """What the agent had asked; empty for nothing."""
    text: str
    kept: bool
    """Kept for the figure."""


_SAID: dict[tuple[str, str], str] = {
    ("zh", "numbers"): """
请问您的手机号码是多少？	一三八|零零一三|八零零零。
请留一下您的联系电话。	我的电话是一三九|二二五八|七七六一。
您的身份证号是多少？	幺幺零|一零五|一九九零|零三零七|二二幺四。
请报一下快递单号。	七三|五五零六|一八二九|四四。
请问您的手机号是多少？	好的，一五零|六六七八|九零二三。
请念一下验证码。	四八二|九零五。
您的银行卡后四位是多少？	六二|九一。
请问您的订单号是？	订单号是二零二四|零八一五|三三七。
请留个电话，我们回复您。	嗯，一八六|一二三四|五六七八，找王先生。
请说一下会员号。	八八零|三三五|二一。
您家的门牌号是多少？	三号楼|二单元|一零零二。
请问您的电话？	零幺零|六二七八|五五三三。
	帮我打这个号码，一三三|四四零二|九九一八。
	你记一下，密码是七七二|五八三。
请问您的生日是哪天？	一九九二年|八月|十七号。
您的车牌号是多少？	京A|八五|六二Q。
""",
    ("zh", "search"): """
	我想找一下那个|就是上次|你说的那家餐厅。
	你能不能帮我查一下|呃|去上海的火车票？
请问您想咨询什么？	我想问一下，就是|那个|退款什么时候到账。
	我昨天看了一部电影，叫|叫什么来着|流浪地球。
	麻烦你把那个|嗯|空调的温度|调到二十六度。
请问有什么可以帮您？	是这样的，我的|我的账户|好像登录不上去了。
	我们公司在|在那个|人民广场旁边。
	有没有一种|怎么说呢|不太甜的蛋糕？
	我觉得吧|这个方案|还是有点贵。
	我想订一个|大概|四个人的位子。
您遇到了什么问题？	它就是|一直|连不上无线网络。
	你知道那个|就是那个|唱青花瓷的歌手吗？
	我打算下个月去|呃|云南旅游。
	请帮我把明天的会议|改到|后天下午三点。
	我妈妈喜欢的是|是那种|比较清淡的菜。
	你刚才说的那个词|我没太|没太听懂。
""",
    ("zh", "list"): """
您需要买些什么？	苹果|香蕉|还有一盒牛奶。
请问您想点什么菜？	一份宫保鸡丁|一份麻婆豆腐|再来两碗米饭。
	提醒我买三样东西，鸡蛋|面包|和洗衣液。
您去过哪些城市？	北京|西安|成都|还有杭州。
	我星期一|星期三|和星期五有空。
请问都有哪些人参加？	有小李|老张|还有市场部的刘经理。
	第一要便宜|第二要快|第三要安全。
您有什么症状？	头疼|发烧|嗓子也不舒服。
您平时有什么爱好？	跑步|看书|有时候也打打羽毛球。
	我要一杯拿铁|一杯美式|都要热的。
请问您带了哪些材料？	户口本|身份证|还有两张照片。
	帮我关掉客厅的灯|卧室的灯|和厨房的灯。
""",
    ("zh", "clause"): """
	如果明天下雨的话|我们就改到下个星期。
	因为我今天要加班|所以晚饭你们先吃吧。
	虽然价格有点高|但是质量确实不错。
	我本来想早点来的|可是路上堵车了。
	等我到了以后|我再给你打电话。
	我先去一趟银行|然后再去超市。
	要是你有时间|能不能帮我看看这份合同？
	我看了你们的介绍|觉得挺好的|就是不知道怎么报名。
	不是我不想去|是真的没有时间。
	除了价格以外|还有什么区别？
	当时我就跟他说|这件事情不能这么办。
	我住的那个小区|离地铁站很远。
	关于上次的那个问题|我已经解决了。
	一方面要考虑成本|另一方面也要考虑时间。
""",
    ("zh", "plain"): """
您确定要取消吗？	是的。
需要发票吗？	不用了，谢谢。
	今天天气怎么样？
	现在几点了？
请问您几位？	三个人。
您想约什么时间？	明天下午两点。
	给我讲个笑话吧。
	我明白了。
还有其他问题吗？	没有了。
	你叫什么名字？
请问您贵姓？	我姓陈。
	帮我定一个七点的闹钟。
您要大杯还是小杯？	大杯的。
	好的，再见。
	这个多少钱？
您喜欢这个颜色吗？	挺喜欢的。
	我想退货。
	请再说一遍。
请问您在哪个城市？	广州。
	怎么去机场比较快？
	把声音调大一点。
您今年多大了？	二十八岁。
	我知道了，谢谢你。
	十二加三十等于多少？
""",
    ("en", "numbers"): """
What is your phone number?	Five five five|two one seven|eight four nine three.
Could I have your order number?	It's seven three|nine zero two|one one eight.
What is your card number?	Four zero one two|eight eight eight eight|one eight eight one.
Please read me the confirmation code.	B seven|four Q|nine two.
What number can we reach you at?	Sure, four one five|six six zero|two two nine one.
What is your date of birth?	March fourteenth|nineteen|eighty eight.
Your account number, please?	One zero nine|three four|seven seven six.
What is your address?	Twelve forty|Maple Street|apartment nine.
	Please call two one two|five five five|zero one four seven.
	Write this down, eight two six|four four one.
Can you give me the serial number?	X L|three three zero|five eight nine.
What is your zip code?	Nine four|one zero seven.
How many did you order?	I think it was|a hundred|and fifty.
What time suits you?	Maybe four|or four thirty.
What is your flight number?	B A|two eight|six.
Your membership number?	Double three|seven one|zero six two.
""",
    ("en", "search"): """
	I'm looking for the|um|the restaurant you mentioned last week.
	Can you check|uh|the train to Boston for me?
How can I help you?	Well, I wanted to ask about|about the refund|for my last order.
	I watched a film yesterday, it was called|what was it|Arrival.
	Could you set the|the thermostat|to seventy degrees?
What seems to be the problem?	So my|my account|won't let me log in.
	Our office is near|the big|train station.
	Do you have something|how do I say this|a bit less sweet?
	I think that|this plan|is still too expensive.
	I'd like to book a table for|let me see|four people.
What happened?	It just|it keeps|losing the connection.
	Do you know the|you know|the singer of Yellow?
	Next month I'm planning to go to|uh|Portugal.
	Please move tomorrow's meeting to|to Friday|at three.
	My mother prefers|like|something with less salt.
	That last word|I didn't|I didn't quite catch it.
""",
    ("en", "list"): """
What do you need from the store?	Apples|bananas|and a carton of milk.
What would you like to order?	One cheeseburger|a large fries|and two lemonades.
	Remind me to buy eggs|bread|and some detergent.
Which cities have you been to?	Rome|Madrid|Lisbon|and Vienna.
	I'm free on Monday|Wednesday|and Friday.
Who is coming?	There's Anna|Peter|and the new manager.
	First it has to be cheap|second it has to be fast|and third it should be safe.
What symptoms do you have?	A headache|a fever|and my throat hurts too.
What are your hobbies?	Running|reading|and sometimes I play tennis.
	I'll have a latte|and an espresso|both to go.
Which documents did you bring?	My passport|my driver's license|and two photos.
	Turn off the lights in the hall|the bedroom|and the kitchen.
""",
    ("en", "clause"): """
	If it rains tomorrow|we should move it to next week.
	Because I have to work late|you should start dinner without me.
	Although it costs more|the quality is really good.
	I wanted to come earlier|but there was a lot of traffic.
	When I get there|I'll give you a call.
	First I'm going to the bank|and then to the supermarket.
	If you have a minute|could you look at this contract?
	I read about your course|and it sounds great|but how do I sign up?
	It's not that I don't want to|I really don't have the time.
	Apart from the price|what is the difference?
	So I told him|that we can't do it like this.
	The apartment where I live|is far from the station.
	About the problem from last time|I already solved it.
	On the one hand it's cheap|on the other hand it takes forever.
""",
    ("en", "plain"): """
Are you sure you want to cancel?	Yes, I am.
Do you need a receipt?	No, thank you.
	What's the weather like today?
	What time is it?
For how many people?	Three people.
When would you like to come?	Tomorrow at two.
	Tell me a joke.
	I see, that makes sense.
Anything else?	No, that's all.
	What's your name?
What is your last name?	It's Miller.
	Set an alarm for seven.
Large or small?	A large one.
	Okay, goodbye.
	How much is this one?
Do you like the color?	Yes, very much.
	I want to return this.
	Could you say that again?
Which city are you in?	Chicago.
	What's the fastest way to the airport?
	Turn the volume up a little.
How old are you?	Twenty eight.
	Got it, thanks a lot.
	What is twelve plus thirty?
""",
}

_KEPT: dict[tuple[str, str], str] = {
    ("zh", "numbers"): """
您预留的手机号是？	一七七|三二零五|六六一四。
请提供一下学号。	学号是二零二二|一一零|四五七。
麻烦报一下您的医保卡号。	好，零零三五|八八二一|九七。
	我把座机告诉你，零二一|五四三八|二二六九。
请问航班号和日期？	东航|五一零二|后天上午的。
""",
    ("zh", "search"): """
	我孩子最近|最近晚上老是|睡不着觉。
	医生说我这个属于|叫什么|轻度的脂肪肝。
您想投保哪一种？	我听朋友推荐过|一种|意外险。
	能不能把这盆花|搬到|阳台上去？
	厨房的水龙头|好像有点|漏水。
	我们班主任|就是教数学的|刘老师。
""",
    ("zh", "list"): """
请问您都有哪些工作经验？	做过销售|做过客服|也带过团队。
您对什么过敏？	花生|海鲜|还有青霉素。
	做这个菜要准备土豆|胡萝卜|和一点牛肉。
	我养了两只猫|一条狗|还有几只仓鼠。
""",
    ("zh", "clause"): """
	既然材料都交齐了|那什么时候能批下来？
	只要发烧不超过三十八度五|就先不用吃药。
	我跟房东商量过了|他说下个月|可以便宜两百块。
	虽说是二手的|但是跟新的差不多。
	我把密码忘了|现在怎么也进不去。
""",
    ("zh", "plain"): """
您的预约需要改期吗？	不用改。
	最近的医院在哪儿？
	帮我充五十块钱话费。
请问您是本人办理吗？	对，是我本人。
	这种药一天吃几次？
您要靠窗还是靠过道？	靠窗的。
	签证一般多久能下来？
	麻烦你讲慢一点。
请问您做什么工作？	我是老师。
	把这段话翻译成英文。
""",
    ("en", "numbers"): """
What's the number on your insurance card?	It's three seven two|eight one|five five oh four.
Which extension should I connect you to?	Two two|six one.
Can I have a callback number?	Area code six oh two|nine one four|seven seven three eight.
	My student number is four four one|zero eight|two nine.
What's the tracking number?	One Z|nine nine nine|eight four seven.
""",
    ("en", "search"): """
	My son has been having|um|trouble sleeping lately.
	The doctor said it was a|what do you call it|a pulled muscle.
What kind of policy are you after?	A friend recommended|some kind of|travel insurance.
	Could somebody carry this plant to|to the balcony|please?
	The tap in our kitchen|is sort of|dripping.
	I talked to my professor|the one who|teaches chemistry.
""",
    ("en", "list"): """
What work experience do you have?	I've done sales|customer support|and I've led a small team.
What are you allergic to?	Peanuts|shellfish|and penicillin.
	For this recipe we need potatoes|carrots|and a bit of beef.
	I have two cats|a dog|and a couple of hamsters.
""",
    ("en", "clause"): """
	Since all the papers are in|when will it be approved?
	As long as the fever stays low|you don't need the pills.
	I talked to the landlord|he says from next month|it could be cheaper.
	Even though it's secondhand|it looks brand new.
	I forgot my password|and now I can't get in at all.
""",
    ("en", "plain"): """
Do you need to move your appointment?	No, it's fine as it is.
	Where is the nearest hospital?
	Add fifty dollars to my phone.
Am I speaking with the account holder?	Yes, that's me.
	How often should I take this medicine?
Window or aisle?	Window, please.
	How long does a visa take?
	Speak a bit slower, please.
What do you do for a living?	I'm a teacher.
	Translate this paragraph into Chinese.
""",
}

SCRIPTS = [
    Script(language, kind, *line.split("\t"), kept=kept)
    for kept, table in ((False, _SAID), (True, _KEPT))
    for (language, kind), lines in table.items()
    for line in lines.strip("\n").splitlines()
]

NODS = {
    "zh": ("嗯。", "嗯嗯。", "对。", "对对对。", "哦。", "好。", "好的。", "是的。", "是。", "哦哦。", "啊。", "行。"),
    "en": ("Uh-huh.", "Mm-hmm.", "Yeah.", "Right.", "Okay.", "Oh.", "I see.", "Sure.", "Yep.", "Got it."),
}
"""What is said while somebody listens."""
COMMANDS = {
    "zh": ("停。", "等一下。", "等等。", "不对。", "不是。", "停下。", "别说了。", "打住。", "等会儿。", "够了。"),
    "en": ("Stop.", "Wait.", "No.", "Hold on.", "Wait a second.", "No, stop.", "Hang on.", "Shut up.", "Enough."),
}
"""What stops somebody who speaks."""
QUESTIONS = {
    "zh": (
        "那明天呢？",
        "我想问另外一个问题。",
        "你刚才说的是几点？",
        "能不能说慢一点？",
        "多少钱一个？",
        "这个我已经知道了。",
        "我要找人工客服。",
        "换一个话题吧。",
        "对了，帮我查一下天气。",
        "好的，那地址在哪里？",
    ),
    "en": (
        "What about tomorrow?",
        "I have another question.",
        "Which time did you say?",
        "Can you speak more slowly?",
        "How much is it?",
        "I already know that.",
        "Let me talk to a person.",
        "Let's change the subject.",
        "Okay, but where is it?",
        "Yeah, can you check the weather for me?",
    ),
}
"""Other interruptions, two of which begin as a nod does."""
MORE_NODS = {
    "zh": (
        "嗯哼。",
        "对呀。",
        "是啊。",
        "没错。",
        "明白。",
        "知道了。",
        "这样啊。",
        "好好。",
        "对对。",
        "嗯，好。",
        "哦，好的。",
        "是是是。",
        "嗯啊。",
        "对啊。",
        "是吗？",
        "真的啊？",
        "好嘞。",
        "哦，明白了。",
        "噢。",
        "哈哈。",
        "没问题。",
        "哇。",
    ),
    "en": (
        "Yes.",
        "Oh, okay.",
        "Really?",
        "Exactly.",
        "Alright.",
        "Cool.",
        "Yeah, yeah.",
        "Mm.",
        "Of course.",
        "True.",
        "Uh-huh, yeah.",
        "Oh, I see.",
        "Okay, okay.",
        "Yup.",
        "Ah.",
        "Right, okay.",
        "Nice.",
        "Good.",
        "Mm-hmm, mm-hmm.",
        "Oh, great.",
    ),
}
"""For development alone, as the next."""
MORE_COMMANDS = {
    "zh": (
        "停停停。",
        "等等等等。",
        "不要。",
        "先停一下。",
        "不不不。",
        "慢着。",
        "稍等。",
        "别讲了。",
        "喂。",
        "好了，停。",
        "不用了。",
        "错了。",
        "停住。",
        "别，别。",
        "等下。",
        "不行。",
        "我说停。",
        "错错错。",
        "换一个。",
        "跳过。",
        "你先停。",
        "哎，等等。",
    ),
    "en": (
        "Stop it.",
        "Wait, wait.",
        "No, no, no.",
        "Hold up.",
        "Excuse me.",
        "Sorry, but.",
        "Quiet, please.",
        "That's wrong.",
        "Just a moment.",
        "Hey!",
        "Please stop.",
        "Stop talking.",
        "No, no.",
        "Hey, hey.",
        "One second.",
        "Wait, no.",
        "Skip this.",
        "Cut it.",
        "That's not it.",
        "Let me talk.",
        "Just stop.",
    ),
}
UNSEEN_NODS = {
    "zh": (
        "嗯对。",
        "就是就是。",
        "可不是。",
        "懂了。",
        "好吧。",
        "哎。",
        "可以可以。",
        "行行。",
        "哦是吗？",
        "有道理。",
    ),
    "en": (
        "That's right.",
        "That's true.",
        "Oh really?",
        "Oh yeah.",
        "Absolutely.",
        "Makes sense.",
        "Wow.",
        "Good, good.",
        "Huh.",
        "Right, right.",
    ),
}
"""For the figure alone, as what follows; `turns_reactions_said` has none of it."""
UNSEEN_COMMANDS = {
    "zh": (
        "停一停。",
        "先别说。",
        "打断一下。",
        "等我一下。",
        "不对不对。",
        "闭嘴。",
        "安静。",
        "暂停。",
        "不是这个。",
        "听我说。",
    ),
    "en": (
        "Stop, please.",
        "Wait a minute.",
        "No, wait.",
        "Hold it.",
        "Be quiet.",
        "Not that.",
        "Pause.",
        "Listen.",
        "Never mind.",
        "Cancel that.",
    ),
}
UNSEEN_QUESTIONS = {
    "zh": (
        "下一班车什么时候来？",
        "我把钥匙落在家里了。",
        "你们支持退货吗？",
        "附近哪里能停车？",
        "上次说的优惠还有吗？",
        "孩子可以一起去吗？",
        "这句话怎么翻译？",
        "嗯，那你帮我取消吧。",
        "怎么会这么贵？",
        "请把地址发给我。",
    ),
    "en": (
        "When is the next train?",
        "I left my keys at home.",
        "Do you take returns?",
        "Where can I park near there?",
        "Is the discount still valid?",
        "Can my kids come along?",
        "Translate that for me.",
        "Yeah, so please cancel it then.",
        "It's so expensive, why is that?",
        "Send me the address, please.",
    ),
}
