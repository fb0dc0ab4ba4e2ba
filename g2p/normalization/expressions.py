"""Written expressions that Mandarin says differently: dates, times, money, units, telephone numbers and their like.

`RULES` is the one place that says which reading wins: it is tried from the top at each place of a text, and the first
rule that applies wins. A rule is its kind, a pattern, a function from the match to the spoken words (None: it does not
apply after all), and examples, which are tests. Patterns see half-width digits and signs. Words and lists that
anybody may extend are in `data`; what the rules have in common is in `wording`.
"""

from __future__ import annotations

import re

from g2p.normalization.kana import KANA, romaji
from g2p.normalization.numbers import cardinal, digits, english_ordinal, roman
from g2p.normalization.rules import Rule, rule
from g2p.normalization.units import mandarin
from g2p.normalization.wording import (  # fmt: skip
    CODE,
    COUNTED,
    DAY,
    DEGREES,
    ELEMENT,
    EMERGENCY,
    FRACTIONS,
    GROUPED,
    MAGNITUDE,
    MONTH,
    OPERATORS,
    PAUSE,
    PROVINCES,
    QUANTIFIED,
    QUANTITY,
    SIGN,
    SUBSCRIPTS,
    SUPERSCRIPTS,
    TO,
    UNIT,
    YEAR,
    N,
    all_digits,
    below_zero,
    between,
    clock,
    clock_before,
    coordinate,
    counted,
    date,
    degrees,
    dotted,
    duration,
    formula,
    fraction,
    half_day,
    holiday,
    in_building,
    is_current,
    is_model,
    is_performance,
    is_score,
    joined,
    measure,
    money,
    named,
    number,
    plate,
    power,
    spans_years,
    telephone,
    version,
    versus,
)

_FESTIVAL = "圣诞|妇女节|劳动节|青年节|儿童节|建党|建军|国庆|元旦|情人节|平安夜|愚人节|教师节|假期|小长假|黄金周|放假"
_EVENT = (
    "奥运|残奥|亚运|全运|世界杯|欧洲杯|亚洲杯|美洲杯|杯|锦标赛|大师赛|公开赛|联赛|大赛|赛|大会|峰会|论坛|车展|展|博览会|晚会|春晚|年会|音乐节|电影节|节|"
    "颁奖|盛典|榜|报告|白皮书|高考|中考|考研|国考|省考|招聘|秋招|春招|校招|财报|年报|季报|发布会|计划|规划|目标|展望|政府工作"
)
_NO_COUNT = r"(?!\.\d|,\d{3}|\d|\s?(?:[个块元万亿天人次份折名位件米斤岁秒倍只条张本套台辆遍场行%％℃度多余]|分(?!机)|公[里斤]|小时|年(?!度)|美元))"
_FRACTION_SIGNS = "".join(FRACTIONS)
_UNIT_WORD = (
    "(?:月(?:份|[初中底末]|[上中下]旬)?|年级|年代|世纪|个?小时|分钟|个?月|个?星期|点半|点钟|个工作日|号楼|公[里斤分顷]|[厘毫微分]米|平方?米?|美元|欧元|[百千万亿]+元?|"
    "[日号点时分秒年岁元块角毛楼层级里斤克米吨人个次天周届期章节页名位度倍折升码件条项集卷回课门本套辆台间场局轮站排座室栋班队组枚颗步级寸尺亩桌票])"
)
_BEFORE_JOINT = re.compile(
    rf"(?:\d\s?(?P<u>{_UNIT_WORD}|{UNIT}|[%％℃kKwW])|[A-Z一二三四五六七八九十](?P<h>{_UNIT_WORD}|[区厅馆口])|\d\s?(?P<g>[一-鿿]{{1,3}})(?=\s?$)|(?P<c>\d[:：]\d\d|\d{{4}}[./]\d{{1,2}}(?:[./]\d{{1,2}})?)|(?P<w>周|星期|礼拜|初|第|高|大)[一二三四五六七八九十日天末]+)\s?$"
)
_AFTER_JOINT = re.compile(
    r"(?:次日|翌日|第二天|当[日天晚]|今[日天晚]|明[日天晚]|凌晨|清晨|早上|上午|中午|下午|傍晚|晚上?)?\s?(?P<n>[¥￥$€£]?\d|[A-Z一二三四五六七八九十])|(?P<w>周|星期|礼拜|初|第|高|大)[\d一二三四五六七八九十日天末]"
)


def _joint(match: re.Match[str]) -> str | None:
    """Whether a hyphen, a dash or a tilde stands between two ends of a range that both have their unit."""
    text, start, end = match.string, match.start(), match.end()
    before, after = _BEFORE_JOINT.search(text, max(0, start - 12), start), _AFTER_JOINT.match(text, end)
    if not before or not after:
        return None
    unit = (before["u"] or before["h"] or before["g"] or "")[-1:]
    rest = text[end : end + 14]
    if before["w"] or after["w"]:
        return "到" if before["w"] == after["w"] or (after["w"] == "第" and unit and unit in rest) else None
    if before["h"] and not (after["n"] and unit in rest):
        return None
    if before["g"] and not re.match(rf"[\d.,]+\s?{before['g']}", rest):  # a unit that is in no list
        return None
    # A dash may also part two clauses: the same unit, a date or a time has to follow.
    same = before["c"] or unit in rest or (unit in "年月日号点时分" and re.search("[月日号点时分]|:", rest))
    return "到" if match[0].strip()[0] in "-~～" or same else None


def _page(match: re.Match[str]) -> str:
    return f"{cardinal(match['a'])}{match['u']}共{cardinal(match['b'])}{match['u']}"


def _standard(match: re.Match[str]) -> str:
    letters = "".join(
        cardinal(part) if part.isdigit() else f" {part} " for part in re.findall(r"[A-Z]|\d+", match["l"])
    )
    year = f"杠{digits(match['y'])}" if match["y"] else ""
    return f"{letters} {dotted(match['n'])}{year}"


def _temperatures(match: re.Match[str]) -> str:
    first = degrees(match["v"]) if match["v"] and match["a"][0] in "-−" else ""
    return f"{below_zero(match['a'])}{first}到{below_zero(match['b'])}{degrees(match['u'])}"


def _percent(match: re.Match[str]) -> str:
    sign = {"-": "负", "−": "负", "+": "正", "±": "正负"}.get(match["s"] or "", "")
    return sign + {"‰": "千分之", "‱": "万分之"}.get(match["u"], "百分之") + number(match["a"])


def _range(match: re.Match[str]) -> str:
    first = "两" if match["a"] == "2" and not match["b"].startswith("0") and match["m"] else number(match["a"])
    return f"{first}{match['m']}到{number(match['b'])}"


