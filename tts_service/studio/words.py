"""The studio in the language of whoever looks at it: one page for all, each sees it in Chinese or in English.

What stands on the page from the beginning (`label`) is translated by Gradio in the browser. What is said later (`told`)
is translated here, for the browser that asked. The choice is the talk page's: the same button, the same memory.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from gradio.i18n import I18nData

from pipecat_glm_tts.wording import chinese, reader
from tts_service.engine import SpeechError

COOKIE = "language"
BEGIN = f"""<script>
const own = localStorage.getItem("language");
const spoken = own ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
for (const [name, value] of [["language", spoken === "zh" ? "zh-CN" : "en"], ["languages", [spoken]]])
  Object.defineProperty(navigator, name, {{get: () => value}});
document.cookie = `{COOKIE}=${{spoken}}; path=/; SameSite=Strict`;
</script>"""
"""Goes before all other scripts of the page."""
SWITCH = """() => {
  localStorage.setItem("language", navigator.language === "en" ? "zh" : "en");
  location.reload();
}"""


class Labels:
    """Makes the words that stand on the page: `label("Text")`."""

    def __init__(self) -> None:
        english: dict[str, str] = {}
        hanzi: dict[str, str] = {}
        self._english, self._chinese = english, hanzi
        self.translations = gr.I18n(**{"en": english, "zh": hanzi, "zh-CN": hanzi, "zh-TW": hanzi})

    def __call__(self, english: str) -> I18nData:
        """What the browser shows in its own language."""
        self._english[english], self._chinese[english] = english, chinese(english)
        return self.translations(english)


def told(answer: Callable[..., Any]) -> Callable[..., Any]:
    """Let a callback of the page speak the language of its browser, and show errors that say what to do as they are.

    Args:
        answer: A function or a generator function.
    """

    def say(step: Callable[[], Any]) -> Any:
        reader.set(language_of(LocalContext.request.get(None)))
        try:
            return step()
        except SpeechError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from error

    @functools.wraps(answer)
    def once(*asked: Any) -> Any:
        return say(lambda: answer(*asked))

    @functools.wraps(answer)
    def in_steps(*asked: Any) -> Iterator[Any]:
        steps = say(lambda: answer(*asked))
        try:
            while (shown := say(lambda: next(steps, _END))) is not _END:
                yield shown
        finally:
            steps.close()

    return in_steps if inspect.isgeneratorfunction(answer) else once


_END = object()


def language_of(request: Any) -> str | None:
    """`zh` or `en`: what the page has noted, else what the browser would like best; None without a request."""
    if request is None:
        return None
    noted = request.cookies.get(COOKIE)
    liked = noted if noted in ("zh", "en") else request.headers.get("accept-language", "en")
    return "zh" if liked.lower().startswith("zh") else "en"
