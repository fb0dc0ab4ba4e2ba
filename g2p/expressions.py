"""Written expressions that Mandarin says differently: dates, times, money, units, telephone numbers and their like.

`RULES` is tried from the top at each place of a text; the first that fits wins. A rule is a pattern and a function from its match to the
spoken words. Patterns see half-width digits and signs.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from g2p.numbers import cardinal, decimal, digits, roman
from g2p.units import CURRENCIES, UNITS

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]]

_N = r"\d+(?:\.\d+)?"
_GROUPED = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?"
_QUANTITY = rf"(?:{_GROUPED}|{_N})"
_TO = r"\s?[-~–—~～至到]\s?"
_MAGNITUDE = "[百千万亿]{0,2}"

_UNIT = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_SIGN = "|".join(sorted(map(re.escape, CURRENCIES), key=len, reverse=True))
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
# A bare 2 is 两 before what is counted, 二 where 2 is a name or a measure on a scale.
_COUNTED = (
    r"(?=[个位只头匹条张本件套双对份家间所座栋辆艘架台部支枝把根块片颗粒滴杯瓶碗盘盒箱包袋桶斤两吨克升米里亩次回遍趟场顿句首篇封"
    r"岁天周年夜秒倍种类样人名员步口代例起宗项门笔元角毛块分亿万千]|小时|分钟|星期|礼拜|公斤|公里|公顷|厘米|毫米|毫升|平方|立方|千[米克瓦卡]|点[钟半]|组|队|国|国家|边|"
    r"旁|侧|者|方面|章节|段|排|行|列|层楼高|英里|英寸|英尺|海里|美元|欧元|英镑|港元|日元)(?!月|号楼)"
)
_DIGIT_NAMES = re.compile(
    r"(?:验证码|校验码|密码|编号|编码|单号|订单号|运单号|账号|帐号|卡号|尾号|房间号?|房号|门牌号?|QQ号?|微信号?|邮编|邮政编码|电话|手机|手机号码?|号码|传真|热线|"
    r"拨打|致电|来电|打|拨|呼叫|报警|车次|航班号?|工号|学号|座机|身份证号?码?|股票代码|代码|序列号|车牌号?|频道|客服|区号|分机)[:：是为了]?\s?$"
)

_BEFORE_OR_AFTER = re.compile("[之以]?[前后]|左右")
_SCORE = re.compile("(?:比分|总分|决赛|半场|终场|联赛|赢了|输了|击败|战平|逼平)[^，。,0-9]{0,5}$")


def number(text: str) -> str:
    """A number with its sign, thousands separators and decimals."""
    text = text.replace(",", "")
    return ("负" if text[0] in "-−" else "") + decimal(text.lstrip("-−+"))


def counted(text: str) -> str:
    """`number`, but 两 for a bare 2."""
    return "两" if text == "2" else number(text)


def _date(year: str, month: str, day: str) -> str:
    return (f"{digits(year)}年" if year else "") + f"{cardinal(month)}月" + (f"{cardinal(day)}日" if day else "")


def _clock(hour: str, minute: str, second: str | None = None) -> str:
    spoken = ("两" if int(hour) == 2 else cardinal(hour)) + "点"
    if second:
        return spoken + _sixty(minute) + "分" + _sixty(second) + "秒"
    return spoken + ("整" if minute == "00" else _sixty(minute) + "分")


def _sixty(value: str) -> str:
    return ("零" if value[0] == "0" and value != "00" else "") + cardinal(value)


def _dotted(text: str, yao: bool = False) -> str:
    return "点".join(digits(part, yao) for part in text.split("."))


def _plate(text: str) -> str:
    """Letters by name, digits one by one: `A12B45`."""
    return " ".join(digits(part, yao=True) if part.isdigit() else part for part in re.findall(r"[A-Z]|\d+", text))


def _telephone(text: str) -> str:
    return digits(re.sub(r"\D", "", text), yao=True)


def _range(match: re.Match[str], speak: Callable[[str], str] = number) -> str:
    return f"{speak(match['a'])}到{speak(match['b'])}"


def _unit(value: str, unit: str) -> str:
    spoken = UNITS[unit]
    return ("两" if value == "2" and not spoken.isascii() and unit != "°" else number(value)) + spoken


def _money(value: str, magnitude: str, currency: str) -> str:
    value = value.replace(",", "")
    value = value.rstrip("0").rstrip(".") if "." in value else value
    return counted(value) + magnitude + CURRENCIES[currency]


def _below_zero(text: str) -> str:
    return ("零下" if text[0] in "-−" else "") + decimal(text.lstrip("-−+"))


def _degrees(unit: str) -> str:
    return "华氏度" if "F" in unit or "℉" in unit else "摄氏度"


def _joined(letters: str, number_: str) -> str:
    """What stands after letters: A380, MP3, GPT-4, PM2.5."""
    spoken = (
        _dotted(number_)
        if number_.count(".") > 1
        else number(number_)
        if len(number_.split(".")[0]) < 3
        else digits(number_)
    )
    return f"{letters.rstrip(' -')} {spoken}"


def _power(base: str, exponent: str) -> str:
    return (
        f"{number(base)}的{number(exponent)}次方"
        if exponent not in "23"
        else f"{number(base)}的{'平' if exponent == '2' else '立'}方"
    )


_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_FRACTIONS = {
    "½": "二分之一",
    "⅓": "三分之一",
    "⅔": "三分之二",
    "¼": "四分之一",
    "¾": "四分之三",
    "⅕": "五分之一",
    "⅛": "八分之一",
}
_OPERATORS = {
    "+": "加", "-": "减", "−": "减", "×": "乘", "*": "乘", "÷": "除以", "=": "等于", "≠": "不等于", "≈": "约等于",
    ">": "大于", "<": "小于",
    "≥": "大于等于", "≤": "小于等于", ">=": "大于等于", "<=": "小于等于", "!=": "不等于", "==": "等于", "±": "正负",
}  # fmt: skip
_ELEMENT = "(?:He|Li|Be|Ne|Na|Mg|Al|Si|Cl|Ar|Ca|Ti|Cr|Mn|Fe|Co|Ni|Cu|Zn|Br|Ag|Sn|Ba|Au|Hg|Pb|[HBCNOFPSKI])"


def _is_name(match: re.Match[str]) -> bool:
    """Whether the words before say that these digits name something (验证码 1234)."""
    return bool(_DIGIT_NAMES.search(match.string, max(0, match.start() - 8), match.start()))


def _is_score(match: re.Match[str]) -> bool:
    """Whether the words before speak of a match."""
    return bool(_SCORE.search(match.string, max(0, match.start() - 10), match.start()))


def _formula(text: str) -> str:
    return " ".join(
        cardinal(part) if part.isdigit() else part for part in re.findall(r"\d+|[A-Za-z]", text.translate(_SUBSCRIPTS))
    )


def compile_rules(*rules: tuple[str, Callable[[re.Match[str]], str | None]]) -> list[Rule]:
    """Rules from patterns; a rule whose function answers None does not apply after all."""
    return [(re.compile(pattern), speak) for pattern, speak in rules]


RULES: list[Rule] = compile_rules(
    # dates
    (r"(?<!\d)(?P<y>[12]\d{3})(?P<s>[-/.])(?P<m>0?[1-9]|1[0-2])(?P=s)(?P<d>0?[1-9]|[12]\d|3[01])(?![\d.])",
     lambda m: _date(m["y"], m["m"], m["d"])),
    (r"(?<!\d)(?P<a>[12]\d{3})年?[-~–—~～至到](?P<b>[12]\d{3})(?=年)", lambda m: _range(m, digits)),
    (r"(?<!\d)(?P<a>[12]\d{3})[-–—](?P<b>[12]\d{3})(?!\d)(?=[)）]|$)", lambda m: _range(m, digits)),
    (r"(?<!\d)(?P<y>\d{4})(?=年(?!级|来|间|历史|以[来前后]|前|后|之))", lambda m: digits(m["y"])),
    (r"(?<!\d)(?P<y>0\d|[6-9]\d)(?=后(?!面|边|方|续|来))|(?<!\d)(?P<z>0\d|[6-9]\d)(?=年(?!级|来|间|代|历史|以[来前后]|前|后|之|的历|寿))|(?<!\d)00(?=年代)",
     lambda m: digits(m[0])),
    (r"(?<!\d)\d{1,2}\.\d{1,2}(?=大?地震|事件|事变|惨案)", lambda m: digits(m[0].replace(".", ""))),
    (r"(?<![\d.])(?P<a>\d+)(?P<u>[米块元])(?P<b>\d{1,2})(?![\d.个位米])", lambda m: f"{counted(m['a'])}{m['u']}{digits(m['b'])}"),
    (r"(?P<a>\d{1,2})[-~–—~～至到](?P<b>\d{1,2})(?=[月日号])", lambda m: _range(m, cardinal)),
    (r"(?P<n>\d{1,2})(?=月|日(?!元)|号(?!楼|线))", lambda m: cardinal(m["n"])),
    # scores and ratios before times: 比分 3:2, 1:10000
    (rf"(?<=比)\s?(?P<a>{_N})\s?[:：]\s?(?P<b>{_QUANTITY})", lambda m: f"{number(m['a'])}比{number(m['b'])}"),
    (r"(?:(?<=比分)|(?<=比分[为是])|(?<=[以])|(?<=比例[为是])|(?<=大胜)|(?<=[胜负平]))\s?(?P<a>\d{1,3})\s?[-:：]\s?(?P<b>\d{1,3})(?!\d)",
     lambda m: f"{number(m['a'])}比{number(m['b'])}"),
    (r"(?<!\d)(?P<a>\d{1,3})[-:：](?P<b>\d{1,3})(?![\d-])", lambda m: f"{number(m['a'])}比{number(m['b'])}" if _is_score(m) else None),
    # times
    (r"(?<![\d:.])(?P<h>[01]?\d|2[0-4])[:：](?P<m>[0-5]\d)(?:[:：](?P<s>[0-5]\d))?\s?[-~–—~～至到]\s?(?P<h2>[01]?\d|2[0-4])[:：](?P<m2>[0-5]\d)(?![\d:])",
     lambda m: f"{_clock(m['h'], m['m'], m['s'])}到{_clock(m['h2'], m['m2'])}"),
    (r"(?<![\d:.])(?P<h>[01]?\d|2[0-4])[:：](?P<m>[0-5]\d)(?:[:：](?P<s>[0-5]\d))?分?(?![\d:])",
     lambda m: _clock(m["h"], m["m"], m["s"]).removesuffix("整" if _BEFORE_OR_AFTER.match(m.string, m.end()) else "")),
    (rf"(?<![\d:])(?P<a>{_N})\s?[:：]\s?(?P<b>{_QUANTITY})(?![\d:])", lambda m: f"{number(m['a'])}比{number(m['b'])}"),
    (r"(?<!\d)2(?=点(?:钟|半|整|\d|多|左右|[^\d一二三四五六七八九零]|$))", lambda m: "两"),
    # names made of digits: telephone, identity and other numbers
    (r"(?<![\d.])(?:\+?86[- ]?)?1[3-9]\d(?:[- ]?\d{4}){2}(?![\d.]\d|\d)", lambda m: _telephone(m[0])),
    (r"(?<![\d.])(?:(?:\+?86[- ]?)?0?\d{2,3}[- ]\d{7,8}|[48]00[- ]?\d{3}[- ]?\d{4})(?!\d)", lambda m: _telephone(m[0])),
    (r"(?<!\d)\d{17}[Xx](?![A-Za-z\d])", lambda m: digits(m[0][:17], yao=True) + " X "),
    (r"\d{3,}(?![\d.,，]\d|[个块元万人天年次份])", lambda m: digits(m[0], yao=True) if _is_name(m) else None),
    (r"(?<![\d.])\d{12,}(?![\d.])", lambda m: digits(m[0], yao=True)),
    (r"(?<![\d.])0\d+(?![\d.])", lambda m: digits(m[0], yao=True)),
    (r"(?<!\d)(?P<n>\d{3,4})(?=号?(?:室|房间|房|病房|教室|包厢|路公交|路车|路(?!程|口|过|上|人|段|边)|次列车|航班))", lambda m: digits(m["n"], yao=True)),
    (r"(?<![A-Za-z])(?P<l>[GDCZTK])(?P<n>\d{2,4})(?=次|列车|高铁|动车)", lambda m: f"{m['l']} {digits(m['n'], yao=True)}"),
    (r"(?<![A-Za-z])(?P<l>[A-Z]{2}|[A-Z]\d|\d[A-Z])(?P<n>\d{3,4})(?=次|航班)", lambda m: f"{' '.join(m['l'])} {digits(m['n'], yao=True)}"),
    (rf"(?<=[{_PROVINCES}])[A-Z]·?(?=[A-Z\d]{{5,6}}(?![A-Za-z\d]))[A-Z\d]+", lambda m: _plate(m[0])),
    (r"(?<=\d转)\d{1,6}(?!\d)", lambda m: digits(m[0], yao=True)),
    (r"(?<=火警)119|(?<=匪警)110|(?<=急救)120", lambda m: digits(m[0], yao=True)),
    (r"(?<!\d)(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\d.])", lambda m: _dotted(m[0].replace(":", "."), yao=True)),
    (r"(?<!\d)(?:[369]1[158]|12[0456]|1[01]\d|911)(?=报警|急救|电话|热线|大会|事件)", lambda m: digits(m[0], yao=True)),
    (r"(?<!\d)(?P<a>\d{1,2})[·•](?P<b>\d{1,2})(?!\d)", lambda m: digits(m["a"]) + digits(m["b"])),
    (r"(?<=波音)\d{3}", lambda m: digits(m[0])),
    (r"(?<![\d.])(?:985|211|996|618|360|1688|404|520|1314|955\d\d|10086|10010|12306|12315|12333)(?![\d.:,，/-]\d|\d|[个人元块万亿天年月次千米公斤度份名条只位本多余%％℃°]|\s?[A-Za-z])",
     lambda m: digits(m[0], yao=True)),
    (r"7-11(?=便利店|店|门口|买)|7-ELEVEN", lambda m: "七幺幺"),
    (r"(?<![\d.])\d{2}(?=式)", lambda m: digits(m[0])),
    (r"(?<![\d.])(?:480|540|720|1080|1440|2160)(?=[pPi](?![A-Za-z]))", lambda m: digits(m[0])),
    (r"(?:(?<=[歼轰运直苏图])|(?<=东风)|(?<=长征)|(?<=红旗)|(?<=鹰击)|(?<=巨浪)|(?<=神舟)|(?<=米格)|(?<=嫦娥))-(?P<n>\d{1,3})(?!\d|[.%℃°])",
     lambda m: number(m["n"])),
    (r"C\+\+", lambda m: "C 加加"),
    (r"[CF]#", lambda m: f"{m[0][0]} sharp"),
    (r"(?<=[A-Za-z)）²³])\+(?=[A-Za-z\d(])", lambda m: "加"),
    (r"(?<![A-Za-z]{2})(?<=[A-Za-z)）\d])\*(?=[A-Za-z](?![A-Za-z])|[\d(])", lambda m: "乘"),
    (r"\.(?=NET)", lambda m: "点 "),
    (r"(?P<a>[A-Z]{1,3})&(?P<b>[A-Z]{1,3})(?![A-Za-z])", lambda m: f"{m['a']} and {m['b']}"),
    (r"Wi-?Fi|WI-?FI|wi-?fi", lambda m: "WiFi"),
    (r"[~～](?=[周星])", lambda m: "到"),
    # versions
    (r"(?<![A-Za-z\d.])[vV]\s?(?P<n>\d+(?:\.\d+)+)", lambda m: f"V {_dotted(m['n'])}"),
    (r"(?<![\d.])\d+(?:\.\d+){2,}(?![\d.])", lambda m: _dotted(m[0])),
    # temperature
    (rf"(?P<a>[-−]{_N})\s?(?P<v>℃|°C|℉|°F)\s?[-~–—~～至到]\s?(?P<b>{_N})\s?(?P<u>℃|°C|℉|°F)",
     lambda m: f"{_below_zero(m['a'])}{_degrees(m['v'])}到{_below_zero(m['b'])}{_degrees(m['u'])}"),
    (rf"(?P<a>[-−]?{_N})\s?(?:℃|°C|℉|°F)?\s?[-~–—~～至到]\s?(?P<b>[-−]?{_N})\s?(?P<u>℃|°C|℉|°F)",
     lambda m: f"{_below_zero(m['a'])}到{_below_zero(m['b'])}{_degrees(m['u'])}"),
    (rf"(?P<a>[-−+]?{_N})\s?(?P<u>℃|°C|℉|°F)", lambda m: _below_zero(m["a"]) + _degrees(m["u"])),
    (r"(?P<a>[12]\d\d0)['’]?s(?![A-Za-z])", lambda m: digits(m["a"]) + "年代"),
    # percent
    (rf"(?P<a>[-−]?{_N})[%％]?{_TO}(?P<b>[-−]?{_N})[%％]", lambda m: f"百分之{number(m['a'])}到百分之{number(m['b'])}"),
    (rf"(?P<s>[-−+±])?\s?(?P<a>{_QUANTITY})\s?(?P<u>[%％‰‱])",
     lambda m: {"-": "负", "−": "负", "+": "正", "±": "正负"}.get(m["s"] or "", "") + {"‰": "千分之", "‱": "万分之"}.get(m["u"], "百分之") + number(m["a"])),
    # money
    (rf"(?P<c>{_SIGN})\s?(?P<a>{_QUANTITY})(?P<m>{_MAGNITUDE}){_TO}(?:{_SIGN})?(?P<b>{_QUANTITY})(?P<n>{_MAGNITUDE})",
     lambda m: counted(m["a"]) + m["m"] + "到" + _money(m["b"], m["n"], m["c"])),
    (rf"(?<![A-Za-z])(?P<s>[-−])?(?P<c>{_SIGN})\s?(?P<a>{_QUANTITY})\s?(?P<m>{_MAGNITUDE})(?:元|美元)?",
     lambda m: ("负" if m["s"] else "") + _money(m["a"], m["m"], m["c"])),
    (rf"(?P<a>{_QUANTITY})\s?(?P<m>{_MAGNITUDE})\s?(?P<c>USD|RMB|CNY|HKD|EUR|GBP|JPY)(?![A-Za-z])",
     lambda m: _money(m["a"], m["m"], m["c"])),
    (r"(?P<a>\d+\.\d*?)0+(?=[元块美欧])(?<![.]0)", lambda m: number(m["a"].rstrip("."))),
    # arithmetic and science
    (r"(?P<a>\d{2,3})/(?P<b>\d{2,3})\s?mmHg", lambda m: f"{number(m['a'])}比{number(m['b'])}毫米汞柱"),
    (rf"(?P<a>[-−]?{_N})\s?[×xX*]\s?10\s?(?:\^(?P<e>[-−]?\d+)|(?P<f>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))(?:\s?(?P<u>{_UNIT})(?![A-Za-z]))?",
     lambda m: f"{number(m['a'])}乘十的{number(m['e'] or m['f'].translate(_SUPERSCRIPTS))}次方{UNITS.get(m['u'], '')}"),
    (r"(?<![A-Za-z])(?P<l>sin|cos|tan|log|ln|lg)\s?(?P<n>\d+)(?P<d>°)?", lambda m: f"{m['l']} {number(m['n'])}{'度' if m['d'] else ''}"),
    (r"(?P<a>\d+)/(?P<b>\d+)(?=\s?=)", lambda m: f"{number(m['a'])}除以{number(m['b'])}"),
    (rf"(?P<a>{_N})[eE](?P<e>[-+−]?\d+)(?![A-Za-z\d])", lambda m: f"{number(m['a'])}乘十的{number(m['e'])}次方"),
    (rf"(?P<a>{_N})\s?(?:\^(?P<e>[-−]?\d+)|(?P<f>⁻?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))",
     lambda m: _power(m["a"], m["e"] or m["f"].translate(_SUPERSCRIPTS))),
    (r"(?<=[A-Za-z)）])(?P<f>[²³])", lambda m: "平方" if m["f"] == "²" else "立方"),
    (r"(?<=[A-Za-z)）])\^(?P<e>\d+)", lambda m: {"2": "的平方", "3": "的立方"}.get(m["e"], f"的{number(m['e'])}次方")),
    (rf"[√](?P<a>{_N})?", lambda m: "根号" + (number(m["a"]) if m["a"] else "")),
    (rf"±\s?(?P<a>{_N})", lambda m: "正负" + number(m["a"])),
    (rf"(?<![A-Za-z\d])(?=[A-Za-z]*[\d₀-₉])(?:{_ELEMENT}[\d₀-₉]{{0,3}}){{2,}}(?![A-Za-z\d])|(?<![A-Za-z\d])(?:O[23₂₃]|[HN][2₂]|Cl[2₂]|NaCl|NaOH|KCl|KOH|HCl|CaO)(?![A-Za-z\d])",
     lambda m: _formula(m[0])),
    (rf"(?P<a>[-−]?{_N})(?P<o>\s?(?:[+×÷±=≠≈≥≤]|[<>!=]=|[<>])\s?|\s[-−*]\s|(?<=\d)[-−*](?=\d[\d.]*\s?=))(?=[-−(（√]?[\dA-Za-z])",
     lambda m: number(m["a"]) + _OPERATORS[m["o"].strip()]),
    (r"(?P<w>\d+)\s(?P<a>\d{1,2})/(?P<b>[1-9]\d?)(?![\d/])", lambda m: f"{cardinal(m['w'])}又{cardinal(m['b'])}分之{cardinal(m['a'])}"),
    (r"(?<![\d/])(?P<a>\d{1,4})/(?P<b>[1-9]\d{0,3})(?![\d/])", lambda m: f"{cardinal(m['b'])}分之{cardinal(m['a'])}"),
    (rf"(?<=第)(?P<a>\d+){_TO}(?:第)?(?P<b>\d+)", lambda m: f"{cardinal(m['a'])}到第{cardinal(m['b'])}"),
    (r"(?<=第)\d+", lambda m: cardinal(m[0]).replace("两", "二", 1) if m[0] == "2" else cardinal(m[0])),
    (r"(?:No|NO|no|№)\.?\s?(?P<a>\d+)", lambda m: "第" + cardinal(m["a"])),
    # measures
    (rf"(?P<a>[-−]?{_QUANTITY})(?:{_UNIT})?{_TO}(?P<b>{_QUANTITY})\s?(?P<u>{_UNIT})(?![A-Za-z])",
     lambda m: f"{counted(m['a'])}到{_unit(m['b'], m['u'])}"),
    (rf"(?P<a>{_QUANTITY})\s?(?P<u>[ANJ])(?=$|[\s，。,、;）)的电])", lambda m: _unit(m["a"], m["u"])),
    (rf"(?P<a>[-−]?{_QUANTITY})\s?(?P<u>{_UNIT})(?:/(?P<per>[天日周月年次人]|{_UNIT}))?(?![A-Za-z])(?<!\d[ANJ])",
     lambda m: _unit(m["a"], m["u"]) + (f"每{UNITS.get(m['per'], m['per'])}" if m["per"] else "")),
    (rf"(?P<a>{_QUANTITY})(?P<m>{_MAGNITUDE}){_TO}(?P<b>2){_COUNTED}", lambda m: f"{counted(m['a'])}{m['m']}到两"),
    (rf"(?<![\d.A-Za-z])(?P<a>2){_TO}(?P<b>\d){_COUNTED}", lambda m: f"两到{number(m['b'])}"),
    (rf"(?<![\dA-Za-z])(?P<a>{_QUANTITY})(?P<m>{_MAGNITUDE}){_TO}(?P<b>{_QUANTITY})(?![\d:])",
     lambda m: f"{'两' if m['a'] == '2' and not m['b'].startswith('0') and m['m'] else number(m['a'])}{m['m']}到{number(m['b'])}"),
    # numbers that stand next to letters
    (r"(?<![A-Za-z\d])(?P<l>[A-Za-z]+-?|(?=[a-z]*[A-Z])[A-Za-z]+ )(?P<n>\d+(?:\.\d+)*)(?![\d.]\d|[A-Za-z]*[-_/@])(?=[A-Za-z]|\b|[^\w]|$|[^\x00-\x7f])",
     lambda m: _joined(m["l"], m["n"])),
    # plain numbers
    (rf"(?<![\dA-Za-z.])[-−](?P<a>{_QUANTITY})", lambda m: "负" + number(m["a"])),
    (rf"(?<![\d.])2{_COUNTED}", lambda m: "两"),
    (rf"\+(?P<a>{_QUANTITY})", lambda m: "加" + number(m["a"])),
    (_GROUPED, lambda m: number(m[0])),
    (r"\d{9,}(?!\.?\d)(?![个人元亿万])", lambda m: number(m[0])),
    (_N, lambda m: number(m[0])),
    # Roman numerals
    (r"(?:(?<=第)|(?<=世)|(?<=[一-鿿]))(?P<r>[XVI]{2,6})(?![A-Za-z])", lambda m: cardinal(str(roman(m["r"]))) if roman(m["r"]) else None),
    ("[Ⅰ-Ⅻ]", lambda m: cardinal(str(ord(m[0]) - 0x215F))),
    ("[①-⑳]", lambda m: cardinal(str(ord(m[0]) - 0x245F))),
    ("[½⅓⅔¼¾⅕⅛]", lambda m: _FRACTIONS[m[0]]),
    ("[⁰¹²³⁴⁵⁶⁷⁸⁹]", lambda m: cardinal(m[0].translate(_SUPERSCRIPTS))),
)  # fmt: skip
