"""How each kind of expression is put into Mandarin words, and the patterns and neighbours by which it is known.

`expressions` has the table that says which kind an expression is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from g2p.normalization.numbers import cardinal, decimal, digits
from g2p.normalization.units import CURRENCIES, SERIES, SYMBOL, UNITS, mandarin

N = r"\d+(?:\.\d+)?"
GROUPED = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?"
QUANTITY = rf"(?:{GROUPED}|{N})"
TO = r"\s?(?:——|--|[-–—~～至到])\s?"
MAGNITUDE = "[百千万亿]{0,2}"
UNIT = SYMBOL
SIGN = "|".join(sorted(map(re.escape, CURRENCIES), key=len, reverse=True))
CODE = "|".join(name for name in CURRENCIES if name.isupper() and len(name) > 2)
PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
YEAR = r"(?:1[5-9]|20)\d\d"
MONTH, DAY = "(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
DEGREES = "℃|°C|℉|°F"
# A bare 2 is 两 before what is counted, 二 where 2 is a name or a measure on a scale.
_COUNTERS = (
    "个位只头匹条张本件套双对份家间所座栋辆艘架台部支枝把根块片颗粒滴杯瓶碗盘盒箱包袋桶斤吨克升米里亩次回遍趟场顿句首篇封"
    "岁天周年夜秒倍种类样人名员步口代例起宗项门笔元角毛分亿万千床扇堵具尊株棵朵束串堆摞叠沓捆幅顶枚盏节堂餐桌局集页圈股阵"
    "针拳声瓣副罐壶锅勺筐篮群伙帮排行列队组国边旁侧者段"
)
COUNTED = (
    rf"(?=(?:[{_COUNTERS}]|小时|分钟|星期|礼拜|公斤|公里|公顷|厘米|毫米|毫升|平方|立方|千[米克瓦卡]|点[钟半]|国家|方面|章节|"
    "层楼高|英里|英寸|英尺|海里|美元|欧元|英镑|港元|日元|款(?!项)|轮(?!胎)|页(?!码))(?!号楼|分之))"
)
# What follows a number that counts something and is therefore neither a year nor a code.
QUANTIFIED = (
    rf"(?:\s?(?:[{_COUNTERS}层号楼度折字余多来点轮款期届]|公[里斤顷]|小时|月|日(?!本)|[厘毫微]米|平[米方]|万|亿|[%％℃°‰]|{UNIT}(?![A-Za-z])|"
    "人|美元|欧元|英镑|港元|日元|韩元|卢布))"
)
EMERGENCY = r"(?:11[0249]|12[02]|12345|123\d\d|95\d{3}|96\d{3,4}|10086|10010)"
PAUSE = "[，。、；！？,;!?)）]|$"

_NAMING = (
    r"(?:(?<=[A-Za-z一-鿿])(?<![\d一二三四五六七八九十信口符句问称大小中型])号码?|端口号|(?<=[A-Za-z一-鿿])(?<![数尺起筹加减])码|总机|呼叫中心|电话|手机|座机|传真|热线|"
    r"拨打|致电|来电|[打拨]|呼叫|报警|车次|航班|端口|订单|尾数|频道|客服|区号|分机|邮编|群|QQ|ID|[Pp]ort|ISBN|ISSN|#)[:：是为了]?\s?[#(（]?\s?"
)
_NAMED = re.compile(rf"{_NAMING}(?:\d{{3,13}}\s?[、,，和或与及/]\s?){{0,9}}$")
_BUILDING = re.compile(
    r"[\dA-Za-z一二三四五六七八九十](?:号楼|号院|栋|幢|座|单元|楼)\s?$|(?:会议室|教室|房间|病房|包间|包厢|宿舍|办公室)\s?$"
)
_SCORED = re.compile(
    "(?:第[一二三四五六七1-7][局盘节场]|首局|次局|末局|决胜局|比分|总分|局分|决赛|半场|终场|联赛|杯赛|战绩|赢了|输了|击败|战平|逼平|大胜|险胜|完胜|战胜|不敌|负于|横扫|逆转|打成|战成|扳成|追成|"
    "(?:女排|男排|女篮|男篮|男足|女足|国足|国奥|国乒|队|主场|客场))[^，。,0-9]{0,5}$"
)
_SCORE_AFTER = re.compile(
    r"\s?(?:的?(?:大?比分|总比分)|横扫|大胜|战胜|击败|逆转|险胜|取胜|获胜|完胜|力克|轻取|惨败|惜败|不敌|战平|战成|逼平|领先|落后|淘汰|告负|绝杀|锁定|零封|"
    r"[胜负平赢输](?![率责担])|[一-鿿]{1,4}队)"
)
_FIGURE = re.compile("[图表例式题]\\s?$")
_BETWEEN_TEAMS = re.compile("[一-鿿]{2}")
_PERFORMANCE = re.compile("(?:马拉松|成绩|用时|耗时|时长|全程|历时|长达|完赛|夺冠|纪录|记录|跑进|跑出)[^，。]{0,4}$")
_LASTED = re.compile(
    "(?:用了?|活了?|过了?|经过|历经|历时|长达|距今|约|近|超过?|上|已有|有着?|存在了?|等了?|持续|前后|跨越|沉睡|穿越|绵延|传承了?|逾|整整|"
    "足足|大约|将近|至少|短短|这|那)$"
)
_SINCE = re.compile("(?:自|从|到|至|在|公元)$")
_ELECTRIC = re.compile(r"[电流压充伏瓦]|\d[VWΩ]")
_BEFORE_OR_AFTER = re.compile("[之以]?[前后]|左右|整")
_SERIES = re.compile(rf"(?:{'|'.join(sorted(map(re.escape, SERIES), key=len, reverse=True))})$")
_CRAFT = re.compile(
    r"\d+[A-Z]{0,3}(?:型|系列|战斗?机|飞机|客机|运输机|轰炸机|预警机|直升机|无人机|导弹|火箭|[遥一-鿿]{0,2}卫星|坦克|战车|潜艇|驱逐舰|护卫舰|航母|"
    "探测器|步枪|手枪|鱼雷|发动机|飞船|空间站)"
)


def number(text: str) -> str:
    """A number with its sign, thousands separators and decimals."""
    text = text.replace(",", "")
    return ("负" if text[0] in "-−" else "") + decimal(text.lstrip("-−+"))


def counted(text: str) -> str:
    """`number`, but 两 for a bare 2."""
    return "两" if text == "2" else number(text)


def preceded(match: re.Match[str], pattern: re.Pattern[str], reach: int = 12) -> bool:
    """Whether what stands before a match ends as a pattern (which ends in `$`) says."""
    return bool(pattern.search(match.string, max(0, match.start() - reach), match.start()))


def named(match: re.Match[str]) -> bool:
    """Whether the words before say that these digits name something: 验证码 1234, 请拨打110、119."""
    return preceded(match, _NAMED, 40)


def in_building(match: re.Match[str]) -> bool:
    """Whether a house or a stairwell comes before, so that the number is a room's: 8号楼1503."""
    return preceded(match, _BUILDING)


