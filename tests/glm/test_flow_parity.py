"""The flow equals the golden numbers: mask, estimator, ODE, chunked re-runs with pinned trajectories."""

import pytest
import torch

from tests.glm.conftest import CASES, CHECKPOINT, Case, golden_json, wnormal
from tts_service.glm.flow_matching.dit import DiTSizes
from tts_service.glm.flow_matching.flow import Flow, load_flow, mask_block_frames, solve, visible_frames
from tts_service.glm.published.checkpoint import FlowConfig, fill, read_tensors


@pytest.fixture(scope="module")
def flow():
    return load_flow(CHECKPOINT / "flow")


def test_lengths_carry_the_references_rounding(flow):
    golden = golden_json("feat_len")
    for tokens, frames in golden["25_50"]:
        assert flow.frames(tokens) == frames
    assert flow.frames(30) == 60


def test_block_mask():
    case = Case("block_mask")
    for name, pattern in case.meta["patterns"].items():
        assert visible_frames(pattern["block_list_mel"], pattern["len"]).equal(case[name].long()), name
    assert [mask_block_frames(n) for n in case["token_size"].tolist()] == case["token_size_to_mel_size"].tolist()


def test_estimator(flow):
    case, dit = Case("flow_estimator"), flow.estimator
    for number in (str(n) for n in range(9)):
        setting = case.meta["cases"][number]
        batch, frames = setting["batch"], setting["T"]
        x = wnormal(1000 + int(number), (batch, frames, 80))
        condition = wnormal(1100 + int(number), (batch, frames, 80))
        condition[:, frames // 3 :] = 0
        tokens, real = case[f"tokens_{number}"].long(), case[f"pad_mask_{number}"].bool()
        ids = tokens[:, torch.arange(frames) * tokens.shape[1] // frames]
        visible = None
        if setting["is_causal"]:
            blocks = [mask_block_frames(size) for size in setting["block_pattern"] or [25, 50, 200]]
            visible = torch.arange(frames) < visible_frames(blocks, frames)[:, None]
            visible = visible & real[:, None, None, :]
        speaker = case[f"spk_{number}"]
        modulation = dit.modulate(case[f"t_{number}"], speaker)
        with torch.inference_mode():
            out = dit([x, condition, dit.embed_tokens(ids)], modulation, visible=visible, real=real)
        torch.testing.assert_close(out, case[f"out_{number}"], atol=2e-5, rtol=0)


def test_ode(flow):
    case = Case("flow_ode")
    for name, setting in case.meta["cases"].items():
        if not isinstance(setting, dict):
            continue
        (_, seed, shape), *_ = setting["noise"]
        prompt = case.get(f"{name}.prompt_tokens", torch.zeros(1, 0))[0].long()
        prompt_mel = case.get(f"{name}.prompt_feat", torch.zeros(1, 0, 80))[0]
        blocks = setting["block_pattern"] or ([25, 50, 200] if setting["is_causal"] else None)
        mel, trajectory = solve(
            flow, case[f"{name}.tokens"][0].long(), prompt, prompt_mel, case["embedding"][0],
            lambda frames, seed=seed, shape=shape: wnormal(seed, shape), steps=setting["n_timesteps"], blocks=blocks,
        )  # fmt: skip
        torch.testing.assert_close(mel, case[f"{name}.mel"], atol=1e-4, rtol=0, msg=lambda m, name=name: f"{name}: {m}")
        for step in (1, 2, 6):
            if f"{name}.x_step_{step}" in case:
                torch.testing.assert_close(
                    trajectory.states[step - 1], case[f"{name}.x_step_{step}"], atol=1e-4, rtol=0
                )


def test_chunks_that_follow_the_earlier_trajectory(flow):
    case = Case("flow_ode_causal_stream_explicit_override")
    trajectory = None
    for number, (call, (_, seed, shape)) in enumerate(zip(case.meta["calls"], case.meta["noise"], strict=True)):
        mel, trajectory = solve(
            flow, case["syn_token"][: call["tokens"]].long(), case["prompt_token"][0].long(),
            case["prompt_feat"][0], case["embedding"][0],
            lambda frames, seed=seed, shape=shape: wnormal(seed, shape),
            blocks=case.meta["block_pattern"], previous=trajectory, pinned=call["override_len_in"] or 0,
        )  # fmt: skip
        torch.testing.assert_close(mel, case[f"mel_{number}"], atol=1e-4, rtol=0)


def test_parts_of_the_estimator(flow):
    case, parts, dit = Case("flow_estimator"), Case("flow_parts"), flow.estimator
    tokens = case["tokens_0"].long()
    for frames in (13, 60, 67):
        embedded = dit.embed_tokens(tokens[:, torch.arange(frames) * tokens.shape[1] // frames])
        torch.testing.assert_close(embedded, parts[f"text_embed_{frames}"], atol=2e-5, rtol=0)
    time = dit.time_embed(torch.tensor([0, 0.1, 0.37, 0.999, 1]))
    torch.testing.assert_close(time, parts["time_embed"], atol=2e-5, rtol=0)
    condition = wnormal(1100, (1, 60, 80))
    condition[:, 20:] = 0
    features = dit.embed_tokens(tokens.repeat_interleave(2, dim=1))
    inputs = [wnormal(1000, (1, 60, 80)), condition, features]
    mixed = dit.emb_concator(inputs, None)
    torch.testing.assert_close(mixed, parts["concat_60"], atol=2e-5, rtol=0)
    angle = torch.arange(60)[:, None] * dit.rotary_embed.inv_freq
    assert angle.repeat_interleave(2, dim=1).equal(parts["rope_freqs_60"][0])
    modulation = dit.modulate(torch.tensor([0.37]), parts["block0_in_temb"][:, 128:])
    seen = []
    handle = dit.transformer_blocks[0].register_forward_hook(lambda module, args, out: seen.append(out))
    dit(inputs, modulation)
    handle.remove()
    torch.testing.assert_close(seen[0], parts["block0_out"], atol=2e-5, rtol=0)


def test_positions_beyond_the_table_stay_at_its_end(flow):
    table = flow.estimator.text_emb_layer
    blocks, table.text_blocks = table.text_blocks, torch.nn.ModuleList()
    try:
        positions = flow.estimator.embed_tokens(torch.zeros(1, 4120, dtype=torch.long))[0]
    finally:
        table.text_blocks = blocks
    assert positions[4095:].equal(positions[4095].expand(25, -1))
    assert not positions[4094].equal(positions[4095])


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_configuration_variants(number):
    case, setting = Case("flow_config_variants"), Case("flow_config_variants").meta["cases"][str(number)]
    prefix = f"{0 if number == 2 else number}."  # case 2 differs from case 0 only in its configuration
    name, speaker = "variants", wnormal(80 + number, (192,))
    if number == 4:
        name, speaker = "wavlm", torch.cat([speaker, wnormal(94, (256,))])
        case |= Case("flow_parts")
    source = CASES / f"flow_config_{name}_weights.safetensors"
    tensors = {k.removeprefix(prefix): v.float() for k, v in read_tensors([source]).items() if k.startswith(prefix)}
    with torch.device("meta"):
        flow = Flow(FlowConfig(**setting["flow_kwargs"]), DiTSizes.of(tensors))
    fill(flow, tensors, source)
    (_, seed, shape), *_ = setting["noise"]
    mel, _ = solve(
        flow, case[f"tokens_{number}"][0].long(), case[f"prompt_tokens_{number}"][0].long(),
        wnormal(70 + number, (24, 80)),
        speaker, lambda frames: wnormal(seed, shape), steps=setting["n_timesteps"],
    )  # fmt: skip
    torch.testing.assert_close(mel, case[f"mel_{number}"], atol=1e-4, rtol=0)
