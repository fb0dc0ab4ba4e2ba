"""How right and how fast the Chinese front end reads, beside its peers, in one run.

`python -m tests.benchmarks.g2p` prints milliseconds per sentence for pypinyin (over jieba's words), g2pM and
pinyin-pro, each where it is installed. The data sets are not part of the project; each is measured where its path is
given:

    --everyday FILE    lines `sentence<TAB>pinyin`, one syllable a hanzi as spoken (v for ü, 5 neutral), such as the
                       prosody labels of the Baker corpus
    --readings FILE    lines `kind<TAB>sentence`, the syllables to check in brackets behind their hanzi, 银行[hang2];
                       kind `spoken`: tones after sandhi
    --texts FILE       lines `written<TAB>spoken|spoken|...`
    --news FILE        JSON lines of CN-NewsTTS Bench
    --cpp FILE FILE    sentences and labels of the CPP data set

pip install pypinyin jieba g2pM; npm install pinyin-pro @pinyin-pro/data (in the folder named by --node-modules).
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import g2p
from g2p import Lexicon, analyze

Read = Callable[[list[str]], list[list[str | None]]]
"""Sentences -> one syllable a character, None for what is no hanzi."""
_HANZI = re.compile("[〇一-鿿]")
_CHECKED = re.compile(r"([一-鿿])\[([a-z]+[1-5]r?)\]")
SENTENCES = [
    "重庆的银行行长还没有还钱，他说下个月一定会想办法还清全部贷款。",
    "上午我们调整了会议时间，下午再调查一下空调为什么一直转个不停。",
    "音乐老师背着书包走进教室，让同学们把昨天学的课文再背诵一遍。",
    "长江边长大的孩子都喜欢看大船，觉得它们行走在水上十分了不起。",
    "医生量了量他的血压和体温，说只要好好休息就能参加下周的比赛。",
    "央行下调了存款利率，供应商纷纷要求重新商量合同里的付款条件。",
    "为了弹好这首难度很大的曲子，她每天都要在钢琴前坐上三个小时。",
    "朝阳区的图书馆收藏了不少传记，馆长经常给读者讲其中的传说。",
]  # fmt: skip
_NODE = """
const { pinyin, addDict } = require('pinyin-pro');
try { addDict(require('@pinyin-pro/data/complete').default ?? require('@pinyin-pro/data/complete')); }
catch { console.error('pinyin-pro runs without its complete dictionary: npm install @pinyin-pro/data'); }
const lines = require('fs').readFileSync(0, 'utf8').split('\\n');
const all = JSON.parse(lines[0]);
const start = process.hrtime.bigint();
const read = all.map(text => pinyin(text, { type: 'array', toneType: 'num', v: true }));
const ms = Number(process.hrtime.bigint() - start) / 1e6;
console.log(JSON.stringify({ ms, read }));
"""


def ours(sentences: list[str], spoken: bool = True) -> list[list[str | None]]:
    """This project's readings, as spoken or before sandhi."""
    lexicon = Lexicon()
    found = []
    for sentence in sentences:
        read: list[str | None] = [None] * len(sentence)
        for token in analyze(sentence, lexicon).tokens:
            if token.kind == "hanzi" and token.end == token.start + 1:
                read[token.start] = token.reading if spoken else token.base
            elif token.kind == "hanzi" and token.text.endswith("儿"):
                read[token.start] = (token.reading if spoken else token.base).removesuffix("r")
        found.append(read)
    return found


def peers(node_modules: Path) -> dict[str, Read]:
    """The other readers that are installed; what is missing is said on stderr."""
    found: dict[str, Read] = {}
    try:
        from pypinyin import Style, lazy_pinyin
    except ImportError:
        print("pypinyin is not installed: pip install pypinyin", file=sys.stderr)
    else:
        try:
            import jieba

            jieba.setLogLevel(60)
            jieba.initialize()
            cut, name = jieba.lcut, "pypinyin over jieba"
        except ImportError:
            print("jieba is not installed, pypinyin cuts words by itself: pip install jieba", file=sys.stderr)
            cut, name = (lambda text: text), "pypinyin"

        def with_pypinyin(sentences: list[str]) -> list[list[str | None]]:
            return [
                lazy_pinyin(
                    cut(s),
                    style=Style.TONE3,
                    neutral_tone_with_five=True,
                    v_to_u=False,
                    errors=lambda x: [None] * len(x),
                )
                for s in sentences
            ]

        found[name] = with_pypinyin
    try:
        from g2pM import G2pM
    except ImportError:
        print("g2pM is not installed: pip install g2pM", file=sys.stderr)
    else:
        model = G2pM()

        def with_g2pm(sentences: list[str]) -> list[list[str | None]]:
            return [[s.replace("u:", "v") for s in model(sentence, char_split=True)] for sentence in sentences]

        found["g2pM"] = with_g2pm
    if shutil.which("node") and (node_modules / "pinyin-pro").is_dir():
        found["pinyin-pro"] = lambda sentences: node(sentences, node_modules)[0]
    else:
        print("pinyin-pro is not there: npm install pinyin-pro @pinyin-pro/data, --node-modules", file=sys.stderr)
    return found


