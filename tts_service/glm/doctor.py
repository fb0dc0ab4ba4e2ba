"""What of a checkpoint is there, how much memory it takes, and what this machine can do with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipecat_glm_tts.extras import missing
from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.glm.published.download import checkpoint_folder

PARTS: dict[str, tuple[str, ...]] = {
    tr("language model"): ("llm/config.json", "llm/*.safetensors"),
    tr("text tokenizer"): ("vq32k-phoneme-tokenizer/tokenizer*",),
    tr("speech tokenizer"): ("speech_tokenizer/config.json", "speech_tokenizer/*.safetensors"),
    tr("flow"): ("flow/config.yaml", "flow/flow.*"),
    tr("24 kHz vocoder"): ("hift/hift.*",),
    tr("speaker encoder"): ("**/campplus.onnx",),
}
OPTIONAL = {tr("32 kHz vocoder"): ("vocos2d/generator_jit.ckpt",)}
_PROGRAM = tr("; a program (TorchScript), opened and run only when 32 kHz is asked for: trust whoever it comes from")
_PACKAGES = ("torch", "tokenizers", "safetensors", "kaldi-native-fbank", "onnxruntime", "onnx")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    subject: str
    good: bool
    """Whether speech can be made as far as this goes."""
    detail: str


def examine(checkpoint: Path, *, load: bool = False) -> list[Finding]:
    """Look at packages, machine and checkpoint.

    Args:
        checkpoint: The checkpoint folder.
        load: Also read everything but the 32 kHz vocoder, checking every tensor.
    """
    findings = [*_packages(), *_files(checkpoint)]
    if all(finding.good for finding in findings):
        findings += _machine(checkpoint)
        if load:
            findings.append(_loaded(checkpoint))
    return findings


def _packages() -> list[Finding]:
    findings = []
    for name in _PACKAGES:
        try:
            findings.append(Finding(name, True, version(name)))
        except PackageNotFoundError:
            hint = missing("glm", name)
            findings.append(Finding(name, False, hint))
    return findings


def _files(checkpoint: Path) -> list[Finding]:
    findings = []
    for part, patterns in {**PARTS, **OPTIONAL}.items():
        missing = [pattern for pattern in patterns if not _matching(checkpoint, pattern)]
        if not missing:
            size = sum(path.stat().st_size for pattern in patterns for path in _matching(checkpoint, pattern))
            findings.append(Finding(part, True, f"{size / 1e6:,.1f} MB" + (_PROGRAM if part in OPTIONAL else "")))
        elif part in OPTIONAL:
            findings.append(Finding(part, True, tr("absent (optional)")))
        else:
            where = "" if checkpoint == checkpoint_folder() else f" --to {checkpoint}"
            hint = tr("{missing} is missing; run {command}", missing=missing[0], command=f"glm-tts download{where}")
            findings.append(Finding(part, False, hint))
    return findings


def _matching(checkpoint: Path, pattern: str) -> list[Path]:
    return [path for path in checkpoint.glob(pattern) if path.is_file() and path.suffix != ".incomplete"]


def _machine(checkpoint: Path) -> list[Finding]:
    import torch

    from tts_service.glm import cuda
    from tts_service.glm.device import memory
    from tts_service.glm.listening import acoustics

    ears = Finding(tr("resampling and filter banks"), True, acoustics.provider())
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0)
        free, _ = torch.cuda.mem_get_info(0)
        least, room = memory.NETWORKS + memory.VOICE + memory.WORK + memory.SPEAKER, memory.slots(free)
        there, unused, needed, each = (number / 1e9 for number in (device.total_memory, free, least, memory.SPEAKER))
        detail = tr(
            "{name}, {there:.1f} GB, {unused:.1f} GB free; one speaker takes about {needed:.1f} GB, each further one "
            "at most {each:.1f} GB more; room for {room} at once, the rest wait",
            name=device.name,
            there=there,
            unused=unused,
            needed=needed,
            each=each,
            room=room,
        )
        return [ears, Finding("GPU", free >= least, detail)]
    if problem := cuda.unusable():
        return [ears, Finding("GPU", False, problem)]
    weights = sum(
        path.stat().st_size for globs in PARTS.values() for glob in globs for path in _matching(checkpoint, glob)
    )
    detail = tr(
        "no GPU; {os} cores, the weights take {weights:.2f} GB of memory. At full size a CPU cannot keep up with "
        "speech; for conversation use the embedded voice",
        os=os.cpu_count(),
        weights=weights / 1000000000.0,
    )
    return [ears, Finding("CPU", True, detail)]


def _loaded(checkpoint: Path) -> Finding:
    from tts_service.glm.engine import GLMEngine

    subject = tr("reading every weight")
    try:
        GLMEngine.load(checkpoint).close()
    except SpeechError as error:
        return Finding(subject, False, str(error))
    return Finding(subject, True, tr("intact"))
