"""Reading the published GLM-TTS files, trusting none of them.

Weights come from safetensors or from `torch.load(weights_only=True)`; the HyperPyYAML configuration is read as plain
values and never executed. Every tensor is accounted for: a missing, surplus, misshapen or non-finite one is named
with its file. One file has to be trusted: `VOCODER_32K`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
import yaml
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError

VOCODER_32K = "vocos2d/generator_jit.ckpt"
"""A TorchScript program, which could do anything that a program can; there are no weights of it alone.

Optional, and opened only when somebody asks for `sample_rate=32000`: whoever does so trusts who published it.
"""

Config = TypeVar("Config")


class CheckpointError(SpeechError):
    """A checkpoint file is missing, damaged or not what it should be."""


def require(root: Path, pattern: str) -> list[Path]:
    """Files below `root` that match a pattern; none is an error."""
    found = sorted(path for path in root.glob(pattern) if path.is_file() and not path.name.endswith(".incomplete"))
    if not found:
        raise CheckpointError(
            tr(
                "{path} is missing; fetch the checkpoint with `glm-tts download --to {root}`",
                path=root / pattern,
                root=root,
            )
        )
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            tr(
                "{path} cannot be read ({reason}); fetch it again with `glm-tts download`",
                path=path,
                reason=error.strerror,
            )
        ) from error
    except ValueError as error:
        raise CheckpointError(
            tr("{path} is not valid JSON ({error}); fetch it again with `glm-tts download`", path=path, error=error)
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(
            tr("{path} holds a JSON {kind}; expected an object", path=path, kind=type(value).__name__)
        )
    return value


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    return dict(Shards([path]))


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            tr(
                "{path} holds something besides tensors and was not opened: such a file can run code; use the "
                "published one",
                path=path,
            )
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            tr(
                "{path} is damaged ({error}); fetch it again with `glm-tts download`",
                path=path,
                error=first_line,
            )
        ) from error
    if isinstance(value, Mapping) and isinstance(value.get("model"), Mapping):
        value = value["model"]
    if not isinstance(value, Mapping):
        raise CheckpointError(
            tr("{path} holds a {kind}; expected a state dictionary", path=path, kind=type(value).__name__)
        )
    strangers = [
        str(name) for name, tensor in value.items() if not (isinstance(name, str) and isinstance(tensor, Tensor))
    ]
    if strangers:
        raise CheckpointError(tr("{path}: {strangers} is not a tensor", path=path, strangers=strangers[0]))
    return dict(value)


class Shards(Mapping[str, Tensor]):
    """The tensors of `.safetensors` files, each read when it is asked for and kept by nobody.

    So a model of 6 GB in float32 goes to a GPU, or to 16 bits, with no more than a tensor of it in memory at a time.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._path: dict[str, Path] = {}
        self._files: dict[Path, Any] = {}
        for path in paths:
            try:
                self._files[path] = safe_open(path, framework="pt").__enter__()
                self._path |= dict.fromkeys(self._files[path].keys(), path)
            except (SafetensorError, OSError) as error:
                raise _damaged(path, error) from error

    def __getitem__(self, name: str) -> Tensor:
        path = self._path[name]
        try:
            return self._files[path].get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise _damaged(path, error) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._path)

    def __len__(self) -> int:
        return len(self._path)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        tr("{path} is damaged ({error}); fetch it again with `glm-tts download`", path=path, error=error)
    )


def read_tensors(paths: list[Path]) -> dict[str, Tensor]:
    """All tensors of one model, from one file or several shards.

    Args:
        paths: `.safetensors` files, or one torch archive (a bare state dictionary or one under `model`).
    """
    tensors: dict[str, Tensor] = {}
    for path in paths:
        read = _read_safetensors if path.suffix == ".safetensors" else _read_pickle
        tensors.update(read(path))
    return tensors


