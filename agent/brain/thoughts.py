"""What a model says to itself, told from what it says to the user."""

from __future__ import annotations

import re

_FILLERS = tuple("好的 好 嗯 哦 那么 那 首先 现在 okay ok alright hmm so first well now".split())
_FILLER = re.compile(rf"\W+|{'|'.join(_FILLERS)}", re.I)
_ABOUT_THE_USER = ("用户", "the user")
_MUSES = re.compile(
    r"用户(?:正?在|[想问说要让用刚]|希望|提|发|需要|可能|似乎|输入|打招呼|的(?:问题|意思|请求))"
    r"|the user(?:['’]s\b| (?:is|was|has|wants|asks|asked|said|says|just|wrote|sent|greets?|seems|would|may|needs))",
    re.I,
)
_LONGEST_HEAD = 40
"""Characters within which an answer has shown whether it begins as thoughts do."""


def muses(head: str) -> bool | None:
    """Whether an answer begins as models talk to themselves ("Okay, the user wants"); None as long as it may yet."""
    at = 0
    while match := _FILLER.match(head, at):
        at = match.end()
    rest = head[at:].lower()
    if _MUSES.match(rest):
        return True
    may_go_on = any(start.startswith(rest) for start in (*_FILLERS, *_ABOUT_THE_USER))
    begun = any(rest.startswith(subject) and len(rest) < len(subject) + 4 for subject in _ABOUT_THE_USER)
    return None if (may_go_on or begun) and len(head) < _LONGEST_HEAD else False


class ThoughtFilter:
    """Takes `<think>...</think>` out of streamed text, however the tags are cut up.

    Local servers send the thoughts of reasoning models as part of the answer; nobody wants to hear them. Where the
    opening tag is missing, an answer that begins by talking of the user passes for thoughts until a closing tag comes.

    Args:
        inside: The text begins with thoughts, without the opening tag.
    """

    OPEN, CLOSE = "<think>", "</think>"

    def __init__(self, *, inside: bool = False) -> None:
        self.began_inside = inside
        """Whether the opening tag is missing; found out by the closing one."""
        self._unclosed = ""
        self._thinking = inside
        self._open = False
        self._head: str | None = None if inside else ""
        self._pending = ""

    def filter(self, text: str) -> str:
        """What of the text so far can be spoken and has not been returned yet."""
        self._pending += text
        speakable = ""
        while tag := re.search(f"{self.OPEN}|{self.CLOSE}", self._pending):
            before, self._pending = self._pending[: tag.start()], self._pending[tag.end() :]
            opens = tag[0] == self.OPEN
            if opens and not self._thinking:
                speakable += self._settle(before)
            if not opens and not self._open:
                self.began_inside, self._head = True, None
            self._thinking, self._open, self._unclosed = opens, opens, ""
        # The end may be the beginning of a tag: keep it until more is known.
        tags = (self.OPEN, self.CLOSE)
        kept = max(n for n in range(len(self.CLOSE)) for tag in tags if self._pending.endswith(tag[:n]))
        settled, self._pending = self._pending[: len(self._pending) - kept], self._pending[len(self._pending) - kept :]
        return speakable + self._settle(settled)

    def close(self, *, everything: bool) -> str:
        """The text has ended: what can still be spoken.

        Args:
            everything: Thoughts that nothing opened and nothing closed were the answer.
        """
        held = self._head or ""
        unclosed = "" if self._open or not everything else (self._unclosed + self._pending).strip()
        return held + unclosed

    def _settle(self, text: str) -> str:
        if self._thinking:
            self._unclosed += text
            return ""
        if self._head is None:
            return text
        self._head += text
        self._thinking = bool(found := muses(self._head))
        if found is None:
            return ""
        head, self._head = self._head, None
        if found:
            self._unclosed = head
            return ""
        return head