def is_score(match: re.Match[str]) -> bool:
    """Whether the words around speak of a match."""
    if preceded(match, _FIGURE, 4):
        return False
    if preceded(match, _SCORED) or _SCORE_AFTER.match(match.string, match.end()):
        return True
    start, end = match.span()
    before, after = match.string[max(0, start - 1) : start], match.string[end : end + 1]
    if before == "以" and after in "，。":
        return True
    # Nobody counts backwards: 皇马1-0巴萨 is no range.
    ends = re.fullmatch(r"(\d{1,3})-(\d{1,3})", match[0])
    return ends is not None and int(ends[1]) >= int(ends[2]) and _BETWEEN_TEAMS.fullmatch(before + after) is not None


def is_performance(match: re.Match[str]) -> bool:
    """Whether a clock reading is how long something took."""
    return preceded(match, _PERFORMANCE)


def is_model(match: re.Match[str]) -> bool:
    """Whether a hyphen joins a series and its number (歼-20) and is no minus sign."""
    return preceded(match, _SERIES, 6) or bool(_CRAFT.match(match.string, match.start("n")))


def is_current(match: re.Match[str]) -> bool:
    """Whether the sentence speaks of electricity, so that 5A is a current and no seat, size or class."""
    return match["u"] != "A" or bool(_ELECTRIC.search(match.string, max(0, match.start() - 20), match.end() + 20))


