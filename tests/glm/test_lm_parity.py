"""Language model, sampling and history equal the golden numbers."""

from collections import Counter

import pytest
import torch

from tests.glm.conftest import CHECKPOINT, Case, golden_json
from tts_service.glm import exact
from tts_service.glm.language_model.decode import Limits, SpeechHead, speech_tokens
from tts_service.glm.language_model.lm import load_lm
from tts_service.glm.language_model.prompt import Turn, prompt_ids, recall
from tts_service.glm.language_model.sampling import Sampling, candidates, next_tokens
from tts_service.glm.language_model.tokenizer import SpeechIds

IDS = SpeechIds(first=1710, begin=1504, end=1502)


@pytest.fixture(scope="module")
def lm():
    return load_lm(CHECKPOINT / "llm")


def logits(lm, ids, start, cache, span):
    positions = torch.arange(start, start + ids.shape[1])[None]
    return lm(ids, positions, cache, span)[:, -1] @ lm.head.T


@pytest.mark.parametrize("number", [0, 1, 2])
def test_logits_with_and_without_the_cache(lm, number):
    case = Case("llm_logits")
    prompt, probe = case[f"input_ids_{number}"].long()[None], case["probe_ids"].long()
    cache = lm.new_cache(1, 256)
    torch.testing.assert_close(
        logits(lm, prompt, 0, cache, prompt.shape[1])[0], case[f"prefill_logits_{number}"], atol=2e-4, rtol=0
    )
    forced = case[f"forced_{number}"].long()
    cached = case[f"prefill_logits_{number}"]
    for step, token in enumerate(forced):
        torch.testing.assert_close(cached[probe], case[f"step_logits_probe_{number}"][step], atol=2e-4, rtol=0)
        top = case[f"step_top64_idx_{number}"][step].long()
        torch.testing.assert_close(cached[top], case[f"step_top64_val_{number}"][step], atol=2e-4, rtol=0)
        torch.testing.assert_close(cached.logsumexp(0), case[f"step_lse_{number}"][step], atol=2e-4, rtol=0)
        # the span may be longer than the sequence: what lies beyond must not be seen
        cached = logits(lm, token[None, None], prompt.shape[1] + step, cache, 256)[0]
    full = torch.cat([prompt, forced[None]], dim=1)
    uncached = logits(lm, full, 0, lm.new_cache(1, full.shape[1]), full.shape[1])[0]
    torch.testing.assert_close(uncached, cached, atol=2e-4, rtol=0)


def test_logits_of_empty_prompts_and_with_a_speaker_prefix(lm):
    case = Case("llm_logits")
    for name in ("empty_prompt_text", "empty_prompt_speech"):
        setting = case.meta["meta"][name]
        # with speech but no text the published code forgets the offset
        first = 0 if name == "empty_prompt_text" else IDS.first
        ids = prompt_ids(
            [Turn(tuple(setting["prompt"][0]), tuple(setting["speech"][0]))], setting["text"][0], IDS.begin, first
        )
        out = logits(lm, torch.tensor([ids]), 0, lm.new_cache(1, len(ids)), len(ids))[0]
        torch.testing.assert_close(out, case[f"{name}_prefill_logits"], atol=2e-4, rtol=0)
    tuned = Case("llm_sft")
    for name, prefix in (("unknown_prompt", [11, 12, 13]), ("tongtong_noprompt", [21, 22, 23, 24])):
        turn = Turn(tuple(tuned[f"{name}_prompt_text"][0].tolist()), tuple(tuned[f"{name}_prompt_speech"][0].tolist()))
        ids = prefix + prompt_ids([turn], tuned[f"{name}_text"][0].tolist(), IDS.begin, IDS.first)
        out = logits(lm, torch.tensor([ids]), 0, lm.new_cache(1, len(ids)), len(ids))[0]
        torch.testing.assert_close(
            out[case["probe_ids"].long()], tuned[f"{name}_prefill_logits_probe"], atol=2e-4, rtol=0
        )


