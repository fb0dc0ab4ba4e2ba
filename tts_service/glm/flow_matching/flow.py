"""Speech tokens to mel by flow matching, the whole utterance at once: the published arithmetic.

`flow_stream` does the same work chunk by chunk and is held against this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.glm.flow_matching.dit import BRANCHES, HEAD_DIM, DiT, DiTSizes
from tts_service.glm.language_model.tokenizer import SPEECH_TOKENS
from tts_service.glm.published.checkpoint import (
    CheckpointError,
    FlowConfig,
    fill,
    read_flow_config,
    read_tensors,
    require,
)

GUIDANCE = 0.7
SPEAKER = 192
"""Numbers in a speaker vector."""


@dataclass(frozen=True, slots=True)
class Solver:
    """How often the flow's ODE is evaluated; less is faster, and no longer what was published."""

    steps: int = 10
    """Euler steps."""
    guided: int = 10
    """The first of them, in which the unconditional branch is worked on too and what sets the voice apart from it is
    exaggerated. It shapes the beginning; what follows is detail (Castillo et al. 2023, "Adaptive Guidance")."""

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= 50 or not 0 <= self.guided <= self.steps:
            raise SpeechError(
                tr(
                    "the flow cannot take {steps} steps with {guided} of them guided; use 1 to 50 steps, of which none "
                    "to all are guided",
                    steps=self.steps,
                    guided=self.guided,
                )
            )

    @property
    def evaluations(self) -> int:
        """Of the network, each branch counted."""
        return self.steps + self.guided

    def branches(self, step: int) -> int:
        """Of the network in a step."""
        return BRANCHES if step < self.guided else 1


def combined(velocity: Tensor, branches: int) -> Tensor:
    """What the branches [branches * B, T, 80], side by side, say together: [B, T, 80]."""
    return velocity if branches == 1 else (1 + GUIDANCE) * velocity[::2] - GUIDANCE * velocity[1::2]


class Flow(nn.Module):
    """The estimator with what the configuration says about using it."""

    def __init__(self, config: FlowConfig, sizes: DiTSizes) -> None:
        super().__init__()
        self.config = config
        self.estimator = DiT(sizes)
        concatenated = not config.remove_spkr_concat_condition
        self.spk_embed_affine_layer = nn.Linear(SPEAKER, config.spk_embed_dim) if concatenated else None
        self.past_dtype = torch.float32
        """In which a stream keeps the keys and values of its past, and attends to them. float16 is as precise as TF32,
        and its range of 65504 enough for what is made of normed inputs."""
        self.solver = Solver()

    def schedule(self, steps: int | None = None) -> list[float]:
        """Euler times in the reference's float32 accumulation, from 0: [steps + 1]."""
        grid = torch.linspace(0, 1, (steps or self.solver.steps) + 1)
        if self.config.t_scheduler == "cosine":
            grid = 1 - torch.cos(grid * 0.5 * math.pi)
        time, times = grid[0], [grid[0]]
        for later in grid[1:]:
            time = time + (later - time)
            times.append(time)
        return [float(time) for time in times]

    def frames(self, tokens: int) -> int:
        """Mel frames of so many tokens, with the reference's truncation (one short of the rate for some lengths)."""
        return int(tokens / self.config.input_frame_rate * self.config.mel_framerate)

    def speaker_condition(self, speaker: Tensor) -> Tensor:
        """Unit vectors [1, n] of a raw speaker vector [192], in the wavlm variant followed by one of [256]."""
        parts = speaker[None].split([SPEAKER, len(speaker) - SPEAKER], dim=-1)
        return torch.cat([F.normalize(part, dim=-1, eps=1e-12) for part in parts], dim=-1)


def load_flow(folder: Path, device: torch.device | str = "cpu") -> Flow:
    """Read `flow/`; all sizes come from the tensors, the configuration is checked against them."""
    config = read_flow_config(folder / "config.yaml")
    path = require(folder, "flow.*")[0]
    tensors = read_tensors([path])
    try:
        sizes = DiTSizes.of(tensors)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            tr("{path}: tensor {error} is missing or misshapen; this is not the flow model", path=path, error=error)
        ) from error
    if sizes.width % HEAD_DIM or (sizes.condition != sizes.width) != config.spkr_emb_adaLN or config.use_wavlm_emb:
        raise CheckpointError(
            tr(
                "{path}: the tensors do not fit config.yaml (spkr_emb_adaLN, use_wavlm_emb); use a matching pair",
                path=path,
            )
        )
    if sizes.token_rows < SPEECH_TOKENS:
        raise CheckpointError(
            tr(
                "{path}: the token table has {token_rows} rows; expected at least {speech_tokens}",
                path=path,
                token_rows=sizes.token_rows,
                speech_tokens=SPEECH_TOKENS,
            )
        )
    with torch.device("meta"):
        model = Flow(config, sizes)
    fill(model, tensors, path, device=device)
    if torch.device(device).type == "cuda":
        model.estimator.rounded = True
        model.past_dtype = torch.float16
    return model


