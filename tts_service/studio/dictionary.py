"""The tab Dictionary."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gradio as gr

from g2p.lexicon import default_lexicon
from g2p.lexicon_file import Problem, check
from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.files import make_folder, published
from tts_service.studio.desk import Desk
from tts_service.studio.pictures import ruby
from tts_service.studio.words import told

MAX_TEXT = 4 << 20
SAMPLE = "乐高官方说：重庆的 Python 课开了。"


def tab(desk: Desk) -> None:
    """The file as text, what is wrong with it, and a line to try it on."""
    label = desk.label
    gr.Markdown(label("One word a line; what is saved is heard at once."))
    gr.Markdown('`{"word": "乐高", "phoneme": "lè gāo"}` · `{"word": "Python", "phoneme": "派森"}`')
    text = gr.Textbox(
        lambda: _text(desk),
        label=str(desk.dictionary),
        lines=14,
        max_lines=24,
        elem_id="dictionary",
        elem_classes="mono",
    )
    verdict = gr.Markdown(visible=False, elem_id="problems")
    with gr.Row(elem_classes="together"):
        save = gr.Button(label("Save"), variant="primary", elem_id="save-dictionary", min_width=100)
        reload = gr.Button(label("Read the file again"), min_width=100)
    sample = gr.Textbox(SAMPLE, label=label("Try it"), elem_id="try")
    shown = gr.HTML(lambda: ruby(SAMPLE, desk.lexicon()), elem_id="try-pinyin")

    def read_aloud(said: str) -> str:
        return ruby(said, desk.lexicon())

    def problems(content: str) -> list[Problem]:
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "draft.jsonl"
            draft.write_text(content, encoding="utf-8", errors="replace")
            return list(check(draft))

    def inspect(content: str) -> gr.Markdown:
        found = problems(content)
        rows = (f"{each.line} | {_cell(each.problem)} | {_cell(each.fix)}" for each in found)
        head = f"{tr('Line')} | {tr('Problem')} | {tr('Fix')}\n--- | --- | ---"
        return gr.Markdown("\n".join([head, *rows]), visible=bool(found))

    def store(content: str) -> None:
        if len(content) > MAX_TEXT:
            raise SpeechError(
                tr(
                    "the dictionary is too long: {length} characters, {most} at most",
                    length=len(content),
                    most=MAX_TEXT,
                )
            )
        if found := problems(content):
            raise SpeechError(tr("{count} lines are wrong; nothing was saved", count=len(found)))
        # Readers see the old file or the new one, never half of one.
        make_folder(desk.dictionary.parent)
        with published(desk.dictionary) as file:
            file.write((content.rstrip("\n") + "\n").encode())
        (desk.lexicon() or default_lexicon()).refresh()
        gr.Info(tr("saved"))

    text.change(told(inspect), text, verdict, trigger_mode="always_last", show_progress="hidden")
    save.click(told(store), text).then(read_aloud, sample, shown, show_progress="hidden")
    reload.click(lambda: _text(desk), None, text)
    sample.change(read_aloud, sample, shown, trigger_mode="always_last", show_progress="hidden")


def _text(desk: Desk) -> str:
    """What is read by now: as long as nothing has been saved, that is what came with the package."""
    for path in (desk.dictionary, (desk.lexicon() or default_lexicon()).path):
        if path is not None and path.is_file():
            return path.read_text(encoding="utf-8-sig", errors="replace")
    return ""


def _cell(text: str) -> str:
    """Text as it is, inside a table of Markdown."""
    return "".join(f"&#{ord(char)};" if char in "|<>&*_`[]\\~$" else char for char in text).replace("\n", " ")