RULES: tuple[Rule, ...] = (
    # -- Numbers that name: each digit by itself. They come first, for their hyphens and spaces join, they part nothing. --
    rule("discount", r"(?<=满)[¥￥]?(?P<a>\d{2,6})[-−](?P<b>\d{1,5})(?![\d.]|元[^优]|岁|年|月|天|人|分)", lambda m: f"{counted(m['a'])}减{counted(m['b'])}", "全场满199-20 → 全场满一百九十九减二十"),
    rule("day of today", r"(?:(?<=[今明昨后]天)|(?<=[今明昨后]天是))(?P<m>1[0-2]|0?[1-9])/(?P<d>3[01]|[12]\d|0?[1-9])(?![\d/])", lambda m: f"{cardinal(m['m'].lstrip('0'))}月{cardinal(m['d'].lstrip('0'))}日", "今天3/15 → 今天三月十五日"),
    rule("masked number", r"(?P<a>\d{2,})[ -]?(?:\*{2,}|[xX×]{3,})[ -]?(?P<b>\d{2,})(?!\d)", lambda m: f"{digits(m['a'], yao=True)}，{digits(m['b'], yao=True)}",
         "手机138****1234 → 手机幺三八，幺二三四", "卡号6222****0123 → 卡号六二二二，零幺二三"),
    rule("card number in groups", r"(?<![\d.-])\d{4}(?:[ -]\d{4}){2,5}(?:[ -]\d{1,4})?(?![\d.])", lambda m: telephone(m[0]),
         "6222 0212 3456 7890 → 六二二二零二幺二三四五六七八九零", "卡号6217 0001 2345 6789 012 → 卡号六二幺七零零零幺二三四五六七八九零幺二"),
    rule("mobile number", r"(?<![\d.])(?:\(?\+?86\)?[- ]?)?1[3-9]\d(?:[- ]?\d{4}){2}(?![\d.]\d|\d)", lambda m: telephone(m[0]),
         "139-8877-6655 → 幺三九八八七七六六五五", "+86 138 1234 5678 → 八六幺三八幺二三四五六七八", "(86)13912345678 → 八六幺三九幺二三四五六七八"),
    rule("number abroad", r"\+\d{1,3}(?:[- ]?\(?\d{1,5}\)?){2,5}(?![\d.]\d|\d|\s?=)", lambda m: telephone(m[0]) if 9 <= len(re.sub(r"\D", "", m[0])) <= 15 else None,
         "+86 10 1234 5678 → 八六幺零幺二三四五六七八", "+1 (415) 555-2671 → 幺四幺五五五五二六七幺"),
    rule("landline", r"(?<![\d.])\(?(?:\+?86[- ]?)?0\d{2,3}\)?[- ]?(?:\d{7,8}|\d{3,4}[- ]\d{4})(?:-\d{1,5})?(?!\d)", lambda m: telephone(m[0]),
         "021-6888-8888 → 零二幺六八八八八八八八", "(010)12345678 → 零幺零幺二三四五六七八", "010 6255 1234 → 零幺零六二五五幺二三四"),
    rule("short dialling", r"(?<![\d.])(?:(?:\+?86[- ]?)?0?\d{2,3}[- ]\d{7,8}|[48]00[- ]?(?:\d{3}[- ]?\d{4}|\d{4}[- ]?\d{3})|1-8\d\d-\d{3}-\d{4})(?!\d)", lambda m: telephone(m[0]),
         "400-820-8820 → 四零零八二零八八二零"),
    rule("room by hyphens", r"(?<![\d.-])\d{1,2}-\d{1,2}-\d{3,4}(?![\d-])", lambda m: "杠".join(digits(part, yao=True) for part in m[0].split("-")),
         "楼栋3-2-501 → 楼栋三杠二杠五零幺", "取件码8-2-3015 → 取件码八杠二杠三零幺五"),
    rule("code in groups", r"\d{1,20}(?:[ -]\d{1,20}){1,9}(?![\d.]|[月日号])", lambda m: telephone(m[0]) if named(m) and len(m[0]) > 5 else None,
         "验证码是 048 213，请输入 → 验证码是零四八二幺三，请输入", "ISBN 978-7-111-12345-6 → I S B N九七八七幺幺幺幺二三四五六"),
    rule("identity number", r"(?<!\d)\d{17}[Xx](?![A-Za-z\d])", lambda m: digits(m[0][:17], yao=True) + " X ",
         "11010119900307123X → 幺幺零幺零幺幺九九零零三零七幺二三X"),
    rule("emergency numbers in a list", r"(?<!\d)(?:11[0249]|12[02]|12345|12315)(?:\s?[、，,和或与及/]\s?(?:11[0249]|12[02]|12345|12315)){1,9}" + _NO_COUNT, lambda m: all_digits(m[0], yao=True),
         "请拨打110、119或120 → 请拨打幺幺零、幺幺九或幺二零", "119和120都能打 → 幺幺九和幺二零都能打"),
    rule("emergency number", rf"(?<!\d){EMERGENCY}(?=\s?(?:报警|急救|救护|救援|求助|电话|热线|专线|市民|指挥|接警|平台|客服|查号|来了))|(?<!\d)(?:[369]1[158]|12[0456]|1[01]\d|911)(?=报警|急救|电话|热线|大会|事件)|(?<=火警)119|(?<=匪警)110|(?<=急救)120",
         lambda m: digits(m[0], yao=True), "120急救中心 → 幺二零急救中心", "打12345热线 → 打幺二三四五热线"),
    rule("code after its name", r"(?<!\d)\d{3,}" + _NO_COUNT, lambda m: digits(m[0], yao=True) if named(m) else None,
         "会员号100238 → 会员号幺零零二三八", "端口8080 → 端口八零八零", "订单（#20240315） → 订单，二零二四零三幺五，", "验证码123456，5分钟有效 → 验证码幺二三四五六，五分钟有效"),
    rule("long run of digits", r"(?<![\d.])\d{12,}(?![\d.])", lambda m: digits(m[0], yao=True), "202405011234 → 二零二四零五零幺幺二三四"),
    rule("room after its house", r"(?<!\d)\d{3,4}(?![\d.:-]|[米户人平万多余元年])", lambda m: digits(m[0], yao=True) if in_building(m) else None,
         "家住8号楼1503 → 家住八号楼幺五零三", "2单元202 → 二单元二零二"),
    rule("room, bus, train, flight", r"(?<!\d)(?P<n>\d{3,4})(?=号?(?:室|房间|房|病房|教室|包厢|路公交|路车|路(?!程|口|过|上|人|段|边)|次列车|航班))", lambda m: digits(m["n"], yao=True),
         "302室 → 三零二室", "612路 → 六幺二路"),
    rule("train", r"(?<![A-Za-z])(?P<l>[GDCZTKYLS])(?P<n>\d{2,4})(?=次|列车|高铁|动车)", lambda m: f"{m['l']} {digits(m['n'], yao=True)}", "G101次列车 → G幺零幺次列车"),
    rule("flight", r"(?<![A-Za-z])(?P<l>[A-Z]{2}|[A-Z]\d|\d[A-Z])\s?(?P<n>\d{3,4})(?=次|航班)|(?:(?<=航班)|(?<=航班号)|(?<=航班号[：:是]))(?P<k>[A-Z]{2}|[A-Z]\d|\d[A-Z])(?P<o>\d{3,4})(?!\d)",
         lambda m: f"{' '.join(m['l'] or m['k'])} {digits(m['n'] or m['o'], yao=True)}", "CA1234航班 → C A幺二三四航班", "航班CA1831将起飞 → 航班C A幺八三幺将起飞"),
    rule("code with letters after its name", r"(?<![A-Za-z])(?P<l>[A-Z]{1,4})[- ]?(?P<n>\d{4,}(?:[ -]\d{3,}){0,5})(?![\dA-Za-z.])", lambda m: f"{' '.join(m['l'])} {telephone(m['n'])}" if named(m) else None,
         "快递单号SF1234567 → 快递单号S F幺二三四五六七", "运单号SF 1234 5678 → 运单号S F幺二三四五六七八"),
    rule("number plate", rf"(?<=[{PROVINCES}])[A-Z][·•]?(?=[A-Z\d]{{5,6}}(?![A-Za-z\d]))[A-Z\d]+", lambda m: plate(m[0]), "苏E·8K66X → 苏E八K六六X"),
    rule("extension", r"(?<=\d转)\d{1,6}(?!\d)", lambda m: digits(m[0], yao=True), "010-62345678转801 → 零幺零六二三四五六七八转八零幺"),
    rule("network address", r"(?<!\d)(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\d.])", lambda m: dotted(m[0].replace(":", "."), yao=True), "192.168.1.1 → 幺九二点幺六八点幺点幺"),
    rule("schools", r"(?<!\d)985\s?[/、]\s?211(?!\d)", lambda m: all_digits(m[0], yao=True).replace("/", ""), "985/211 → 九八五二幺幺"),
    rule("numbers everybody knows", r"(?<![\d.])(?:985|211|996|618|360|1688|404|520|1314|955\d\d|10086|10010|12306|12315|12333)(?![\d.:,，/-]\d|\d|[个人元块万亿天年月次千米公斤度份名条只位本多余%％℃°]|\s?[A-Za-z])",
         lambda m: digits(m[0], yao=True), "211工程 → 二幺幺工程"),
    rule("chat numbers", r"(?:^|(?<=[，。！？!?~ ]))(?:666+|233+|555+|88)(?=[，！!~～]|[啊呀啦哈](?![一-鿿]))", lambda m: digits(m[0]), "666，太厉害了 → 六六六，太厉害了"),
    rule("names with numbers", r"7-11(?=便利店|店|门口|买)|7-ELEVEN", lambda m: "七幺幺", "7-11便利店 → 七幺幺便利店"),
    rule("standard", r"(?<![A-Za-z])(?P<l>(?:GB|[A-Z]{2}\d{0,2})/[TZ]|Q/[A-Z]{2,4}|GB|ISO|IEC|ANSI|JIS|DIN)\s?(?P<n>\d{3,6}(?:\.\d+)*)(?:[-—–:](?P<y>(?:19|20)\d\d))?(?!\d)", _standard,
         "DB11/T 1234-2015 → D B十一T一二三四杠二零一五",
         "GB/T 45438-2025 → G B T四五四三八杠二零二五", "ISO 9001:2015 → I S O九零零一杠二零一五"),
    rule("standard with its year", r"(?<![A-Za-z])(?P<l>[A-Z]{2,3})\s?(?P<n>\d{2,6}(?:\.\d+)*)[-—–](?P<y>(?:19|20)\d\d)(?!\d)", _standard, "HJ 1234-2021 → H J一二三四杠二零二一"),
    rule("road", r"(?<=[国省县]道)\d{3}(?!\d|[公千]?米|里)|(?<!\d)\d{3}(?=[国省县]道)", lambda m: digits(m[0], yao=True), "318国道 → 三幺八国道", "国道318 → 国道三幺八"),
    # -- Ranges whose both ends have their unit: the sign between them. It stands before everything that reads a minus. --
    rule("range with units", r"(?:——|--|[-–—~～])\s?", _joint,
         "5月1日-7日 → 五月一日到七日", "18岁-25岁 → 十八岁到二十五岁", "6月1日—3日 → 六月一日到三日", "21:00—次日7:00 → 二十一点整到次日七点整",
         "周一-周五 → 周一到周五", "第一章-第三章 → 第一章到第三章", "8k-12k → 八k到十二k", "1楼-3楼 → 一楼到三楼", "4月底-5月初 → 四月底到五月初", "18周岁-35周岁 → 十八周岁到三十五周岁", "2024年1月-3月 → 二零二四年一月到三月"),
    rule("number in a series", r"-(?P<n>\d{1,4})(?!\d|[.%℃°]|\s?[元块])", lambda m: number(m["n"]) if is_model(m) else None,
         "伊尔-76 → 伊尔七十六", "歼-10C → 歼十C", "空警-500 → 空警五百", "阿帕奇-64型 → 阿帕奇六十四型"),
    # -- Scores and ratios: before dates and times, which look alike. --
    rule("score", r"(?<![\d.:：-])\d{1,3}\s?[-–—:：∶]\s?\d{1,3}(?:[、，,]\s?\d{1,3}[-–:：]\d{1,3}){0,8}(?![\d.:：/-]|" + QUANTIFIED + ")", lambda m: versus(m[0]) if is_score(m) else None,
         "中国队3-0横扫日本队 → 中国队三比零横扫日本队", "98-76大胜 → 九十八比七十六大胜", "皇马1-0巴萨 → 皇马一比零巴萨", "湖人112-108勇士 → 湖人一百一十二比一百零八勇士", "第三局21-18 → 第三局二十一比十八", "2-2平 → 二比二平", "以6-4、7-5取胜 → 以六比四、七比五取胜", "局分11-9 → 局分十一比九"),
    rule("score after its verb", r"(?:(?<=比分)|(?<=比分[为是])|(?<=以)|(?<=比例[为是])|(?<=大胜)|(?<=[胜负平]))\s?(?P<a>\d{1,3})\s?[-:：]\s?(?P<b>\d{1,3})(?!\d|" + QUANTIFIED + ")",
         lambda m: f"{number(m['a'])}比{number(m['b'])}", "比例为3:7 → 比例为三比七"),
    rule("ratio sign", rf"(?P<a>{QUANTITY})?\s?∶\s?(?P<b>{QUANTITY})?", lambda m: f"{number(m['a']) if m['a'] else ''}比{number(m['b']) if m['b'] else ''}",
         "3∶1 → 三比一", "1∶10000 → 一比一万", "水∶酒精 → 水比酒精"),
    rule("figure", r"(?<=[图表例式题])\s?(?P<a>\d{1,2})[-–](?P<b>\d{1,2})(?![\d-])", lambda m: f"{cardinal(m['a'])}杠{cardinal(m['b'])}", "如图3-1所示 → 如图三杠一所示"),
    # -- Dates --
    rule("span of dates", rf"(?<!\d)(?:(?P<y>[12]\d{{3}})(?P<s>[/.]))?(?P<m>{MONTH})(?P<t>[/.])(?P<d>{DAY})\s?[-–—~～至到]\s?(?:(?P<z>[12]\d{{3}})(?P=t))?(?P<n>{MONTH})(?P=t)(?P<e>{DAY})(?![\d.])(?=(?P<x>.{{0,4}}))",
         lambda m: f"{date(m['y'], m['m'], m['d'])}到{date(m['z'], m['n'], m['e'])}" if m["y"] or m["t"] == "/" or re.match(rf"期间|{_FESTIVAL}|休|活动|报名|营业|优惠|促销|展出|开放", m["x"]) else None,
         "2024.5.1—2024.5.7 → 二零二四年五月一日到二零二四年五月七日", "2024/5/1-5/7 → 二零二四年五月一日到五月七日", "5.1-5.7放假 → 五月一日到五月七日放假"),
    rule("date", r"(?<!\d)(?P<y>[12]\d{3})(?P<s>[-/.])(?P<m>0?[1-9]|1[0-2])(?P=s)(?P<d>0?[1-9]|[12]\d|3[01])(?![\d.])", lambda m: date(m["y"], m["m"], m["d"]),
         "2024-05-01 → 二零二四年五月一日"),
    rule("span of months", rf"(?<!\d)(?P<y>{YEAR})[./](?P<m>{MONTH})\s?[-–—~～至到]\s?(?P<z>{YEAR})[./](?P<n>{MONTH})(?![\d.])", lambda m: f"{date(m['y'], m['m'], None)}到{date(m['z'], m['n'], None)}",
         "2023.09-2024.01 → 二零二三年九月到二零二四年一月"),
    rule("season", rf"(?<!\d)(?P<a>{YEAR})\s?[-–—/]\s?(?P<b>\d\d|{YEAR})(?=\s?(?:赛季|学年|财年|年度|雪季|赛事))", lambda m: between(m, digits),
         "2023-24赛季 → 二零二三到二四赛季", "2024/25赛季 → 二零二四到二五赛季"),
    rule("season in two digits", r"(?<!\d)(?P<a>\d\d)\s?[-–—/]\s?(?P<b>\d\d)(?=\s?(?:赛季|学年|财年|雪季))", lambda m: between(m, digits) if (int(m["b"]) - int(m["a"])) % 100 == 1 else None, "23/24赛季 → 二三到二四赛季", "99-00赛季 → 九九到零零赛季"),
    rule("year and month", rf"(?<![\d.])(?P<y>{YEAR})[/-](?P<m>0[1-9]|1[0-2])(?![\d/-])", lambda m: date(m["y"], m["m"], None), "2002/01 → 二零零二年一月"),
    rule("year and month after its verb", rf"(?:(?<=[生卒建始]于)|(?<=成立于)|(?<=毕业于)|(?<=截至))(?P<y>{YEAR})\.(?P<m>{MONTH})(?![\d.])", lambda m: date(m["y"], m["m"], None), "生于1962.3 → 生于一九六二年三月"),
    rule("year of a document", rf"(?<=[〔\[【(（])\s?{YEAR}(?=\s?[〕\]】)）]\s?第?\d+\s?号)", lambda m: digits(m[0].strip()), "国发〔2023〕12号 → 国发二零二三十二号"),
    rule("span of years", r"(?<!\d)(?P<a>[12]\d{3})年?[-~–—～至到](?P<b>[12]\d{3})(?=年)", lambda m: between(m, digits), "1990-2000年间 → 一九九零到二零零零年间"),
    rule("years in brackets", rf"(?<!\d)(?P<a>{YEAR})\s?[-–—]\s?(?P<b>{YEAR})(?!\d)(?=[)）]|$|[，。、；])", lambda m: between(m, digits), "（1881—1936） → ，一八八一到一九三六，"),
    rule("years listed", rf"(?<![\d.]){YEAR}(?:[和与及、到至]{YEAR}){{1,9}}(?![\d.])(?=年|[两三]年|(?!{QUANTIFIED}))", lambda m: all_digits(m[0]), "在2023和2024两年 → 在二零二三和二零二四两年", "从2019到2023 → 从二零一九到二零二三", "2022、2023年 → 二零二二、二零二三年"),
    rule("count of years", r"(?<!\d)(?P<y>\d{4})(?=年)", lambda m: number(m["y"]) if spans_years(m) else None,
         "5000年的历史 → 五千年的历史", "距今3000年 → 距今三千年", "用了2000年 → 用了两千年", "2000年前的秦朝 → 两千年前的秦朝"),
    rule("year", r"(?<!\d)(?P<y>\d{4})(?=年)", lambda m: digits(m["y"]), "2024年 → 二零二四年", "1998年前出生 → 一九九八年前出生"),
    rule("year of an edition", rf"(?<![\d.]){YEAR}(?=\s?(?:款|届|版|赛季|财年|学年|年度|新款|春夏|秋冬|春季|夏季|秋季|冬季|上半年|下半年|Q[1-4]|H[12](?!\d)|[一-鿿]{{0,6}}(?:{_EVENT})))(?!{QUANTIFIED}(?<![款届]))", lambda m: digits(m[0]),
         "2024巴黎奥运会 → 二零二四巴黎奥运会", "2025款 → 二零二五款", "2024Q3 → 二零二四Q三", "2024届毕业生 → 二零二四届毕业生"),
    rule("year after since", rf"(?:(?<=截至)|(?<=截止)|(?<=[自从于]))(?:19|20)\d\d(?={PAUSE}|[以之]?[来前后]|起|开始)", lambda m: digits(m[0]), "自2019以来 → 自二零一九以来"),
    rule("year in two digits", r"(?<=['’‘])\d\d(?=[年一-鿿])(?!\s?[个人岁块元])", lambda m: digits(m[0]), "'98抗洪 → 九八抗洪"),
    rule("generations", r"(?<!\d)(?:[0-9][05]|00)(?:[、/和与](?:[0-9][05]|00)){0,6}(?=后(?!面|边|方|续|来|天|年))(?<![1-4][05])|(?<!\d)(?:0\d|[6-9]\d)(?=后(?!面|边|方|续|来))", lambda m: all_digits(m[0]),
         "80、90后 → 八零、九零后", "00后 → 零零后"),
    rule("year in two digits", r"(?<!\d)(?:0\d|[6-9]\d)(?=年(?!级|来|间|代|历史|以[来前后]|前|后|之|的历|寿))|(?<!\d)00(?=年代)", lambda m: digits(m[0]), "93年的 → 九三年的"),
    rule("day of an event", r"(?<!\d)\d{1,2}\.\d{1,2}(?=大?地震|事件|事变|惨案)", lambda m: digits(m[0].replace(".", "")), "5.12大地震 → 五一二大地震"),
    rule("festival", rf"(?<![\d.])(?P<m>{MONTH})[/.](?P<d>{DAY})(?=\s?(?:{_FESTIVAL}))", lambda m: holiday(m["m"], m["d"]), "12/25圣诞节 → 十二月二十五日圣诞节", "3/8妇女节 → 三八妇女节"),
    rule("shopping day", r"(?<![\d.])(?P<a>1[0-2]|[1-9])\.(?P<b>[123]?\d)(?=\s?(?:购物节|大促|促销|购物狂欢|狂欢节|电商节|年中))", lambda m: "双" + cardinal(m["a"]) if m["a"] == m["b"] else digits(m["a"] + m["b"]),
         "11.11购物节 → 双十一购物节", "12.12大促 → 双十二大促", "6.18年中大促 → 六一八年中大促"),
    rule("double day", r"(?<!\d)(?P<a>1[0-2])[·•](?P=a)(?!\d)", lambda m: "双" + cardinal(m["a"]), "11·11 → 双十一"),
    rule("day as a name", r"(?<!\d)(?P<a>\d{1,2})[·•](?P<b>\d{1,2})(?!\d)", lambda m: digits(m["a"]) + digits(m["b"]), "3·15晚会 → 三一五晚会"),
    rule("price with its coins", r"(?<![\d.])(?P<a>\d+)(?P<u>[米块元]|秒(?=\d\d))(?P<b>\d{1,2})(?![\d.个位米秒分])", lambda m: f"{counted(m['a'])}{m['u']}{digits(m['b'])}", "3块5 → 三块五", "1米75 → 一米七五", "9秒58 → 九秒五八"),
    rule("days or months", r"(?P<a>\d{1,2})[-~–—~～至到](?P<b>\d{1,2})(?=[月日号])", lambda m: between(m, cardinal), "5-7日 → 五到七日"),
    rule("month or day", r"(?P<n>\d{1,2})(?=月|日(?!元)|号(?!楼|线))", lambda m: cardinal(m["n"]), "2月2日 → 二月二日"),
    # -- Times --
    rule("ratio", rf"(?<=比)\s?(?P<a>{N})\s?[:：]\s?(?P<b>{QUANTITY})", lambda m: f"{number(m['a'])}比{number(m['b'])}", "占比3:7 → 占比三比七"),
    rule("span of times", r"(?<![\d:.])(?P<h>[01]?\d|2[0-4])[:：](?P<m>[0-5]\d)(?:[:：](?P<s>[0-5]\d))?\s?(?:——|[-~–—~～至到])\s?(?P<h2>[01]?\d|2[0-4])[:：](?P<m2>[0-5]\d)(?![\d:])",
         lambda m: f"{clock(m['h'], m['m'], m['s'])}到{clock(m['h2'], m['m2'])}", "9:00-18:30 → 九点整到十八点三十分"),
    rule("half day", r"(?<![\d:.])(?P<h>1[0-2]|0?[1-9])(?:[:：](?P<m>[0-5]\d))?\s?(?P<x>[AaPp])\.?\s?[Mm](?![A-Za-z])\.?", lambda m: half_day(m["h"], m["m"], m["x"]), "3:15pm开会 → 下午三点十五分开会", "早上9am到5pm → 早上上午九点到下午五点"),
    rule("performance", r"(?<![\d:.])(?P<h>\d{1,2})[:：](?P<m>[0-5]\d)[:：](?P<s>[0-5]\d)(?![\d:])", lambda m: duration(m["h"], m["m"], m["s"]) if is_performance(m) else None, "马拉松2:01:09 → 马拉松两小时零一分零九秒"),
    rule("time", r"(?<![\d:.])(?P<h>[01]?\d|2[0-4])[:：](?P<m>[0-5]\d)(?:[:：](?P<s>[0-5]\d))?分?(?![\d:])", clock_before, "10:30 → 十点三十分", "12:00前 → 十二点前"),
    rule("minutes of an hour", r"(?<=[\d时点])(?<=[时点])\d{1,2}(?=分)", lambda m: cardinal(m[0]), "2时2分 → 二时二分"),
    rule("ratio", rf"(?<![\d:])(?P<a>{N})\s?[:：]\s?(?P<b>{QUANTITY})(?![\d:])", lambda m: f"{number(m['a'])}比{number(m['b'])}", "1:10000 → 一比一万"),
    rule("two o'clock", r"(?<!\d)2(?=点(?:钟|半|整|\d|多|左右|[^\d一二三四五六七八九零]|$))", lambda m: "两", "下午2点 → 下午两点"),
    rule("leading zero", r"(?<![\d.])0\d+(?![\d.])", lambda m: digits(m[0], yao=True), "00123 → 零零幺二三"),
    # -- Names and signs of technology --
    rule("kana between hanzi", "(?<=[一-鿿])の(?=[一-鿿])", lambda m: "的", "鲜の每日 → 鲜的每日"),
    rule("kana", f"[{KANA}]{{1,60}}", lambda m: romaji(m[0]) or None, "去カラオケ唱歌 → 去karaoke唱歌", "东京タワー → 东京tawaa", "你好，こんにちは → 你好，konnichiwa", "ｶﾗｵｹ → karaoke", "マッチャ → matcha", "ウィキ → wiki"),
    rule("at a rate", r"@(?=\d{1,4}(?:\.\d{1,3})?\s?(?:[kMG]?Hz|fps|FPS))", lambda m: " ", "2K@60Hz → 二K六十赫兹", "4K@30fps → 四K三十帧每秒"),
    rule("aircraft", r"(?<=波音)\d{3}", lambda m: digits(m[0]), "波音747 → 波音七四七"),
    rule("aircraft and its variant", r"(?<=空客)(?P<l>A)(?P<a>\d{3})-(?P<b>\d{3,4})(?!\d)", lambda m: f"A {digits(m['a'])} {digits(m['b'])}", "空客A350-900 → 空客A三五零九零零"),
    rule("chip", r"(?:(?<=骁龙)|(?<=天玑)|(?<=麒麟)|(?<=锐龙)|(?<=龙芯)|(?<=昇腾)|(?<=鲲鹏))\d{3,4}(?![\d.]|[万元块])", lambda m: digits(m[0]), "骁龙888 → 骁龙八八八", "天玑9300 → 天玑九三零零"),
    rule("pattern by its year", r"(?<![\d.])\d{2}(?=式)", lambda m: digits(m[0]), "99式坦克 → 九九式坦克"),
    rule("lines of a picture", r"(?<![\d.])(?:480|540|720|1080|1440|2160)(?=[pPi](?![A-Za-z]))", lambda m: digits(m[0]), "1080P → 一零八零P"),
    rule("half and half", r"(?<![\d/])50\s?/\s?50(?![\d/])", lambda m: "五十比五十", "按50/50分成 → 按五十比五十分成"),
    rule("round the clock", r"24\s?/\s?7(?!\d|/)", lambda m: "二十四七", "24/7在线 → 二十四七在线"),
    rule("round the clock", r"(?<!\d)7\s?[xX×*]\s?24(?!\d)", lambda m: "七乘二十四", "7x24小时 → 七乘二十四小时"),
    rule("abbreviation", "e\\.g[. ]", lambda m: "例如", "水果（e.g. 苹果） → 水果，例如苹果，"),
    rule("abbreviation", "i\\.e[. ]", lambda m: "也就是", "正午，i.e. 十二点 → 正午，也就是十二点"),
    rule("English ordinal", r"(?<![\d.])\d{1,3}(?:st|nd|rd|th)(?![A-Za-z])", lambda m: english_ordinal(m[0][:-2]), "得了1st → 得了first"),
    rule("model behind a hyphen", r"(?<=[A-Za-z]\d)-(?P<n>\d{4,5})(?=[A-Z]{0,3}(?![A-Za-z\d]))", lambda m: digits(m["n"]), "i7-13700H → i七一三七零零H", "DDR5-6400 → D D R五六四零零"),
    rule("video codec", r"(?<![A-Za-z])H\.(?P<n>26\d)(?!\d)", lambda m: "H " + digits(m["n"]), "H.264编码 → H二六四编码"),
    rule("ten thousands", rf"(?P<a>{N})(?:w(?P<p>\+)?|W(?P<q>\+))(?![A-Za-z\d/])", lambda m: f"{counted(m['a'])}万{'加' if m['p'] or m['q'] else ''}", "10w+阅读 → 十万加阅读"),
    rule("round the clock", r"(?<!\d)7/24(?=小时|在线|服务)", lambda m: "七乘二十四", "7/24小时 → 七乘二十四小时"),
    rule("language", r"C\+\+", lambda m: "C 加加", "C++ → C加加"),
    rule("language", r"[CF]#", lambda m: f"{m[0][0]} sharp", "C# → C sharp"),
    rule("plus between names", r"(?<=[A-Za-z)）²³₀-₉])\+(?=[A-Za-z\d(])", lambda m: "加", "按Ctrl+C复制 → 按control加C复制"),
    rule("times between names", r"(?<![A-Za-z]{2})(?<=[A-Za-z)）\d])\*(?=[A-Za-z](?![A-Za-z])|[\d(])", lambda m: "乘", "a*b → a乘b"),
    rule("name of two words", r"(?i:VS)(?= Code(?![A-Za-z]))", lambda m: "V S", "用VS Code写 → 用V S Code写"),
    rule("dot before a name", r"\.(?=NET)", lambda m: "点 ", ".NET → 点N E T"),
    rule("and between letters", r"(?P<a>[A-Z]{1,3})&(?P<b>[A-Z]{1,3})(?![A-Za-z])", lambda m: f"{m['a']} and {m['b']}", "Q&A → Q and A"),
    rule("hyphen in a name", r"Wi-?Fi|WI-?FI|wi-?fi", lambda m: "WiFi", "Wi-Fi → why fie"),
    rule("version", r"(?<![A-Za-z\d.])[vV]\s?(?P<n>\d+(?:\.\d+)+)", lambda m: f"V {version(m['n'])}", "v1.2.3 → V一点二点三"),
    rule("version", r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d.])", lambda m: version(m[0]), "版本2.0.1 → 版本二点零点一", "升到18.1.1 → 升到十八点一点一"),
    # -- Temperature, angles, percent, money --
    rule("temperatures", rf"(?P<a>[-−]?{N})\s?(?P<v>{DEGREES})?{TO}(?P<b>[-−]?{N})\s?(?P<u>{DEGREES})", _temperatures, "-3~5℃ → 零下三到五摄氏度", "10℃～15℃ → 十到十五摄氏度"),
    rule("temperatures", rf"(?P<a>[-−]{N}){TO}(?P<b>[-−]?{N})(?=度)", lambda m: f"{below_zero(m['a'])}到{below_zero(m['b'])}", "气温-5~3度 → 气温零下五到三度"),
    rule("temperature", rf"(?P<a>[-−+]?{N})\s?(?P<u>{DEGREES}|摄氏度)", lambda m: below_zero(m["a"]) + degrees(m["u"]), "38.5°C → 三十八点五摄氏度", "-6 摄氏度 → 零下六摄氏度"),
    rule("coordinate", rf"(?P<d>{N})°(?:(?P<m>{N})[′'’](?:(?P<s>{N})(?:[″\"”]|′′|''))?)?\s?(?P<q>[NSEW](?![A-Za-z]))?", coordinate,
         "116.4°E → 东经一百一十六点四度", "北纬39°54′20″ → 北纬三十九度五十四分二十秒", "45° → 四十五度"),
    rule("feet and inches", r"(?<![\d.])(?P<a>\d)['’](?P<b>1[01]|\d)(?:[\"”]|'')", lambda m: f"{number(m['a'])}英尺{counted(m['b'])}英寸", "5'3\" → 五英尺三英寸"),
    rule("minutes and seconds", rf"(?<![\d.])(?P<a>\d{{1,3}})(?:′|['’](?=\d\d))(?P<b>{N})(?:[″\"”]|′′|'')", lambda m: f"{number(m['a'])}分{number(m['b'])}秒", "1′30″ → 一分三十秒"),
    rule("inches", rf"(?<![\d.])(?P<a>{N})″", lambda m: number(m["a"]) + "英寸", "27″ → 二十七英寸"),
    rule("decade", r"(?P<a>[12]\d\d0)['’]?s(?![A-Za-z])", lambda m: digits(m["a"]) + "年代", "1990s → 一九九零年代"),
    rule("percents", rf"(?P<a>[-−]?{N})[%％]?{TO}(?P<b>[-−]?{N})[%％]", lambda m: f"百分之{number(m['a'])}到百分之{number(m['b'])}", "3%-5% → 百分之三到百分之五"),
    rule("percent", rf"(?P<s>[-−+±])?\s?(?P<a>{QUANTITY})\s?(?P<u>[%％‰‱])", _percent, "-2.3% → 负百分之二点三", "1‰ → 千分之一"),
    rule("amounts", rf"(?P<c>{SIGN})\s?(?P<a>{QUANTITY})(?P<m>{MAGNITUDE}){TO}(?:{SIGN})?(?P<b>{QUANTITY})(?P<n>{MAGNITUDE})", lambda m: counted(m["a"]) + m["m"] + "到" + money(m["b"], m["n"], m["c"]), "¥100-¥200 → 一百到二百元"),
    rule("amount", rf"(?<![A-Za-z])(?P<s>[-−])?(?P<c>{SIGN})\s?(?P<t>[-−])?(?P<a>{QUANTITY})\s?(?P<m>{MAGNITUDE})(?:元|美元)?(?:/(?P<per>[天日周月年次人]))?", lambda m: ("负" if m["s"] or m["t"] else "") + money(m["a"], m["m"], m["c"]) + (f"每{m['per']}" if m["per"] else ""), "$3.5亿 → 三点五亿美元", "$9.99/月 → 九点九九美元每月"),
    rule("amount", rf"(?P<a>{QUANTITY})\s?(?P<m>{MAGNITUDE})\s?(?P<c>{CODE})(?![A-Za-z])", lambda m: money(m["a"], m["m"], m["c"]), "100USD → 一百美元"),
    rule("amount in full", r"(?P<a>\d+\.\d*?)0+(?=[元块美欧])(?<![.]0)", lambda m: number(m["a"].rstrip(".")), "12.50元 → 十二点五元"),
    # -- Arithmetic and science --
    rule("blood pressure", r"(?P<a>\d{2,3})/(?P<b>\d{2,3})\s?mmHg", lambda m: f"{number(m['a'])}比{number(m['b'])}毫米汞柱", "120/80mmHg → 一百二十比八十毫米汞柱"),
    rule("blood pressure", r"(?:(?<=血压)|(?<=血压[为是]))(?P<a>\d{2,3})/(?P<b>\d{2,3})(?!\d)", lambda m: f"{number(m['a'])}比{number(m['b'])}", "血压120/80 → 血压一百二十比八十"),
    rule("power of ten", rf"(?P<a>[-−]?{N})\s?[×xX*]\s?10\s?(?:\^(?P<e>[-−]?\d+)|(?P<f>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))(?:\s?(?P<p>/)?(?P<u>{UNIT})(?![A-Za-z]))?",
         lambda m: f"{number(m['a'])}乘十的{number(m['e'] or m['f'].translate(SUPERSCRIPTS))}次方{'每' if m['p'] else ''}{mandarin(m['u']) if m['u'] else ''}", "3×10^8m/s → 三乘十的八次方米每秒", "6.5×10^9/L → 六点五乘十的九次方每升", "6.5×10⁹/L → 六点五乘十的九次方每升"),
    rule("logarithm", rf"(?<![A-Za-z])log(?P<b>[₀-₉]+)(?P<a>{N}|[a-z](?![A-Za-z]))", lambda m: f"log以{cardinal(m['b'].translate(SUBSCRIPTS))}为底{number(m['a']) if m['a'][0].isdigit() else m['a']}", "log₂8 → log以二为底八"),
    rule("function", r"(?<![A-Za-z])(?P<l>sin|cos|tan|log|ln|lg)\s?(?P<n>\d+)(?P<d>°)?", lambda m: f"{m['l']} {number(m['n'])}{'度' if m['d'] else ''}", "sin30° → sin三十度"),
    rule("division", r"(?P<a>\d+)/(?P<b>\d+)(?=\s?=)", lambda m: f"{number(m['a'])}除以{number(m['b'])}", "6/2=3 → 六除以二等于三"),
    rule("power of ten", rf"(?P<a>{N})[eE](?P<e>[-+−]?\d+)(?![A-Za-z\d])", lambda m: f"{number(m['a'])}乘十的{number(m['e'])}次方", "1e3 → 一乘十的三次方"),
    rule("measures", rf"(?P<a>[-−]?{QUANTITY})\s?(?:{UNIT})?{TO}(?P<b>{QUANTITY})\s?(?P<u>{UNIT})(?:/(?P<per>[天日周月年次人]))?(?![A-Za-z])(?<!\d[ANJ])", lambda m: f"{counted(m['a'])}到{measure(m['b'], m['u'])}" + (f"每{m['per']}" if m["per"] else ""), "10-20mg/次 → 十到二十毫克每次", "50-100mm → 五十到一百毫米", "20kg-30kg → 二十到三十千克"),
    rule("power", rf"(?P<a>{N})\s?(?:(?:\^|\*\*)(?P<e>[-−]?\d+)|(?P<f>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))(?:(?P<u>{UNIT})(?![A-Za-z]))?", lambda m: power(m["a"], m["e"] or m["f"].translate(SUPERSCRIPTS)) + (mandarin(m["u"]) if m["u"] else ""), "2^10 → 二的十次方", "2³ → 二的立方"),
    rule("power of a letter", r"(?<=[A-Za-z)）])(?P<f>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda m: {"²": "平方", "³": "立方"}.get(m["f"]) or f"的{number(m['f'].translate(SUPERSCRIPTS))}次方", "x² → x平方", "x⁻¹ → x的负一次方"),
    rule("power of a letter", r"(?<=[A-Za-z)）])\^(?P<e>\d+)", lambda m: {"2": "的平方", "3": "的立方"}.get(m["e"], f"的{number(m['e'])}次方"), "x^2 → x的平方"),
    rule("root", rf"√(?P<a>{N})?", lambda m: "根号" + (number(m["a"]) if m["a"] else ""), "√2 → 根号二"),
    rule("plus or minus", rf"±\s?(?P<a>{N})", lambda m: "正负" + number(m["a"]), "±5 → 正负五"),
    rule("triangle and angle", r"[△∠⊙](?=[A-Za-z\d])", lambda m: {"△": "三角形 ", "∠": "角 ", "⊙": "圆 "}[m[0]], "△ABC → 三角形A B C", "∠A → 角A"),
    rule("ion", rf"(?<![A-Za-z\d])(?P<f>(?:{ELEMENT}[\d₀-₉]{{0,3}}){{1,4}})(?P<n>[²³⁴])?(?P<s>[⁺⁻])(?:离子)?", lambda m: f"{formula(m['f'])} {cardinal(m['n'].translate(SUPERSCRIPTS)) if m['n'] else ''}{'正' if m['s'] == '⁺' else '负'}离子", "SO₄²⁻ → S O四二负离子", "Na⁺ → N a正离子"),
    rule("formula", rf"(?<![A-Za-z\d])(?=[A-Za-z]*[\d₀-₉])(?:{ELEMENT}[\d₀-₉]{{0,3}}){{2,}}(?![A-Za-z\d])|(?<![A-Za-z\d])(?:O[23₂₃]|[HN][2₂]|Cl[2₂]|NaCl|NaOH|KCl|KOH|HCl|CaO)(?![A-Za-z\d])", lambda m: formula(m[0]), "H₂SO₄ → H二S O四"),
    rule("index", r"[₀-₉]+", lambda m: cardinal(m[0].translate(SUBSCRIPTS)), "x₁+x₂ → x一加x二"),
    rule("arithmetic", rf"(?P<a>[-−]?{N})(?P<o>\s?(?:[+×÷±=≠≈≥≤]|[<>!=]=|[<>])\s?|\s[-−*]\s|(?<=\d)[-−*](?=\d[\d.]*\s?=))(?=[-−(（√]?[\dA-Za-z])", lambda m: number(m["a"]) + OPERATORS[m["o"].strip()], "10-3=7 → 十减三等于七"),
    rule("more than", rf"(?P<a>{QUANTITY})(?P<w>[万亿]?)\+(?![\d(（√A-Za-z=])(?=(?P<c>[个人家款项种名位天年次件岁篇所]?))", lambda m: counted(m["a"]) + m["w"] + ("多" if m["c"] and (m["w"] or m["a"].endswith("0")) else "加"), "50+ → 五十加", "18+内容 → 十八加内容", "100+人 → 一百多人", "10万+ → 十万加"),
    # -- Slashes --
    rule("page of pages", r"(?<=第)(?P<a>\d+)\s?/\s?(?P<b>\d+)\s?(?P<u>[页集章题步节关轮部期])分?", _page, "第3/4页 → 第三页共四页"),
    rule("size of clothes", r"(?<![\d/])(?P<a>1[4-9][05])/(?P<b>\d{2,3})(?P<s>[A-CY])(?![A-Za-z\d])", lambda m: f"{number(m['a'])}，{number(m['b'])} {m['s']}", "170/88A → 一百七十，八十八A"),
    rule("beat", r"(?<![\d/])(?P<a>[2-9]|12)/(?P<b>[248]|16)(?=拍)", lambda m: f"{cardinal(m['b'])}{cardinal(m['a'])}", "3/4拍 → 四三拍"),
    rule("two classes", r"(?<![\d/])4/6(?=级)", lambda m: "四六", "4/6级 → 四六级"),
    rule("mixed fraction", r"(?P<w>\d+)\s(?P<a>\d{1,2})/(?P<b>[1-9]\d?)(?![\d/])", lambda m: f"{cardinal(m['w'])}又{fraction(m['a'] + '/' + m['b'])}", "3 1/2 → 三又二分之一"),
    rule("mixed fraction", rf"(?P<w>\d+)\s?(?P<f>[{_FRACTION_SIGNS}])", lambda m: f"{cardinal(m['w'])}又{fraction(m['f'])}", "2½ → 二又二分之一"),
    rule("fraction", r"(?<![\d/])(?P<a>\d{1,4})[/⁄](?P<b>[1-9]\d{0,3})(?![\d/])", lambda m: fraction(m[0].replace("⁄", "/")), "3/4杯 → 四分之三杯"),
    rule("fraction in words", r"(?P<b>\d+)分之(?P<a>\d+(?:\.\d+)?)", lambda m: f"{cardinal(m['b'])}分之{number(m['a'])}", "2分之1 → 二分之一"),
    rule("per piece", r"(?<=\d)/(?P<w>[台件瓶盒箱套间晚只本份斤杯])", lambda m: "每" + m["w"], "￥1,299.00/台 → 一千二百九十九元每台"),
    rule("per unit", rf"(?<=[元块角分万亿克升次人㎡㎥²³⁰-⁹])/(?:(?P<u>{UNIT})(?![A-Za-z])|(?P<w>[天日周月年次人台件瓶盒箱套间晚只本份斤杯张]))", lambda m: "每" + (m["w"] or mandarin(m["u"])), "3000元/㎡ → 三千元每平方米", "45元/㎡/月 → 四十五元每平方米每月"),
    # -- Ordinals --
    rule("ordinals", rf"(?<=第)(?P<a>\d+){TO}(?:第)?(?P<b>\d+)", lambda m: f"{cardinal(m['a'])}到第{cardinal(m['b'])}", "第2-3名 → 第二到第三名"),
    rule("ordinal", r"(?<=第)\d+", lambda m: cardinal(m[0]), "第2名 → 第二名"),
    rule("ordinal", r"(?:No|NO|no|№)[. ]?\s?(?P<a>\d+)", lambda m: "第" + cardinal(m["a"]), "No.1 → 第一"),
    # -- Measures --
    rule("measure", rf"(?P<a>{QUANTITY})\s?(?P<u>[ANJ])(?=$|[\s，。,、;）)的电])", lambda m: measure(m["a"], m["u"]) if is_current(m) else None, "5A电流 → 五安电流", "电流5A，功率 → 电流五安，功率"),
    rule("measure", rf"(?P<a>[-−]?{QUANTITY})\s?(?P<u>{UNIT})(?:/(?P<per>[天日周月年次人]))?(?![A-Za-z])(?<!\d[ANJ])", lambda m: measure(m["a"], m["u"]) + (f"每{m['per']}" if m["per"] else ""),
         "420μmol/L → 四百二十微摩尔每升", "10µg → 十微克", "5kΩ → 五千欧姆", "100Wh → 一百瓦时", "620N·m → 六百二十牛米", "80km/h → 八十公里每小时", "2GW → 二吉瓦"),
    rule("two of a thing", rf"(?P<a>{QUANTITY})(?P<m>{MAGNITUDE}){TO}(?P<b>2){COUNTED}", lambda m: f"{counted(m['a'])}{m['m']}到两", "1~2次 → 一到两次"),
    rule("two of a thing", rf"(?<![\d.A-Za-z])(?P<a>2){TO}(?P<b>\d){COUNTED}", lambda m: f"两到{number(m['b'])}", "2-3个 → 两到三个"),
    rule("temperature or floor, then two", r"(?<![\d.])2(?=两)", lambda m: "二", "2两白酒 → 二两白酒"),
    rule("range", rf"(?<![\dA-Za-z])(?P<a>{QUANTITY})(?P<m>{MAGNITUDE}){TO}(?P<b>{QUANTITY})(?![\d:])", _range, "3-5天 → 三到五天", "1万-3万 → 一万到三万"),
    # -- Numbers beside letters, plain numbers --
    rule("number behind letters", rf"(?<![A-Za-z\d])(?P<l>[A-Za-z]+-?|(?=[a-z]*[A-Z])[A-Za-z]+ (?!{N}\s?{UNIT}(?![A-Za-z\d])))(?P<n>\d+(?:\.\d+)*)(?![\d.]\d|[A-Za-z]*[-_/@])(?=[A-Za-z]|\b|[^\w]|$|[^\x00-\x7f])", lambda m: joined(m["l"], m["n"]),
         "MP3 → M P三", "RTX4090 → R T X四零九零", "买iPhone 15 Pro Max 256GB → 买I phone十五Pro Max二百五十六G B"),
    rule("minus", rf"(?<![\dA-Za-z.])[-−](?P<a>{QUANTITY})", lambda m: "负" + number(m["a"]), "-5 → 负五", "余额-120.5元 → 余额负一百二十点五元"),
    rule("two of a thing", rf"(?<![\d.])2{COUNTED}", lambda m: "两", "2个 → 两个", "2床被子 → 两床被子"),
    rule("plus", rf"\+(?P<a>{QUANTITY})", lambda m: "加" + number(m["a"]), "净值+2 → 净值加二"),
    rule("number in groups", r"(?<![\d.])[1-9]\d{0,2}(?: 000)+(?!\d)", lambda m: number(m[0].replace(" ", "")), "1 000 000人 → 一百万人"),
    rule("number in groups", GROUPED, lambda m: number(m[0]), "1,234.5 → 一千二百三十四点五"),
    rule("number", rf"\d{{9,}}(?!\.?\d)(?![个人元亿万])|{N}", lambda m: number(m[0]), "12345人 → 一万两千三百四十五人"),
    # -- Roman numerals and signs that are numbers --
    rule("Roman numeral before its noun", r"(?<![A-Za-z\d])(?P<r>I(?=[期型级类度])|[XVI]{2,5}(?=[期型级类度区卷章部届代世集相号]))", lambda m: cardinal(str(roman(m["r"]))) if roman(m["r"]) else None, "III期临床 → 三期临床", "II型糖尿病 → 二型糖尿病", "I期试验 → 一期试验"),
    rule("Roman numeral", r"(?<=[一-鿿])(?P<r>[XVI]{2,6})(?![A-Za-z])", lambda m: cardinal(str(roman(m["r"]))) if roman(m["r"]) else None, "路易XIV → 路易十四"),
    rule("Roman numeral", "[Ⅰ-Ⅻ]", lambda m: cardinal(str(ord(m[0]) - 0x215F)), "第Ⅲ章 → 第三章"),
    rule("Roman numeral", "[ⅰ-ⅻ]", lambda m: cardinal(str(ord(m[0]) - 0x216F)), "ⅳ级 → 四级"),
    rule("number in a circle", "[①-⑳]", lambda m: cardinal(str(ord(m[0]) - 0x245F)), "①苹果 → 一苹果"),
    rule("fraction sign", f"[{_FRACTION_SIGNS}]", lambda m: fraction(m[0]), "½杯 → 二分之一杯", "⅞ → 八分之七"),
    rule("raised number", "[⁰¹²³⁴⁵⁶⁷⁸⁹]", lambda m: cardinal(m[0].translate(SUPERSCRIPTS)), "注⁴ → 注四"),
)  # fmt: skip
