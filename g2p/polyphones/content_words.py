"""How words of content are read that mean one thing as a verb and another as a noun, an adjective or a measure.

Each rule returns a reading, or None where it has nothing to say. 行 is a line or to walk, 长 to grow or long.
"""

from __future__ import annotations

import re

from g2p.polyphones.clause import NOTHING, NUMERAL, Place


def hang(at: Place) -> str | None:
    """行: a line, a row, a trade, a bank (hang2); all right, to walk (xing2)."""
    if re.search(f"第[{NUMERAL}]+$|[每逐某]$|[上下这那哪][一两几]?$|最[后前]一$|[首末][一]?$", at.left):
        return (
            None
            if re.search("[这那上下]一?$", at.left)
            and re.match("[不吗啊吧呀人]|$", at.right)
            and not re.match("竞", at.right)
            else "hang2"
        )
    if re.search(f"[前后头][{NUMERAL}]$|[成列排站][一两]$", at.left):
        return "hang2"
    if re.search(f"[{NUMERAL}]$", at.left) and (
        re.match(
            "代码|字|文字|诗|泪|眼泪|小字|大字|数据|脚印|命令|文本|日志|树|白|记录|内容|注释|热泪|清泪|标题|的",
            at.right,
        )
        or re.search("[干爱入改转]一$", at.left)
    ):
        return "hang2"
    if re.search("[两几四六七八九百千]$", at.left):
        return "hang2"
    if re.search("[我本该贵各他]$", at.left) and re.search(
        "银行|利率|贷款|莅临|存款|客户|网点|汇率|柜台|账户", at.left + at.right
    ):
        return "hang2"
    return None


def zhong(at: Place) -> str | None:
    """中: to hit, to win (zhong4), as a verb."""
    if re.match(".{0,3}(?:奖|彩票|签)", at.right) and at.previous.tag in ("v", "d", "r", ""):
        return "zhong4"
    if re.match("班人", at.right):
        return "zhong1"
    if re.match("了|过(?!去)", at.right) and at.previous.tag not in ("n", "s"):
        return "zhong4"
    return None


def zhong_plant(at: Place) -> str | None:
    """种: to plant (zhong4); a kind (zhong3)."""
    if re.search(f"[{NUMERAL}这那各某何此哪]$", at.left):
        return None
    return (
        "zhong4"
        if re.match("花|草|树|菜|[地田]|瓜|豆|粮|庄稼|玉米|棉|茄|葡萄|茶|着|下|植|满|活|过|了|在|出|上|的", at.right)
        else None
    )


def zhong_heavy(at: Place) -> str | None:
    """重: heavy (zhong4) after an adverb of degree; again (chong2) before a verb."""
    if (
        re.search("[很太更最挺够越不多么较极真]$", at.left)
        or at.next is NOTHING
        or re.match("了[点些一]|[啊呀啦]", at.right)
    ):
        return "zhong4"
    return "chong2" if at.next.tag == "v" or re.match("上(?!了)|回|返|归|走|现", at.right) else None


def duozhong(at: Place) -> str | None:
    """多重: how heavy (zhong4) at the end of what is asked; multiple (chong2) before what there is more than once."""
    return "zhong4" if at.next is NOTHING or re.match("[的啊呀呢了]", at.right) else None


def men(at: Place) -> str | None:
    """闷: close, stuffy (men1), of air and rooms and behind doors; gloomy (men4), of the heart."""
    if re.search("心[里中情]?|愁|苦|烦|解", at.left[-5:]):
        return "men4"
    if at.next is NOTHING and re.search("[很太好挺真]$|有点儿?$", at.left):
        return "men1"
    return (
        "men1"
        if re.search("天气?|房间?|屋|空气|车[里厢]|室|里面|又$", at.left[-6:]) or re.match("在|头|声不", at.right)
        else None
    )


def chong(at: Place) -> str | None:
    """冲: towards, strong of smell (chong4); to rush (chong1)."""
    if re.match("[着你我他她这那]", at.right):
        return "chong4"
    return "chong4" if at.next is NOTHING and re.search("[很太真挺最]$", at.left) else None


def san(at: Place) -> str | None:
    """散: to part (san4); to come loose (san3)."""
    if re.match("了?架|[装]", at.right) or re.search("[带鞋绳辫架包]子?$|头发$", at.left):
        return "san3"
    return "san4" if re.match("[了去开会场发伙]|着[步会]|了?一?会儿?步|[不得][出了去掉尽]", at.right) else None


