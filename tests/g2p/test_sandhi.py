"""Tones as spoken."""

import pytest

from g2p import Lexicon, analyze

NOTHING_CUSTOM = Lexicon()


def spoken(text: str) -> str:
    return " ".join(token.reading for token in analyze(text, NOTHING_CUSTOM).tokens if token.kind == "hanzi")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好", "ni2 hao3"),
        ("我很好", "wo3 hen2 hao3"),
        ("小老虎", "xiao3 lao2 hu3"),
        ("展览馆", "zhan2 lan2 guan3"),
        ("水果", "shui2 guo3"),
        ("买水果", "mai3 shui2 guo3"),
        ("你，好", "ni3 hao3"),
        ("不是", "bu2 shi4"),
        ("不好", "bu4 hao3"),
        ("不", "bu4"),
        ("好不好", "hao3 bu5 hao3"),
        ("一个", "yi2 ge5"),
        ("一天", "yi4 tian1"),
        ("一年", "yi4 nian2"),
        ("一起", "yi4 qi3"),
        ("一样", "yi2 yang4"),
        ("第一个", "di4 yi1 ge5"),
        ("统一", "tong3 yi1"),
        ("十一", "shi2 yi1"),
        ("一月一日", "yi1 yue4 yi1 ri4"),
        ("1.5", "yi1 dian2 wu3"),
        ("100", "yi4 bai3"),
        ("10000", "yi2 wan4"),
        ("21个", "er4 shi2 yi1 ge5"),
        ("2011年", "er4 ling2 yi1 yi1 nian2"),
        ("想一想", "xiang3 yi5 xiang3"),
        ("一年级", "yi1 nian2 ji2"),
        ("一等奖", "yi1 deng2 jiang3"),
        ("高一新生", "gao1 yi1 xin1 sheng1"),
        ("一步一步", "yi2 bu4 yi2 bu4"),
        ("上涨1.1点", "shang4 zhang3 yi1 dian3 yi1 dian3"),
        ("一点一点", "yi4 dian3 yi4 dian3"),
        ("一点一点地", "yi4 dian3 yi4 dian3 de5"),
        ("打不开", "da3 bu5 kai1"),
        ("来不及", "lai2 bu5 ji2"),
        ("毫不动摇", "hao2 bu2 dong4 yao2"),
        ("朋友们", "peng2 you5 men5"),
        ("妈妈", "ma1 ma5"),
        ("桌子", "zhuo1 zi5"),
        ("衣服", "yi1 fu5"),
    ],
)
def test_tones(text: str, expected: str):
    assert spoken(text) == expected


def test_the_dictionary_form_is_kept_beside_the_spoken_one():
    first, second = analyze("你好", NOTHING_CUSTOM).tokens
    assert (first.base, first.reading, second.base) == ("ni3", "ni2", "hao3")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("花儿", "hua1r"),
        ("一会儿", "yi2 hui4r"),
        ("小孩儿", "xiao3 hai2r"),
        ("胡同儿", "hu2 tong4r"),
        ("瓶盖儿", "ping2 gai4r"),
        ("门口儿", "men2 kou3r"),
        ("女儿", "nv3 er2"),
        ("婴儿", "ying1 er2"),
        ("儿子", "er2 zi5"),
        ("幼儿园", "you4 er2 yuan2"),
    ],
)
def test_erhua(text: str, expected: str):
    assert spoken(text) == expected


def test_a_curled_syllable_covers_both_characters():
    (token,) = analyze("花儿", NOTHING_CUSTOM).tokens
    assert (token.text, token.start, token.end) == ("花儿", 0, 2)
