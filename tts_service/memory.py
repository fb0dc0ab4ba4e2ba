"""Memory that is free, given back to the system."""

from __future__ import annotations

import ctypes
import sys


def trim() -> None:
    """Let the C library give back what it keeps for later: a hundred megabytes after some busy minutes.

    Other threads run on meanwhile. Only glibc knows how.
    """
    if sys.platform == "linux" and (give_back := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        give_back(0)