@pytest.mark.parametrize("method", ["ras", "topk"])
def test_seeded_runs_of_the_published_sampler(lm, method):
    for case in golden_json(f"llm_sample_{method}")["cases"]:
        prompt = prompt_ids(
            [Turn(tuple(case["prompt_text"]), tuple(case["prompt_speech"]))], case["text"], IDS.begin, IDS.first
        )
        generator = torch.Generator().manual_seed(case["seed"])
        out = exact.generate(lm, IDS, prompt, Limits(case["min_len"], case["max_len"]), Sampling(method), generator)
        assert out == case["out_rel"]
        assert (len(out) < case["max_len"]) == case["ended_with_eoa"]
        spoken = [IDS.first + token for token in out]
        for step, golden in enumerate(case["steps"]):
            seen = torch.tensor([prompt + spoken[:step]])
            scores = logits(lm, seen, 0, lm.new_cache(1, seen.shape[1]), seen.shape[1])
            if method == "ras" and step < case["min_len"]:
                scores[:, IDS.end] = float("-inf")
            weights, ids = candidates(scores.softmax(-1), torch.tensor([method == "ras"]), Sampling())
            assert ids[weights > 0].tolist() == golden["cand_ids"]
            torch.testing.assert_close(weights[weights > 0], torch.tensor(golden["cand_p"]), atol=1e-6, rtol=1e-4)


def test_repetition_aware_sampling_has_the_golden_distribution():
    scores = Case("llm_ras_fixed")
    draws = 1000
    for number, case in enumerate(golden_json("llm_ras_fixed")["cases"]):
        setting = Sampling("ras", case["top_k"], case["top_p"], case["win_size"], case["tau_r"])
        logp = scores[f"logp_{case['scores']}"]
        weights, ids = candidates(logp.softmax(-1)[None], torch.tensor([True]), setting)
        assert ids[weights > 0][:30].tolist() == case["candidates"][: int((weights > 0).sum())]
        generator = torch.Generator().manual_seed(3)
        published = [exact.draw(logp, case["history"], setting, generator, None) for _ in range(60)]
        assert published == case["draws_seed3_first60"]
        recent = torch.full((1, setting.window), -1)
        if tail := case["history"][-setting.window :]:
            recent[0, -len(tail) :] = torch.tensor(tail)
        ours = Counter(
            next_tokens(
                logp.expand(draws, -1), recent.expand(draws, -1),
                torch.arange(draws), torch.zeros(draws, dtype=torch.long),
                torch.full((draws,), number), torch.ones(draws, dtype=torch.bool), setting, end=399,
            ).tolist()
        )  # fmt: skip
        for token, probability in case["exact_top8"]:
            # 5.5 standard deviations: one false alarm in tens of millions of comparisons
            margin = 5.5 * (probability * (1 - probability) / draws) ** 0.5 + 1e-9
            assert abs(ours[token] / draws - probability) <= margin, (case["key"], token)


def test_the_end_is_not_drawn_early():
    logits_of_the_end = torch.full((200, 50), -20.0)
    logits_of_the_end[:, 7] = 20.0
    step, seed = torch.arange(200), torch.zeros(200, dtype=torch.long)
    recent = torch.full((200, 10), -1)
    for method in ("ras", "topk"):
        ras = torch.full((200,), method == "ras")
        drawn = next_tokens(logits_of_the_end, recent, step, torch.full((200,), 100), seed, ras, Sampling(), end=7)
        assert (drawn[:100] != 7).all()
        assert (drawn[100:] == 7).all()


def test_history_keeps_the_reference_and_what_fits():
    for case in golden_json("get_cached_prompt"):
        turns = [
            Turn((i,) * t, (i,) * s)
            for i, (t, s) in enumerate(zip(case["text_lens"], case["speech_lens"], strict=True))
        ]
        kept = recall(turns, case["synth_len"], case["max"])
        expected = [turns[int(name[1:])] for name in case["kept"]]
        assert kept == expected, case["name"]


def tokens_of(lm, *, cache=True, seed=3, method="ras", stop=lambda: False, text=40, prompt=64):
    ids = Case("llm_logits")["input_ids_0"][:prompt].tolist()
    limits = Limits.of(text)
    head = SpeechHead(lm, IDS)
    kv = lm.new_cache(1, len(ids) + limits.longest) if cache else None
    groups = list(speech_tokens(lm, head, ids, limits, Sampling(method), seed, stop, cache=kv))
    return [token for group in groups for token in group]


@pytest.mark.parametrize("method", ["ras", "topk"])
def test_the_same_seed_gives_the_same_tokens_with_and_without_the_cache(lm, method):
    tokens = tokens_of(lm, method=method, text=6)
    assert len(tokens) >= 12
    assert all(0 <= token < 32768 for token in tokens)
    assert tokens == tokens_of(lm, method=method, text=6)
    assert tokens == tokens_of(lm, method=method, text=6, cache=False)
    assert tokens != tokens_of(lm, method=method, text=6, seed=4)


def test_generation_stops_when_asked(lm):
    asked = iter([False, False, True])
    assert len(tokens_of(lm, stop=lambda: next(asked))) == 16
