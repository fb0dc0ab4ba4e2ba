"""GPU memory at the published sizes, in bytes."""

from __future__ import annotations

_FRAME = 10 * 18 * 2 * 2 * 768 * 4  # keys and values: 10 ODE steps, 18 layers, 2 guidance branches, float32
_POSITION = 28 * 2 * 4 * 128 * 2  # keys and values: 28 layers, 4 heads, 16 bits
SPEAKER = 710 * _FRAME + 4104 * _POSITION
"""Of everyone who speaks: 30 frames of prompt, 600 of window and 80 of a chunk in the flow; a slot of the language
model."""
VOICE = 220 * _FRAME
"""Of a voice: the prompt of a reference of 5 s, shared by all who speak with it."""
NETWORKS = 1_552_009_216 * 2 + 32769 * 2048 * 4 + 225_299_792 * 4 + 20_821_295 * 4
"""The language model in 16 bits and what of its head speaks in 32, the flow, the vocoder. The speech tokenizer is on
the GPU only while a voice is heard, before anybody speaks with it."""
WORK = 700_000_000
"""The CUDA process itself and what its computations need for a moment."""
_MOST_SLOTS = 16


def slots(total: int) -> int:
    """How many may speak at once on a GPU of so much memory; sixteen are plenty for 32 conversations."""
    return max(1, min(_MOST_SLOTS, (total - NETWORKS - VOICE - WORK) // SPEAKER))
