"""The tab 词典 / Dictionary."""

from __future__ import annotations

import tempfile
from pathlib import Path

import gradio as gr

from g2p.lexicon import default_lexicon
from g2p.lexicon_file import check
from tts_service.engine import SpeechError
from tts_service.files import make_folder, published
from tts_service.studio.desk import Desk, told
from tts_service.studio.pictures import ruby

MAX_TEXT = 4 << 20


def tab(desk: Desk) -> None:
    """The file as text, what is wrong with it, and a line to try it on."""
    gr.Markdown(
        "一行一个词，保存后立即生效。 / One word a line; saved changes are heard at once.\n\n"
        '`{"word": "乐高", "phoneme": "lè gāo"}` · `{"word": "Python", "phoneme": "派森"}`'
    )
    text = gr.Textbox(
        lambda: _text(desk),
        label=str(desk.dictionary),
        lines=14,
        max_lines=24,
        elem_id="dictionary",
        elem_classes="mono",
    )
    verdict = gr.Dataframe(
        headers=["行 / Line", "问题 / Problem", "改法 / Fix"],
        interactive=False,
        wrap=True,
        visible=False,
        elem_id="problems",
    )
    with gr.Row():
        save = gr.Button("保存 / Save", variant="primary", elem_id="save-dictionary")
        reload = gr.Button("重新读取 / Reload")
    sample = gr.Textbox("乐高官方说：重庆的 Python 课开了。", label="试一句 / Try it", elem_id="try")
    shown = gr.HTML(elem_id="try-pinyin")

    def read_aloud(said: str) -> str:
        return ruby(said, desk.lexicon())

    def problems(content: str) -> list[list[str]]:
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "draft.jsonl"
            draft.write_text(content, encoding="utf-8", errors="replace")
            return [[str(each.line), each.problem, each.fix] for each in check(draft)]

    def inspect(content: str) -> gr.Dataframe:
        found = problems(content)
        return gr.Dataframe(found, visible=bool(found))

    def store(content: str) -> None:
        with told():
            if len(content) > MAX_TEXT:
                raise SpeechError(f"太长 / too long: {len(content)} > {MAX_TEXT}")
            if found := problems(content):
                raise SpeechError(f"有 {len(found)} 行不对，没有保存 / {len(found)} lines are wrong; nothing was saved")
            # Readers see the old file or the new one, never half of one.
            make_folder(desk.dictionary.parent)
            with published(desk.dictionary) as file:
                file.write((content.rstrip("\n") + "\n").encode())
            (desk.lexicon() or default_lexicon()).refresh()
        gr.Info("已保存 / saved")

    text.change(inspect, text, verdict, trigger_mode="always_last", show_progress="hidden")
    save.click(store, text).then(read_aloud, sample, shown, show_progress="hidden")
    reload.click(lambda: _text(desk), None, text)
    sample.change(read_aloud, sample, shown, trigger_mode="always_last", show_progress="hidden")


def _text(desk: Desk) -> str:
    """What is read by now: as long as nothing has been saved, that is what came with the package."""
    for path in (desk.dictionary, (desk.lexicon() or default_lexicon()).path):
        if path is not None and path.is_file():
            return path.read_text(encoding="utf-8-sig", errors="replace")
    return ""