def node(sentences: list[str], node_modules: Path) -> tuple[list[list[str | None]], float]:
    """What pinyin-pro reads, and the milliseconds that it took, without the start of Node."""
    done = subprocess.run(
        ["node", "-e", _NODE],
        input=json.dumps(sentences),
        capture_output=True,
        text=True,
        check=True,
        cwd=node_modules.resolve().parent,
    )
    answer = json.loads(done.stdout)
    read = [[re.sub("0$", "5", s).replace("ü", "v") for s in syllables] for syllables in answer["read"]]
    return read, answer["ms"]


def speed(readers: dict[str, Read], node_modules: Path, rounds: int) -> None:
    """Print milliseconds per sentence."""
    start = time.perf_counter()
    g2p.warm_up()
    print(
        f"\nspeed: warm-up {1000 * (time.perf_counter() - start):.0f} ms; sentences of {len(SENTENCES[0])} characters"
    )
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            if name == "pinyin-pro":
                continue
            start = time.perf_counter()
            read(SENTENCES)
            taken[name].append(1000 * (time.perf_counter() - start) / len(SENTENCES))
    if "pinyin-pro" in readers:
        taken["pinyin-pro"] = [node(SENTENCES * rounds, node_modules)[1] / len(SENTENCES) / rounds]
    for name, times in taken.items():
        print(f"  {name:20} {statistics.median(times):7.3f} ms a sentence, best {min(times):.3f}")