def bei(at: Place) -> str | None:
    """背: to carry on the back (bei1); behind somebody's back, the back, by heart (bei4)."""
    if re.match("着(?:老师|父母|爸|妈|家|大家|丈夫|妻子|老婆|老公|别人|人|领导|老板|我们|你们|他们|她们)", at.right):
        return "bei4"
    if re.match("[到回进出]", at.right) and "把" in at.left:
        return "bei1"
    return "bei1" if re.match("着|负|了|起(?!来)|起来就|得动|不动", at.right) else None


def zhang(at: Place) -> str | None:
    """长: to grow (zhang3); long (chang2)."""
    if re.search("[不没会能]$", at.left) and at.next.tag == "n":
        return "zhang3"
    lasting = re.search("(?:时间|日子|时候|[用戴穿坐站放]得?|[够越较偏真好挺么常])$", at.left)
    if lasting and re.match("了|的?$", at.right):
        return "chang2"
    if re.match("$|[的啊呀呢吧]$", at.right) and re.search(
        "(?:有点儿?|有些|[这那]么|挺|更|非常|特别|越来越|相当|比较)$", at.left
    ):
        return None if re.search("得(?:有|这|那|挺|更|非|特|越|相|比)[^，]*$", at.left) else "chang2"
    if at.next is NOTHING and re.search(
        "(?:时间|寿命|续航|路程|篇幅|头发|[腿臂手]|距离|历史|周期)(?:有?[点些])?$", at.left
    ):
        return "chang2"
    if re.match(f"了[{NUMERAL}]*[寸尺截米]", at.right) and re.search("[裤裙衣袖绳线带子]$", at.left):
        return "chang2"
    if re.match("出|成|满|胖|着|势|个|高|大", at.right) and not re.search("[很太更最多米尺寸]$", at.left):
        return "zhang3"
    if at.right.startswith("得") and not re.match("得[很太离惊吓可要没]", at.right):
        return "zhang3"
    if (
        at.right.startswith("了")
        and not re.search("[太很更变拉拖延拖加又越]$", at.left)
        and at.previous.tag in ("n", "r", "d")
    ):
        return "zhang3"
    compared = re.search("又[^，又]{1,3}又$|比[^，]{1,10}[要更还稍略得]$", at.left) and re.match(
        "$|得多|[的了]?，", at.right
    )
    if compared or (at.right.startswith("而") and at.previous.tag == "n"):
        return "chang2"
    if re.search("[又]$", at.left) and re.match("了[一两几半]?岁", at.right):
        return "zhang3"
    if re.search("越$", at.left) and re.match("越[大高胖好漂壮快]", at.right):
        return "zhang3"
    if re.search("[省市县区乡镇村社局院校部科处厅所站馆厂店组班队连排营团]$", at.left) and at.next.tag != "u":
        return "zhang3" if at.previous.tag == "n" or len(at.previous.text) == 1 else None
    return "chang2" if re.search("[很太更最不米尺寸较]$", at.left) and at.next is NOTHING else None


def zhangde(at: Place) -> str | None:
    """长得: grown so (zhang3); so long (chang2), before what is said of a measure only."""
    return "chang2" if re.match("离谱|要命|没边|不像话|看不到头|没完", at.right) else "zhang3"


def chu(at: Place) -> str | None:
    """处: a place (chu4) after a number; to be at (chu3) after 所."""
    if re.search(f"[{NUMERAL}各此何某]$", at.left) or (at.previous.tag in "ns" and len(at.previous.text) > 1):
        return "chu4"
    return "chu3" if re.search("所$|(?:难|好|易|[很不])相?$", at.left) else None


def tu(at: Place) -> str | None:
    """吐: to vomit (tu4); to spit, to put out (tu3)."""
    sick = re.search("[要没想快直都又得]$|差点儿?$", at.left) and re.match("$|[了得]|出来[了的]?$", at.right)
    return "tu4" if sick or re.match("[了血奶]", at.right) else None


