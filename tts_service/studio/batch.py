"""The tab 批量 / Batch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from tts_service.batch import FORMATS, Batch
from tts_service.engine import SpeechError
from tts_service.maker import REFERENCES, LocalMaker
from tts_service.presets import presets
from tts_service.studio.desk import NO_CLONING, Desk, told
from tts_service.tasks import Flaw
from tts_service.unpack import unpack_recordings

SHOWN = 200
"""Lines of the log; the report has all."""


def tab(desk: Desk, page: gr.Blocks) -> None:
    """Files on the left, log and results on the right."""
    with gr.Row():
        with gr.Column():
            tasks = gr.File(label="任务 JSONL / Tasks", file_types=[".jsonl", ".json", ".txt"], elem_id="tasks")
            recordings = gr.File(label="参考录音 zip / Recordings", file_types=[".zip"], elem_id="recordings")
            if not desk.clones:
                gr.Markdown(NO_CLONING)
            voice = gr.Dropdown(
                desk.voices(), label="默认声音 / Voice for tasks that name none", elem_id="batch-voice", value=None
            )
            with gr.Row():
                preset = gr.Dropdown([(p.title, n) for n, p in presets().items()], value="batch", label="预设 / Preset")
                format = gr.Dropdown(FORMATS, value="wav", label="格式 / Format")
                jobs = gr.Slider(1, 8, 1, step=1, label="并行 / Jobs")
            with gr.Row():
                go = gr.Button("开始批量 / Start batch", variant="primary", elem_id="batch-go", scale=3)
                stop = gr.Button("停止 / Stop", scale=1)
        with gr.Column():
            progress = gr.Markdown(elem_id="batch-progress")
            log = gr.Textbox(label="日志 / Log", lines=14, max_lines=14, interactive=False, elem_id="batch-log")
            result = gr.File(label="结果 / Results", interactive=False, elem_id="batch-result")

    def run(
        task_file: str | None, archive: str | None, who: str | None, named: str, suffix: str, at_once: int
    ) -> Iterator[dict[Any, Any]]:
        with told(), tempfile.TemporaryDirectory(dir=desk.folder) as place:
            if not task_file:
                raise SpeechError("请先上传任务文件 / upload a task file first")
            folder = Path(place)
            if archive:
                unpack_recordings(Path(archive), folder / "recordings")
            output = folder / "output"
            maker = LocalMaker(
                desk.ready(), desk.library, output / REFERENCES, voice=who or None, transcribe=desk.transcribe
            )
            options = dict(presets()[named].options)
            work = Batch(
                Path(task_file), output, maker, folder / "recordings", int(at_once), suffix, options, desk.engine
            )
            lines: list[str] = []
            total = 0
            for item in work.check():
                total += 1
                if isinstance(item, Flaw) and len(lines) < SHOWN:
                    lines.append(f"! {item}")
            yield {log: "\n".join(lines), progress: f"0 / {total}", result: None}
            failed = 0
            for ended, outcome in enumerate(work.run(), start=1):
                failed += outcome.status == "failed"
                lines.append(
                    f"[✗] {outcome.task}: {outcome.error}"
                    if outcome.status == "failed"
                    else f"[✓] {outcome.task} -> {outcome.file}"
                )
                yield {log: "\n".join(lines[-SHOWN:]), progress: f"{ended} / {total} · ✗ {failed}"}
            yield {result: str(work.archive()) if work.files else None}

    running = go.click(
        run, [tasks, recordings, voice, preset, format, jobs], [log, progress, result], concurrency_limit=2
    )
    stop.click(None, None, None, cancels=running)
    page.load(lambda: gr.Dropdown(desk.voices()), None, voice, show_progress="hidden")