def spans_years(match: re.Match[str]) -> bool:
    """Whether four digits before 年 count years instead of naming one."""
    year, after = match["y"], match.string[match.end() + 1 : match.end() + 4]
    if preceded(match, _SINCE, 3) and year <= "2100":
        return False
    if preceded(match, _LASTED, 4) and not (year <= "2100" and year[2:] != "00"):
        return True
    if year[2:] != "00":
        return after.startswith("之久") or (after.startswith("历史") and year < "1900")
    if year > "2100" or re.match("之久|(?:的|来的|多)?(?:历史|文明|岁月|时间|传承|跨度)|级|来|寿", after):
        return True
    if year in ("1900", "2000"):
        return after.startswith("前") and not after.startswith("前后")
    return bool(re.match("[以之]?[前后]|间|以来|多|的?[古老]", after)) or year == "1000"


def date(year: str | None, month: str, day: str | None) -> str:
    """A date in figures."""
    spoken = (f"{digits(year)}年" if year else "") + f"{cardinal(month)}月"
    return spoken + (f"{cardinal(day)}日" if day else "")


def holiday(month: str, day: str) -> str:
    """A day known by its numbers: 三八, 五一, 十一; others as a date."""
    month, day = month.lstrip("0"), day.lstrip("0")
    if (month, day) in {("3", "8"), ("5", "1"), ("5", "4"), ("6", "1"), ("7", "1"), ("8", "1")}:
        return digits(month + day)
    return "十一" if (month, day) == ("10", "1") else date(None, month, day)


def clock(hour: str, minute: str, second: str | None = None) -> str:
    """A time of day."""
    spoken = ("两" if int(hour) == 2 else cardinal(hour)) + "点"
    if second:
        return spoken + sixty(minute) + "分" + sixty(second) + "秒"
    return spoken + ("整" if minute == "00" else sixty(minute) + "分")


def clock_before(match: re.Match[str]) -> str:
    """A time of day, without 整 where 前, 后 or 左右 follows."""
    spoken = clock(match["h"], match["m"], match["s"])
    return spoken.removesuffix("整" if _BEFORE_OR_AFTER.match(match.string, match.end()) else "")


def half_day(hour: str, minute: str | None, half: str) -> str:
    """`3:15pm` -> 下午三点十五分."""
    noon = "中午" if hour == "12" and half in "pP" else "凌晨" if hour == "12" else "上午" if half in "aA" else "下午"
    if half in "pP" and 6 <= int(hour) < 12:
        noon = "晚上"
    return noon + clock(hour, minute or "00").removesuffix("整")


def sixty(value: str) -> str:
    """Minutes or seconds behind something larger: `05` -> 零五."""
    return ("零" if value[0] == "0" and value != "00" else "") + cardinal(value)


def duration(hours: str, minutes: str, seconds: str) -> str:
    """`2:01:09` -> 两小时零一分零九秒."""
    return f"{counted(hours.lstrip('0') or '0')}小时{sixty(minutes)}分{sixty(seconds)}秒"


def dotted(text: str, yao: bool = False) -> str:
    """Digits between dots: `192.168` -> 一九二点一六八."""
    return "点".join(digits(part, yao) for part in text.split("."))


def version(text: str) -> str:
    """`18.1.1` -> 十八点一点一: only the first part is a quantity."""
    first, _, rest = text.partition(".")
    return f"{number(first)}点{dotted(rest)}"


def plate(text: str) -> str:
    """Letters by name, digits one by one: `A12B45`."""
    return " ".join(digits(part, yao=True) if part.isdigit() else part for part in re.findall(r"[A-Z]|\d+", text))


def telephone(text: str) -> str:
    """Digits one by one, whatever parts them."""
    return digits(re.sub(r"\D", "", text), yao=True)