def jin(at: Place) -> str | None:
    """尽: to use all of, to do one's part (jin4); at most (jin3)."""
    part = "[了]?(?:一[份点己些]|自己|最大|全|其)?[的之]?(?:力|孝|义务|责任|职责|心|本分|所能)"
    used = re.search("[道说用吃喝流花想写耗看历尝受费]$", at.left)
    return "jin4" if used or re.match(part, at.right) else None


def lv(at: Place) -> str | None:
    """率: a rate (lv4) at the end of what it measures; to lead (shuai4) before those who are led."""
    if re.match("[领队军众部兵团师先]|其|同", at.right):
        return None
    of_rates = f"[高低大小为是达仅均已未仍约有的上下增降提{NUMERAL}最较很也都不超和与及在将太真挺越偏]"
    measured = at.next is NOTHING or re.match(of_rates, at.right)
    return "lv4" if measured and at.before and at.previous.tag in "vnabxd" else None


def hao(at: Place) -> str | None:
    """好: good (hao3) at the end of a clause; to be fond of (hao4)."""
    if at.next.tag in ("a", "z") or re.search("[没有]$|[换弄做写画穿洗修放得]$", at.left):
        return "hao3"
    if at.next is NOTHING or re.match("[了的吗吧啊呀呢些点多几得]|[不没]", at.right):
        return None if re.search("[爱喜嗜癖洁同所]$", at.left) else "hao3"
    return None


def shao(at: Place) -> str | None:
    """少: few, to lack (shao3); young (shao4)."""
    if re.search("[老幼阔恶遗青长男女东]$", at.left) or re.match("[女男妇年爷奶帅将校尉时白林壮掌]", at.right):
        return None
    if at.next is NOTHING or re.match(f"[了的得几点些{NUMERAL}说吃喝来去做给还]|不[了得]", at.right):
        return "shao3" if at.before or at.right else None
    return "shao3" if at.next.tag and at.next.tag in "vdnra" else None


def geng(at: Place) -> str | None:
    """更: more (geng4); a watch of the night (geng1), to change (geng1)."""
    watch = re.search("[三五打初]$", at.left) or re.match("[名改衣迭夫鼓]|[张弦]", at.right)
    return "geng4" if at.next is not NOTHING and not watch else None


def nong(at: Place) -> str | None:
    """弄: to do (nong4); an alley (long4), at the end of its name or number."""
    alley = re.search(f"[{NUMERAL}\\d里家]$", at.left) or (at.next is NOTHING and at.previous.tag in ("n", "s"))
    if re.search("[让叫由给请替帮]", at.left):
        return "nong4"
    return None if alley or re.match("堂|口", at.right) else "nong4"


def feng(at: Place) -> str | None:
    """缝: a crack (feng4), where something has one; to sew (feng2)."""
    if re.search("[条道个][小大细裂门]?$|[有的]$|结合$", at.left) and at.next.tag not in ("n", "v"):
        return "feng4"
    return "feng4" if at.previous.tag == "n" and (at.next is NOTHING or at.next.tag in ("f", "c")) else None


def mo(at: Place) -> str | None:
    """磨: to rub, to sharpen (mo2); to mill (mo4)."""
    return None if re.search("[石推电水拉驴]$", at.left) or re.match("[豆面粉坊盘]|成粉", at.right) else "mo2"


def meng(at: Place) -> str | None:
    """蒙: to fool, to guess (meng1); to be favoured with, to cover (meng2)."""
    if re.search("[如承幸]$", at.left) or re.match("您|贵|[上住着]|了?一层", at.right):
        return "meng2"
    return "meng1" if re.match("[我你他她人]|对了?|的吧?$", at.right) else None


def jia(at: Place) -> str | None:
    """假: false (jia3); time off (jia4) after what it is for."""
    return None if re.search(f"[放请休度寒暑年病事婚产长天周月个销的节丧{NUMERAL}]$", at.left) else "jia3"


def nan(at: Place) -> str | None:
    """难: hard (nan2) after an adverb of degree or before what is hard to do."""
    if re.search("[受遇逢落蒙避逃罹死殉]了?$", at.left):
        return "nan4"
    degree = re.search("[很太更最真不较多好挺越别么点些级已极实]$|点儿$", at.left)
    return "nan2" if degree or re.match("[的得以道于]", at.right) or at.next.tag == "v" else None


