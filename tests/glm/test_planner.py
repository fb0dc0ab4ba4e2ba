"""Decisions by table: who is served, and what a newcomer may cost the others."""

import pytest

from tests.benchmarks.glm_simulated import RECKONED, simulate
from tts_service.glm.planner import Costs, Picture, Place, Work, plan

FAST = Costs(group=0.014, chunk=0.008, further=0.002, push=0.002)
SLOW = Costs(group=0.028, chunk=0.020, further=0.012, push=0.004)

TABLE = [
    ("nobody has a chunk", FAST, [Place(0, None, None, 30)], Work.TOKENS, ()),
    ("a lone newcomer begins", FAST, [Place(0, None, 96)], Work.CHUNK, (0,)),
    (
        "whose sound ends comes before a newcomer",
        FAST,
        [Place(0, None, 96), Place(1, 0.03, 80)],
        Work.CHUNK,
        (1,),
    ),
    (
        "whose sound ends gets his tokens before a newcomer his chunk",
        FAST,
        [Place(0, None, 96), Place(1, 0.05, None, 8)],
        Work.TOKENS,
        (),
    ),
    (
        "a newcomer comes before those who are safe",
        FAST,
        [Place(0, 3.0, 80), Place(1, None, 96)],
        Work.CHUNK,
        (1,),
    ),
    (
        "tokens for a newcomer come before chunks of those who are safe",
        FAST,
        [Place(0, 3.0, 80), Place(1, None, None, 6)],
        Work.TOKENS,
        (),
    ),
    (
        "those who are safe go together, the least safe first",
        FAST,
        [Place(0, 3.0, 80), Place(1, 2.0, 80), Place(2, 1.0, None, 5)],
        Work.CHUNK,
        (1, 0),
    ),
    (
        "all newcomers begin at once where the second chunks are made in time",
        FAST,
        [Place(n, None, 96) for n in range(8)],
        Work.CHUNK,
        tuple(range(8)),
    ),
    (
        "fewer where they would be too late",
        SLOW,
        [Place(n, None, 96) for n in range(8)],
        Work.CHUNK,
        (0, 1, 2),
    ),
    (
        "company only as far as the first can wait for it",
        SLOW,
        [Place(0, 0.061, 80), *(Place(n, 0.3, 80) for n in range(1, 6))],
        Work.CHUNK,
        (0, 1),
    ),
    (
        "who has time is no company while somebody waits for his first sound",
        FAST,
        [Place(0, 0.04, 80), Place(1, 5.0, 80), Place(2, None, None, 6), Place(3, 0.06, 80)],
        Work.CHUNK,
        (0, 3),
    ),
    (
        "a newcomer begins alone, whoever else has time",
        FAST,
        [Place(0, 5.0, 80), Place(1, None, 80)],
        Work.CHUNK,
        (1,),
    ),
    ("chunks of another length are no company", FAST, [Place(0, 0.03, 80), Place(1, 0.04, 48)], Work.CHUNK, (0,)),
    (
        "who has waited too long is no newcomer any more",
        FAST,
        [Place(0, 0.0, 80), Place(1, None, 96, waited=3.0), Place(2, -0.1, None, 20)],
        Work.TOKENS,
        (),
    ),
    (
        "dry listeners come by how long they have been dry",
        FAST,
        [Place(0, 0.0, 80), Place(1, -0.5, 96)],
        Work.CHUNK,
        (1,),
    ),
]


@pytest.mark.parametrize(("case", "costs", "places", "work", "members"), TABLE, ids=[row[0] for row in TABLE])
def test_decisions(case, costs, places, work, members):
    decision = plan(Picture(tuple(places), costs))
    assert (decision.work, decision.members) == (work, members), decision.reason
    assert decision.reason


@pytest.mark.parametrize(("card", "worst"), [("H100", 0.08), ("RTX 4090", 0.11)])
def test_a_simulated_caller_alone_waits_for_his_tokens_a_chunk_and_a_push(card, worst):
    device = RECKONED[card]
    heard = simulate(1, device, seconds=40)
    expected = device.read + 3 * device.group(1) + device.chunks([2 * 125])
    assert heard.first == pytest.approx([expected] * len(heard.first))
    assert expected <= worst
    assert heard.silences == 0


@pytest.mark.parametrize(
    ("card", "callers", "worst"),
    [("H100", 32, 0.2), ("RTX 4090", 16, 0.26), ("RTX 4090, 6 steps of the flow", 16, 0.25)],
)
def test_simulated_callers_hear_no_gap_for_the_newcomers(card, callers, worst):
    heard = simulate(callers, RECKONED[card], seconds=60)
    assert heard.silences == 0
    assert sorted(heard.first)[int(0.95 * len(heard.first))] <= worst
    assert heard.rtf <= 0.07, "device seconds for a second of speech"


def test_who_finds_no_slot_keeps_nobody_from_his_sound():
    heard = simulate(24, RECKONED["H100"], seconds=40, slots=2)
    assert heard.silences == 0
