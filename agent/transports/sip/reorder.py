"""Packets that overtook each other, put back into sequence."""

from __future__ import annotations

from aiortp import RtpPacket


class Reorder:
    """Puts packets back into sequence. What comes in order passes at once; a gap is waited for, but not for long."""

    def __init__(self, patience: int = 3) -> None:
        self._patience = patience
        self._expected: int | None = None
        self._waiting: dict[int, RtpPacket] = {}

    def push(self, packet: RtpPacket) -> list[RtpPacket | None]:
        """Take a packet and give those that are now in sequence; None stands for one that is lost."""
        number = packet.sequence_number
        if self._expected is None:
            self._expected = number
        ahead = (number - self._expected) & 0xFFFF
        if 0x8000 <= ahead <= 0xFFFF - 100:
            ahead = 0x7FFF  # so far behind that the sender must have started anew
        if ahead >= 0x8000:
            return []  # late or repeated
        if ahead > 100:
            self._waiting.clear()
            self._expected = number
        self._waiting[number] = packet
        out: list[RtpPacket | None] = self._in_sequence()
        while len(self._waiting) > self._patience:
            out.append(None)
            self._expected = (self._expected + 1) & 0xFFFF
            out += self._in_sequence()
        return out

    def _in_sequence(self) -> list[RtpPacket | None]:
        assert self._expected is not None
        out: list[RtpPacket | None] = []
        while (packet := self._waiting.pop(self._expected, None)) is not None:
            out.append(packet)
            self._expected = (self._expected + 1) & 0xFFFF
        return out