@dataclass(slots=True)
class Trajectory:
    """The states that entered each Euler step of a chunk, for the frames that the next chunk repeats."""

    states: list[Tensor] = field(default_factory=list)
    """[B, T, 80] each, in step order."""


def visible_frames(blocks: Sequence[int], length: int) -> Tensor:
    """How many leading frames each frame attends to under the block-causal mask.

    A frame sees its whole block and at least half a block (two thirds of one over 172 frames) of future.

    Args:
        blocks: Block sizes in frames; the last repeats.
        length: Frames.

    Returns:
        int64 [length].
    """
    visible, start = [], 0
    sizes = list(blocks)
    while start < length:
        width = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        future = width // 2 if width <= 172 else int(width / 1.5)
        visible += [min(length, start + width + max(0, future - (width - 1 - row))) for row in range(width)]
        start += width
    return torch.tensor(visible[:length])


def mask_block_frames(tokens: int) -> int:
    """Frames that the published mask assumes for so many tokens: constants of an older 12.5 Hz, 22.05 kHz system."""
    return int(tokens / 12.5 * 22050 / 256)


def whole_size(flow: Flow, frames: int) -> int:
    """Bytes that `solve` needs for a moment, for so many frames with those of the prompt.

    What a layer has in hand in both branches, what enters the first, and the mel of every step.
    """
    sizes = flow.estimator.sizes
    return 4 * frames * (20 * sizes.width + 3 * sizes.mix + (flow.solver.steps + 10) * 80)


@torch.inference_mode()
def solve(
    flow: Flow,
    tokens: Tensor,
    prompt_tokens: Tensor,
    prompt_mel: Tensor,
    speaker: Tensor,
    noise: Callable[[int], Tensor],
    *,
    steps: int | None = None,
    blocks: Sequence[int] | None = None,
    previous: Trajectory | None = None,
    pinned: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[Tensor, Trajectory]:
    """Solve the flow's ODE with classifier-free guidance, both branches in one batch.

    Args:
        flow: The model.
        tokens: Speech tokens [L].
        prompt_tokens: Of the reference audio, [Lp]; may be empty.
        prompt_mel: Of the reference audio, [P, 80].
        speaker: Raw speaker vector [192], or [448] in the wavlm variant.
        noise: Called once with the number of frames T; answers [1, T, 80].
        steps: Euler steps, all of them guided; None: as the flow's solver says.
        blocks: Block sizes in tokens for the block-causal mask; None for full attention.
        previous: An earlier call's trajectory, for the first `pinned` frames to follow.
        pinned: See `previous`.
        should_stop: Looked at before each step; when it answers True the state so far is returned.

    Returns:
        Mel [1, 80, T - P] and the trajectory for the next call.
    """
    dit, config = flow.estimator, flow.config
    both = torch.cat([prompt_tokens, tokens])
    total = flow.frames(len(both))
    x = noise(total)
    token_of_frame = torch.arange(total, device=both.device) * len(both) // max(total, 1)
    ids = both[token_of_frame][None]
    condition = torch.zeros(1, total, 80, device=x.device)
    known = min(len(prompt_mel), total)
    condition[:, :known] = prompt_mel[len(prompt_mel) - known :]
    unit = flow.speaker_condition(speaker)
    speakers = torch.cat([unit, torch.zeros_like(unit)])
    branch_ids = torch.cat([ids, torch.zeros_like(ids) if config.speech_token_cfg else ids])
    parts = [torch.cat([condition, torch.zeros_like(condition)]), dit.embed_tokens(branch_ids)]
    if flow.spk_embed_affine_layer is not None:
        projected = flow.spk_embed_affine_layer(unit[:, :SPEAKER])[:, None].expand(-1, total, -1)
        parts.insert(1, torch.cat([projected, torch.zeros_like(projected)]))
    visible = None
    if blocks is not None:
        extent = visible_frames([mask_block_frames(size) for size in blocks], total).to(x.device)
        visible = torch.arange(total, device=x.device) < extent[:, None]
    solver = flow.solver if steps is None else Solver(steps, steps)
    times, trajectory = flow.schedule(solver.steps), Trajectory()
    for number in range(solver.steps):
        if should_stop():
            break
        if previous is not None and pinned:
            overlap = min(total, pinned)
            x = torch.cat([previous.states[number][:, :overlap], x[:, overlap:]], dim=1)
        trajectory.states.append(x)
        branches = solver.branches(number)
        now = torch.full((branches,), times[number], device=x.device)
        modulation = dit.modulate(now, speakers[:branches] if config.spkr_emb_adaLN else None)
        seen = [x.expand(branches, -1, -1), *(part[:branches] for part in parts)]
        velocity = combined(dit(seen, modulation, visible=visible), branches)
        x = x + (times[number + 1] - times[number]) * velocity
    return x[:, len(prompt_mel) :].transpose(1, 2), trajectory