def everyday(path: Path, readers: dict[str, Read]) -> None:
    """Print the share of syllables and sentences read otherwise than labelled; 一 and 不 are left out."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [(text, said.split()) for text, said in rows if not re.search("[A-Za-z0-9]", text)]
    kept = [(text, said) for text, said in rows if len(_HANZI.findall(text)) == len(said) and "儿" not in text]
    print(f"\neveryday sentences: {len(kept)}, {sum(len(said) for _, said in kept)} syllables")
    for name, read in readers.items():
        wrong = neutral = judged = bad = 0
        for (text, labels), syllables in zip(kept, read([text for text, _ in kept]), strict=True):
            pairs = list(zip([i for i, c in enumerate(text) if _HANZI.match(c)], labels, strict=True))
            before = wrong
            for i, label in pairs:
                if text[i] in "一不":
                    continue
                found = (syllables[i] if i < len(syllables) else None) or ""
                judged += 1
                if _alike(text[i], found, label):
                    continue
                if found[:-1] == label[:-1] and "5" in (found[-1:], label[-1:]):
                    neutral += 1
                else:
                    wrong += 1
            bad += wrong > before
        print(
            f"  {name:20} {wrong / judged:6.2%} of syllables wrong, {bad / len(kept):6.2%} of sentences; "
            f"full for neutral tone or the reverse {neutral / judged:.2%}"
        )


def _alike(char: str, found: str, label: str) -> bool:
    if found == label or (found[:-1] == label[:-1] and {found[-1:], label[-1:]} == {"2", "3"}):
        return True
    return {found, label} in ({"shei2", "shui2"}, {"zhei4", "zhe4"}) and char in "谁这"


def readings(path: Path, readers: dict[str, Read]) -> None:
    """Print the share of inputs in which every checked syllable is right, by kind."""
    cases: list[tuple[str, str, list[tuple[int, str]]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, marked = line.split("\t")[:2]
        text, wanted, end = "", [], 0
        for match in _CHECKED.finditer(marked):
            text += marked[end : match.start()] + match[1]
            wanted.append((len(text) - 1, match[2]))
            end = match.end()
        cases.append((kind, text + marked[end:], wanted))
    print(f"\nreported readings: {len(cases)} inputs")
    for name, read in readers.items():
        right: Counter[str] = Counter()
        found = read([text for _, text, _ in cases])
        plain = ours([text for _, text, _ in cases], spoken=False) if name == "this project" else found
        for (kind, _, wanted), as_spoken, before in zip(cases, found, plain, strict=True):
            syllables = as_spoken if kind == "spoken" else before
            right[kind] += all(i < len(syllables) and syllables[i] == said.removesuffix("r") for i, said in wanted)
        total = Counter(kind for kind, _, _ in cases)
        print(f"  {name:20} " + ", ".join(f"{kind} {right[kind] / total[kind]:.1%}" for kind in total))


def speakers() -> Iterator[tuple[str, Callable[[str], str]]]:
    """Those who put numbers and signs into words."""
    nothing = Lexicon()
    yield "this project", lambda text: "".join(t.text for t in analyze(text, nothing).tokens if t.kind != "pause")
    try:
        from wetext import Normalizer
    except ImportError:
        print("wetext is not installed: pip install wetext", file=sys.stderr)
    else:
        yield "wetext", Normalizer(lang="zh", operator="tn").normalize


def _words(text: str) -> str:
    """Without marks, spaces and capitals; 两 for 二 before a power of ten."""
    return re.sub("二(?=[百千万亿])", "两", re.sub(r"[^\w]|_", "", text.lower()))


def texts(path: Path) -> None:
    """Print the share of written texts that are said in one of the ways allowed."""
    rows = [line.split("\t")[:2] for line in path.read_text(encoding="utf-8").splitlines()]
    print(f"\nnumbers and signs: {len(rows)} texts")
    for name, say in speakers():
        right = sum(
            _words(say(text.replace("\\n", "\n"))) in [_words(x) for x in wanted.split("|")] for text, wanted in rows
        )
        print(f"  {name:20} {right / len(rows):.1%} right")


def news(path: Path) -> None:
    """Print the share of news texts whose every target is read as allowed, and targets read as refused."""
    cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    cases = [
        (case["text"], [t for t in case["targets"] if t["category"] != "optional_homograph_polyphone"])
        for case in cases
    ]
    print(f"\nnews: {len(cases)} texts")
    for name, say in speakers():
        right = refused = 0
        for text, targets in cases:
            said = _words(say(text))
            good = [any(_words(x) in said for x in target["positive_readings"]) for target in targets]
            right += all(good)
            refused += sum(
                any(_words(x) in said for x in target["negative_readings"])
                for target, fine in zip(targets, good, strict=True)
                if not fine
            )
        print(f"  {name:20} {right / len(cases):.1%} of texts right, {refused} targets read as refused")


def cpp(sentences: Path, labels: Path, readers: dict[str, Read]) -> None:
    """Print the share of judged characters read as labelled."""
    marked = sentences.read_text(encoding="utf-8").splitlines()
    wanted = [{"r5": "er5"}.get(x.strip(), x.strip().replace("u:", "v")) for x in labels.read_text().splitlines()]
    positions = [line.index("▁") for line in marked]
    plain = [line.replace("▁", "") for line in marked]
    print(f"\nCPP: {len(plain)} sentences")
    for name, read in readers.items():
        found = [g2p.readings(text) for text in plain] if name == "this project" else read(plain)
        right = sum(len(f) > i and f[i] == w for f, i, w in zip(found, positions, wanted, strict=True))
        print(f"  {name:20} {right / len(plain):.2%}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    for name in ("everyday", "readings", "texts", "news"):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE")
    parser.add_argument("--cpp", type=Path, nargs=2, metavar=("SENTENCES", "LABELS"))
    parser.add_argument("--node-modules", type=Path, default=Path("node_modules"), metavar="DIR")
    arguments = parser.parse_args()
    given = {
        name: path if isinstance(path, list) else [path]
        for name in ("everyday", "readings", "texts", "news", "cpp")
        if (path := getattr(arguments, name))
    }
    for path in (path for paths in given.values() for path in paths):
        if not path.is_file():
            parser.error(f"{path} is not there; the data sets are not part of the project")
    readers: dict[str, Read] = {"this project": ours} | peers(arguments.node_modules)
    speed(readers, arguments.node_modules, arguments.rounds)
    if "everyday" in given:
        everyday(*given["everyday"], readers)
    if "readings" in given:
        readings(*given["readings"], readers)
    if "texts" in given:
        texts(*given["texts"])
    if "news" in given:
        news(*given["news"])
    if "cpp" in given:
        cpp(*given["cpp"], readers)
    for name in ("everyday", "readings", "texts", "news", "cpp"):
        if name not in given:
            print(f"\n{name}: not measured, give its file with --{name}")


if __name__ == "__main__":
    main()