def kong(at: Place) -> str | None:
    """空: free time, to make room (kong4)."""
    if re.match("出", at.right) and not re.search("[横]$", at.left):
        return "kong4"
    return (
        "kong4" if re.search("(?:有|没|得|抽)$", at.left) and (at.next.tag in ("", "v", "y", "u", "p", "r")) else None
    )


def dao(at: Place) -> str | None:
    """倒: to pour, to turn over, on the contrary (dao4); to fall (dao3)."""
    if re.match(f"了?[{NUMERAL}]次?[车班趟]|时差|卖|霉|胃口|闭|塌|台|班", at.right):
        return "dao3"
    if re.match("了$|了[。，]", at.right) and re.search("(?:公司|工厂|企业|[厂店树墙房楼柱])$", at.left):
        return "dao3"
    if re.search("[摔跌打踢病晕压推难吓绊刮撞击扑醉累昏滑砸撂栽踩拉]$", at.left):
        return "dao3"
    if re.match("[想要会能真挺更]|觉得|希望|愿意|宁[可愿]|不[是如会想要]|没[有想]|可以|让|成了", at.right):
        return None if re.search("[不没得被]$", at.left) else "dao4"
    if re.match(
        "[进入出掉满]|在.{1,8}[上里中]|是|也|还|不如|没|有点|[一两几]?杯|点|水|茶|酒|油|垃圾|[一]?下", at.right
    ):
        return None if at.right.startswith("下") else "dao4"
    return None


def shu(at: Place) -> str | None:
    """数: to count (shu3)."""
    if re.match(
        "一?数|不[清完尽过]|清|完|到[一二三四五六七八九十百]|钱|钞|星星|羊|着|了[一数]|出|一[下遍]|[你我他她它]|得[清着]",
        at.right,
    ):
        return "shu3" if not re.search("[参函倍常变次人分岁指]$", at.left) else None
    return "shu3" if re.search("[从就]$", at.left) and re.match("[一你我他她它]", at.right) else None


def cha(at: Place) -> str | None:
    """差: bad, to lack (cha4); a difference (cha1); on whom one is sent (chai1)."""
    if re.match("[值额数距价异别速动分集]|校正|模|压", at.right) or re.search(
        "[之温时落误反逆顺价色视偏级位压势高重]$|[高温浓湿宽厚亮]度$|(?:[两数年龄大小]|贫富|高度|时间|平均|基)的?$",
        at.left,
    ):
        return None
    if re.search("[出公钦开交办兼信]$|(?<!相)当$", at.left) or re.match("[人役遣使][去来前]?|[你我他她]", at.right):
        return None
    return "cha4"


def zhuan(at: Place) -> str | None:
    """转: to go round (zhuan4); to turn, to change (zhuan3)."""
    if re.search("绕着?[^，]{0,8}$|[团空乱直飞自公]$|急得.*$", at.left) or re.match(
        "[着]?圈|了?[一两几]大?圈|个?不停|来转去|[一两几]圈|悠|得飞?快", at.right
    ):
        return "zhuan4"
    if at.left.endswith("轱辘"):
        return "zhuan4"
    return "zhuan3" if re.match("[移换变为给到入向让告身学弯账发]", at.right) else None


def tiao(at: Place) -> str | None:
    """调: to adjust (tiao2); to move somebody, a tune (diao4)."""
    setting = f"[大小高低亮暗快慢好匀味温弱强色]|[到至成][{NUMERAL}最静]|成|[上下]?调|不了|按|风速|音量|亮度|[热冷]了"
    if re.match(setting, at.right) or re.search("[上下难微空旋]$", at.left):
        return "tiao2"
    able = at.next is NOTHING and re.search("(?:[不可]?能|不?会|怎么|可以|自己)$", at.left)
    return "tiao2" if able else None


