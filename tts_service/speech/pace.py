"""What this machine carries: the instructions that the embedded voice computes with, and how fast it is with them."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipecat_glm_tts.wording import tr
from tts_service.speech.audible import SILENT

if TYPE_CHECKING:
    from tts_service.speech.synthesizer import Synthesizer

SENTENCE = "今天下午我们去公园散步，你要一起来吗？"
"""Three seconds: long enough that the start counts no more than it does in conversation."""
ROOM = 0.8
"""The part of real time that talkers may take together: the rest is for their starts, the ears and the transport."""
_SETS = (
    ("AVX-512 VNNI", ("avx512_vnni", "avx512vnni")),
    ("AVX-VNNI", ("avx_vnni",)),
    ("AVX-512", ("avx512bw", "avx512_skx")),
    ("AVX2", ("avx2",)),
    ("SSE4.1", ("sse4_1", "sse41")),
    ("ARM i8mm", ("i8mm",)),
    ("ARM dot product", ("asimddp",)),
    ("ARM NEON", ("asimd", "neon")),
)
"""Instruction sets from the fastest 8-bit products of ONNX Runtime down, each as Linux and as numpy name it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a voice speaks here."""

    instructions: str
    """The instruction set of the 8-bit products, such as `AVX2`."""
    factor: float
    """Real-time factor: seconds of computing for a second of speech."""

    @property
    def talkers(self) -> int:
        """How many can speak at one time without running dry; 0 if not even one can."""
        return int(ROOM / self.factor)

    def __str__(self) -> str:
        """Instruction set, factor and talkers, in the user's language."""
        speed = tr(
            "{name}, {factor:.2f} s of computing for a second of speech", name=self.instructions, factor=self.factor
        )
        if self.talkers:
            return speed + tr(": enough for about {talkers} talking at once", talkers=self.talkers)
        return speed + tr(
            ": too slow to keep up, the voice will break off. What helps: end other programs that compute; two cores "
            "or more; a CPU with AVX2 (better, VNNI) or ARM dot products; or a voice that runs elsewhere "
            "(voice.engine=remote)"
        )


def measure(voice: Synthesizer, seconds: float = 1.0) -> Pace:
    """Let the voice speak in silence for so long, and at least one sentence. Blocks.

    The quickest sentence counts: others were held up by something that the machine did besides.
    """
    factors: list[float] = []
    began = time.perf_counter()
    while not factors or time.perf_counter() - began < seconds:
        before, spoken = time.perf_counter(), 0.0
        for chunk in voice.stream(SENTENCE, audible=SILENT):
            spoken += chunk.seconds
        factors.append((time.perf_counter() - before) / spoken)
    return Pace(instructions(), min(factors))


def instructions() -> str:
    """The fastest instruction set for 8-bit products that this CPU offers; its architecture if none is known."""
    flags = _flags()
    return next((name for name, aliases in _SETS if flags.intersection(aliases)), platform.machine() or "CPU")


def _flags() -> set[str]:
    information = Path("/proc/cpuinfo")
    if os.access(information, os.R_OK):
        for line in information.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip().lower() in ("flags", "features"):
                return set(value.lower().split())
    found = getattr(np._core._multiarray_umath, "__cpu_features__", {})  # type: ignore[attr-defined]
    return {name.lower() for name, there in found.items() if there}