def all_digits(text: str, yao: bool = False) -> str:
    """Every number in a list digit by digit, what stands between stays: `110、119` -> 幺幺零、幺幺九."""
    return re.sub(r"\d+", lambda m: digits(m[0], yao), text)


def between(match: re.Match[str], speak: Callable[[str], str] = number) -> str:
    """Groups `a` and `b` with 到."""
    return f"{speak(match['a'])}到{speak(match['b'])}"


def versus(text: str) -> str:
    """Scores: `6-4、7-5` -> 六比四、七比五."""
    return re.sub(r"(\d+)\s?[-–—:：∶]\s?(\d+)", lambda m: f"{cardinal(m[1])}比{cardinal(m[2])}", text)


def measure(value: str, unit: str) -> str:
    """A number with the symbol of its unit."""
    two = UNITS[unit].two if unit in UNITS else UNITS[re.split("[·⋅/]", unit)[0]].two
    return (two if value == "2" else number(value)) + mandarin(unit)


def money(value: str, magnitude: str, currency: str) -> str:
    """An amount; prices do not end in 点零零."""
    value = value.replace(",", "")
    value = value.rstrip("0").rstrip(".") if "." in value else value
    return counted(value) + magnitude + CURRENCIES[currency]


def below_zero(text: str) -> str:
    """A temperature: `-3` -> 零下三."""
    return ("零下" if text[0] in "-−" else "") + decimal(text.lstrip("-−+"))


def degrees(unit: str) -> str:
    """Celsius or Fahrenheit."""
    return "华氏度" if "F" in unit or "℉" in unit else "摄氏度"


def coordinate(match: re.Match[str]) -> str:
    """`39°54′N` -> 北纬三十九度五十四分; without 北纬 where it is written before."""
    name = {"N": "北纬", "S": "南纬", "E": "东经", "W": "西经"}.get(match["q"] or "", "")
    written = match.string[max(0, match.start() - 3) : match.start()]
    spoken = "" if name[1:] and name[1] in written else name
    spoken += f"{number(match['d'])}度"
    spoken += f"{number(match['m'])}分" if match["m"] else ""
    return spoken + (f"{number(match['s'])}秒" if match["s"] else "")


def joined(letters: str, figures: str) -> str:
    """What stands after letters: A380, MP3, GPT-4, PM2.5."""
    if figures.count(".") > 1:
        spoken = version(figures)
    elif len(figures.split(".")[0]) < 3:
        spoken = number(figures)
    else:
        spoken = digits(figures.split(".")[0]) + (f"点{digits(figures.split('.')[1])}" if "." in figures else "")
    return f"{letters.rstrip(' -')} {spoken}"


def power(base: str, exponent: str) -> str:
    """`2`, `10` -> 二的十次方."""
    if exponent in ("2", "3"):
        return f"{number(base)}的{'平' if exponent == '2' else '立'}方"
    return f"{number(base)}的{number(exponent)}次方"


SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅐": "1/7", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅑": "1/9", "⅒": "1/10",
}  # fmt: skip
OPERATORS = {
    "+": "加", "-": "减", "−": "减", "×": "乘", "*": "乘", "÷": "除以", "=": "等于", "≠": "不等于", "≈": "约等于",
    ">": "大于", "<": "小于",
    "≥": "大于等于", "≤": "小于等于", ">=": "大于等于", "<=": "小于等于", "!=": "不等于", "==": "等于", "±": "正负",
}  # fmt: skip
ELEMENT = "(?:He|Li|Be|Ne|Na|Mg|Al|Si|Cl|Ar|Ca|Ti|Cr|Mn|Fe|Co|Ni|Cu|Zn|Br|Ag|Sn|Ba|Au|Hg|Pb|[HBCNOFPSKI])"


def fraction(sign: str) -> str:
    """`½` or `1/2` -> 二分之一."""
    above, below = FRACTIONS.get(sign, sign).split("/")
    return f"{cardinal(below)}分之{cardinal(above)}"


def formula(text: str) -> str:
    """Letters by name, numbers as quantities: `H₂SO₄`."""
    return " ".join(
        cardinal(part) if part.isdigit() else part for part in re.findall(r"\d+|[A-Za-z]", text.translate(SUBSCRIPTS))
    )