def fold_weight_norm(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace weight-normalised pairs by the weight itself: w = g * v / |v|, the norm over all axes but the first.

    Both spellings are understood: `parametrizations.weight.original0/1` and `weight_g` / `weight_v`.
    """
    folded = dict(tensors)
    for gain_suffix, direction_suffix in (
        (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
        (".weight_g", ".weight_v"),
    ):
        for name in [name for name in folded if name.endswith(gain_suffix)]:
            stem = name.removesuffix(gain_suffix)
            if (direction := folded.pop(stem + direction_suffix, None)) is None:
                continue  # the surplus gain is reported by `fill`
            gain = folded.pop(name)
            axes = tuple(range(1, direction.dim()))
            folded[stem + ".weight"] = gain * direction / direction.pow(2).sum(axes, keepdim=True).sqrt()
    return folded


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    source: Path,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    ignore: Callable[[str], bool] = lambda name: False,
) -> None:
    """Give a module, built on the meta device, its weights.

    Args:
        module: Its `state_dict` names and shapes are what the checkpoint must hold, no more and no less.
        tensors: The checkpoint.
        source: Named in errors.
        dtype: Of floating-point weights in memory.
        device: Where they go.
        ignore: Names that the published files carry but nobody needs.

    Raises:
        CheckpointError: The first tensor that is missing, surplus, misshapen, of the wrong type or not finite.
    """
    expected = module.state_dict()
    if missing := [name for name in expected if name not in tensors]:
        raise CheckpointError(
            tr(
                "{source}: tensor {missing} {shape} is missing ({missing_count} in all)",
                source=source,
                missing=missing[0],
                shape=list(expected[missing[0]].shape),
                missing_count=len(missing),
            )
        )
    if surplus := [name for name in tensors if name not in expected and not ignore(name)]:
        raise CheckpointError(
            tr(
                "{source}: unexpected tensor {surplus} {shape} ({surplus_count} in all)",
                source=source,
                surplus=surplus[0],
                shape=list(tensors[surplus[0]].shape),
                surplus_count=len(surplus),
            )
        )
    ready: dict[str, Tensor] = {}
    for name, slot in expected.items():
        tensor = tensors[name]
        if tensor.shape != slot.shape:
            raise CheckpointError(
                tr(
                    "{source}: tensor {name} has shape {shape}; expected {wanted}",
                    source=source,
                    name=name,
                    shape=list(tensor.shape),
                    wanted=list(slot.shape),
                )
            )
        if not tensor.is_floating_point():
            raise CheckpointError(
                tr(
                    "{source}: tensor {name} is {dtype}; expected floating point",
                    source=source,
                    name=name,
                    dtype=tensor.dtype,
                )
            )
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                tr(
                    "{source}: tensor {name} holds NaN or infinite values; the file is damaged, fetch it again",
                    source=source,
                    name=name,
                )
            )
        ready[name] = tensor.to(device=device, dtype=dtype)
    module.load_state_dict(ready, assign=True)
    module.requires_grad_(False).eval()


class _PlainLoader(yaml.SafeLoader):
    """YAML in which tags are text: nothing is imported, nothing is called."""


def _plain(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    if suffix.startswith("ref"):
        return f"!ref {loader.construct_scalar(node)}" if isinstance(node, yaml.ScalarNode) else None
    if not suffix.startswith(("new:", "name:")):
        raise CheckpointError(
            tr(
                "!{suffix} in line {line} would run code; only plain values are read",
                suffix=suffix,
                line=node.start_mark.line + 1,
            )
        )
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return None


_PlainLoader.add_multi_constructor("!", _plain)


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """The values of `flow/config.yaml` that decide the arithmetic; names and defaults are the file's own."""

    speech_token_dim: int = 512
    vocab_size: int = 100_000
    input_frame_rate: float = 12.5
    spk_embed_dim: int = 80
    mel_dim: int = 80
    mel_framerate: float = 86
    spkr_emb_adaLN: bool = False
    speech_token_cfg: bool = True
    use_wavlm_emb: bool = False
    remove_spkr_concat_condition: bool = False
    t_scheduler: str = "cosine"


def read_flow_config(path: Path) -> FlowConfig:
    """Read the scalars below the top key `flow`; `!ref <key>` is looked up among the top-level scalars."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (yaml.YAMLError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(tr("{path} cannot be read as YAML: {error}", path=path, error=error)) from error
    if not isinstance(document, dict) or not isinstance(document.get("flow"), dict):
        raise CheckpointError(tr("{path}: expected a mapping under the top key `flow`", path=path))
    flow = {
        name: document.get(value.removeprefix("!ref ").strip(" <>"))
        if isinstance(value, str) and value.startswith("!ref ")
        else value
        for name, value in document["flow"].items()
    }
    config = configure(FlowConfig, flow, path)
    if config.t_scheduler not in ("cosine", "linear"):
        raise CheckpointError(
            tr(
                "{path}: t_scheduler is {t_scheduler!r}; expected cosine or linear",
                path=path,
                t_scheduler=config.t_scheduler,
            )
        )
    return config


def configure(kind: type[Config], values: Mapping[str, Any], source: Path) -> Config:
    """Build a configuration dataclass from the fields a file gives, checking each value's type.

    Args:
        kind: A dataclass with fields of type int, float, bool, str, or `int | None`; numbers must be positive.
        values: The file's content; unknown keys are ignored.
        source: Named in errors.
    """
    hints = get_type_hints(kind)
    chosen: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name not in values:
            if field.default is MISSING:
                raise CheckpointError(tr("{source}: {name} is missing", source=source, name=field.name))
            continue
        value, hint = values[field.name], hints[field.name]
        accepted = (int, float) if hint is float else hint
        fits = isinstance(value, accepted) and (isinstance(value, bool) == (hint is bool))
        if not fits or (isinstance(value, int | float) and not isinstance(value, bool) and value <= 0):
            wanted = getattr(hint, "__name__", hint)
            raise CheckpointError(
                tr(
                    "{source}: {name} is {value!r}; expected {wanted}, positive if a number",
                    source=source,
                    name=field.name,
                    value=value,
                    wanted=wanted,
                )
            )
        chosen[field.name] = value
    return kind(**chosen)
