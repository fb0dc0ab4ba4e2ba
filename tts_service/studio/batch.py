"""The tab Batch."""

from __future__ import annotations

import contextvars
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import gradio as gr

from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.studio.desk import Desk
from tts_service.studio.live import TICK
from tts_service.studio.words import told
from tts_service.workshop.batch import FORMATS, Batch, Outcome
from tts_service.workshop.maker import REFERENCES, LocalMaker
from tts_service.workshop.presets import presets
from tts_service.workshop.tasks import Flaw, file_name
from tts_service.workshop.unpack import unpack_recordings

SHOWN = 200
"""Lines of the log; the report has all."""


def tab(desk: Desk, page: gr.Blocks) -> None:
    """Files on the left, log and results on the right."""
    label = desk.label
    with gr.Row():
        with gr.Column():
            tasks = gr.File(
                label=label("Tasks (JSONL, JSON, CSV, TSV)"),
                file_types=[".jsonl", ".json", ".txt", ".csv", ".tsv"],
                elem_id="tasks",
            )
            recordings = gr.File(label=label("Recordings (zip)"), file_types=[".zip"], elem_id="recordings")
            if not desk.clones:
                gr.Markdown(desk.no_cloning)
            voice = gr.Dropdown([], label=label("Voice of tasks that name none"), elem_id="batch-voice")
            with gr.Row():
                preset = gr.Dropdown([], label=label("Preset"))
                format = gr.Dropdown(FORMATS, value="wav", label=label("Format"))
                jobs = gr.Slider(1, 8, 1, step=1, label=label("Jobs at one time"))
            with gr.Row(elem_classes="together"):
                go = gr.Button(label("Start the batch"), variant="primary", elem_id="batch-go", scale=3, min_width=120)
                stop = gr.Button(label("Stop"), elem_id="batch-stop", scale=1, min_width=80)
        with gr.Column():
            progress = gr.Markdown(elem_id="batch-progress")
            log = gr.Textbox(label=label("Log"), lines=14, max_lines=14, interactive=False, elem_id="batch-log")
            result = gr.File(label=label("Results"), interactive=False, elem_id="batch-result")
            current = gr.State()

    def run(
        task_file: str | None, archive: str | None, who: str | None, named: str, suffix: str, at_once: int
    ) -> Iterator[Any]:
        if not task_file:
            raise SpeechError(tr("upload a task file first"))
        yield (loading := {log: "", progress: tr("The voice is being loaded …"), result: None, current: None})
        synthesizer = yield from desk.ready(loading)
        output = desk.outputs / "batch" / (file_name(Path(task_file).stem, "") or "batch")
        with desk.alone(output), tempfile.TemporaryDirectory(dir=desk.folder) as place:
            recorded = Path(place)
            if archive:
                unpack_recordings(Path(archive), recorded)
            maker = LocalMaker(
                synthesizer, desk.library, desk.folder / REFERENCES, voice=who or None, transcribe=desk.transcribe
            )
            options = dict(presets()[named].options)
            work = Batch(Path(task_file), output, maker, recorded, int(at_once), suffix, options, desk.engine)
            lines: list[str] = []
            total = 0
            for item in work.check():
                total += 1
                if isinstance(item, Flaw) and len(lines) < SHOWN:
                    lines.append(f"! {item}")
            yield {log: "\n".join(lines), progress: f"0 / {total}", result: None, current: work}
            ended = failed = 0
            with closing(_outcomes(work)) as outcomes:
                for outcome in outcomes:
                    if outcome is None:
                        yield {result: None}
                        continue
                    ended += 1
                    failed += outcome.status == "failed"
                    lines.append(
                        f"[✗] {outcome.task}: {outcome.error}"
                        if outcome.status == "failed"
                        else f"[✓] {outcome.task} -> {outcome.file}"
                    )
                    yield {log: "\n".join(lines[-SHOWN:]), progress: f"{ended} / {total} · ✗ {failed}", result: None}
        yield {result: _packed(work), progress: f"{ended} / {total} · ✗ {failed} · {output}", current: None}

    def pack(work: Batch | None) -> tuple[str | None, str]:
        """What a stopped batch has made."""
        if work is None:
            return None, ""
        return _packed(work), tr("Stopped: {count} files are in {folder}", count=len(work.files), folder=work.output)

    def begin() -> Iterator[Any]:
        yield {preset: gr.Dropdown(desk.presets(), value="batch")}
        yield from desk.ready()
        yield {voice: gr.Dropdown(desk.voices(), value=None)}

    running = go.click(
        told(run),
        [tasks, recordings, voice, preset, format, jobs],
        [log, progress, result, current],
        concurrency_limit=2,
        show_progress_on=[progress],
    )
    stop.click(told(pack), current, [result, progress], cancels=running)
    page.load(told(begin), None, [preset, voice], concurrency_limit=None, show_progress="hidden")


def _packed(work: Batch) -> str | None:
    return str(work.archive()) if work.files else None


def _outcomes(work: Batch) -> Generator[Outcome | None, None, None]:
    """As `Batch.run` tells them, and None whenever there is nothing to tell for a tick; closing it stops the batch."""
    known: SimpleQueue[Outcome | BaseException | None] = SimpleQueue()
    stopping = threading.Event()

    def run() -> None:
        try:
            outcomes = work.run()
            for outcome in outcomes:
                known.put(outcome)
                if stopping.is_set():
                    outcomes.close()
            known.put(None)
        except BaseException as error:
            known.put(error)

    # what goes wrong is said in the reader's language there, too
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="batch")
    thread.start()
    try:
        while True:
            try:
                item = known.get(timeout=TICK)
            except Empty:
                yield None
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopping.set()
        work.maker.stop()
        thread.join()