def gan(at: Place) -> str | None:
    """干: dry (gan1), to do (gan4)."""
    if re.match("锅|[、和]湿|等着|静", at.right):
        return "gan1"
    if re.match("[等坐瞪]|着急|[咳笑嚎呕]", at.right):
        return "gan1"
    willing = "(?:[这那怎]么|愿意?|[想肯敢别]|接着|继续|一起|一块儿?|好好|拼命|使劲|努力)$"
    if re.search(willing, at.left) and not re.match("[了的透]|$", at.right):
        return "gan4"
    if re.search("[擦晒晾吹风烘烤喝榨抹沥烧哭流]$", at.left):
        return "gan1"
    if at.next is NOTHING and re.search("[很太真好最]$|有点儿?$", at.left):
        return "gan1"
    if re.match("了|[透硬枯]", at.right) and re.search(
        "衣服|头发|[唇嘴裤鞋被巾漆墨胶泥汗泪血河井地皮肤喉嗓锅]|嗓子|叶子|床单|[都快没不就]$", at.left[-3:]
    ):
        return None if re.search("[都快没不就]$", at.left) and not re.search("[衣裤鞋漆墨汗泪]", at.left) else "gan1"
    if re.match("得|不[了完]|什么|啥|嘛|吗|咱|[一二三两几]|完|好|起|的|了|过|着|这|那|点|些|[你我他她]", at.right):
        return "gan4" if not re.search("[很太口嘴皮]$", at.left) else "gan1"
    return None


def jiao(at: Place) -> str | None:
    """教: to teach (jiao1), as a verb."""
    if re.match(
        "[你我他她您它]|大家|孩子|学生|得|过|出|了|会[了你我他]|[教]|[数语英物化历音体]|书|给|人", at.right
    ) and not re.search("[宗请执主求受佛指信传邪]$", at.left):
        return "jiao1"
    return None


def zi(at: Place) -> str | None:
    """子: the light end of a thing's name that no list has whole (zi5: 水管子); a son, a seed, a part (zi3)."""
    if at.previous.tag not in ("n", "x") or at.next.tag == "n" or re.search("[之父母皇王太公弟赤]$", at.left):
        return None
    return (
        "zi5"
        if re.search(
            "[管叶绳星腿根箱杆瓶盒棍架盖摊铺门帘鞋帽袜裤罐桶篮棚墩垫套膜圈刷夹钩网竿岔壳把面底沿码槽眼沫渣]$", at.left
        )
        else None
    )


def curl(at: Place) -> str | None:
    """儿: after a noun or verb of two characters it curls (er5: 胡同儿)."""
    return (
        "er5"
        if len(at.previous.text) == 2
        and at.previous.tag in ("n", "v", "s", "f")
        and at.next.tag != "n"
        and not re.search("流浪|混血|新生|早产|幸运|私生|弄潮|低能|畸形|超常|留守|婴$", at.left)
        else None
    )


def yan(at: Place) -> str | None:
    """燕: a swallow, in given names, too (yan4); a surname and a state (yan1)."""
    return (
        "yan4"
        if len(at.previous.text) == 1 and at.previous.tag == "n" and at.next.text not in ("王", "国", "军")
        else None
    )


def jiangjiu(at: Place) -> str | None:
    """将就: to make do, with a light end; will (将) about (就, jiu4) before what it is about."""
    return None if at.next is NOTHING or re.match("[着了的吃用过穿住点些一吧]", at.right) else "jiu4"


def xiongdi(at: Place) -> str | None:
    """兄弟: somebody's brothers, in full; a younger brother, a mate, with a light end."""
    several = re.search(f"[{NUMERAL}][个位]?$|[的和与]$|[父母亲家]$", at.left)
    return "di4" if several or re.match("[们俩姐和与及]|二人|两[个人]|公司|企业|单位|院校|学校", at.right) else None


def nanwei(at: Place) -> str | None:
    """难为: to be hard on somebody, with a light end; hard (难) to do for (为, wei4) somebody."""
    return "wei4" if re.search("[很更最太也都不较]$", at.left) else None


def zizai(at: Place) -> str | None:
    """自在: at ease, with a light end; since (自) being in (在, zai4) a place."""
    return "zai4" if at.next.tag in ("n", "s", "t") else None


def shizai(at: Place) -> str | None:
    """实在: really, as an adverb, in full."""
    solid = re.search("[很真挺太最更较]$", at.left) or at.next is NOTHING or re.match("[的了吗呢啊点]", at.right)
    return None if solid and at.next.tag not in ("a", "v", "d", "l", "i", "z") else "zai4"


def chuanzhuo(at: Place) -> str | None:
    """穿着: what one wears (zhuo2); wearing it (zhe5)."""
    manner = re.match("打扮|得体|讲究|整齐|朴素|随便|随意|时尚|风格|[很也较不]", at.right)
    noun = manner or at.left.endswith(("的", "讲究", "注重", "注意"))
    return "zhuo2" if noun else "zhe5"
