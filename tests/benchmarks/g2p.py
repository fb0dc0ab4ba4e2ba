"""Speed of the Mandarin front end against its peers, in one run.

`python -m tests.benchmarks.g2p` reads 30-character sentences of its own one by one with `g2p.readings`, `g2p.analyze`,
pypinyin and g2pM (where installed), interleaved, and prints milliseconds per sentence (median and best of the rounds)
and ratios. With `--cpp SENTENCES LABELS` it also prints the accuracy on files in the format of the CPP data set.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import g2p

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


def readers() -> dict[str, Callable[[str], object]]:
    """What is compared, ours first."""
    ours: dict[str, Callable[[str], object]] = {"g2p.readings": g2p.readings, "g2p.analyze": g2p.analyze}
    try:
        from pypinyin import Style, lazy_pinyin

        ours["pypinyin"] = lambda text: lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True)
    except ImportError:
        print("pypinyin is not installed: pip install pypinyin")
    try:
        from g2pM import G2pM

        ours["g2pM"] = G2pM()
    except ImportError:
        print("g2pM is not installed: pip install g2pM")
    return ours


def compare(rounds: int) -> None:
    """Print milliseconds per sentence and ratios."""
    start = time.perf_counter()
    g2p.warm_up()
    print(f"warm-up {1000 * (time.perf_counter() - start):.0f} ms; sentences of {len(SENTENCES[0])} characters")
    compared = readers()
    taken: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(rounds):
        for name, read in compared.items():
            start = time.perf_counter()
            for sentence in SENTENCES:
                read(sentence)
            taken[name].append(1000 * (time.perf_counter() - start) / len(SENTENCES))
    ours = statistics.median(taken["g2p.readings"])
    for name, times in taken.items():
        median = statistics.median(times)
        print(
            f"{name:13} {median:6.3f} ms median  {min(times):6.3f} ms best  {1000 / median:7.0f} sentences/s  "
            f"{median / ours:5.2f}x the time of g2p.readings"
        )


def score(sentences: Path, labels: Path) -> None:
    """Print the share of judged characters read as labelled."""
    right = total = 0
    for marked, label in zip(sentences.read_text().splitlines(), labels.read_text().splitlines(), strict=True):
        position = marked.index("▁")
        wanted = {"r5": "er5"}.get(label.strip(), label.strip().replace("u:", "v"))
        right += g2p.readings(marked.replace("▁", ""))[position] == wanted
        total += 1
    print(f"accuracy {right / total:.2%} ({total - right} of {total} wrong)")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--cpp", type=Path, nargs=2, metavar=("SENTENCES", "LABELS"))
    arguments = parser.parse_args()
    compare(arguments.rounds)
    if arguments.cpp:
        score(*arguments.cpp)


if __name__ == "__main__":
    main()
