"""The tab 声音 / Voices."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from tts_service.audio_file import save
from tts_service.engine import SpeechError
from tts_service.kokoro.matching.voices import WORDING, Matched, result
from tts_service.label import Label
from tts_service.reference import advice, measure
from tts_service.studio.desk import NO_CLONING, Desk, told
from tts_service.voices import load_recording, speaker

SAMPLE = "你好，很高兴认识你。Nice to meet you."


def tab(desk: Desk, page: gr.Blocks) -> None:
    """The library, a form to add to it, and two voices side by side."""
    if not desk.clones:
        gr.Markdown(NO_CLONING)
    with gr.Row():
        with gr.Column():
            gr.Markdown("### 声音库 / Library")
            names = gr.Dropdown(desk.library.names(), label="声音 / Voice", elem_id="library", value=None)
            card = gr.Markdown(elem_id="card")
            recording = gr.Audio(label="录音 / Recording", interactive=False, type="filepath")
            with gr.Row(visible=not desk.clones):
                patience = gr.Radio(
                    [("半分钟 / half a minute", "fast"), ("几分钟，更像 / minutes, closer", "best")],
                    value="fast",
                    label="声音匹配（内置） / Voice matching (embedded)",
                )
                bring = gr.Button("学像它 / Match", variant="primary", elem_id="match")
            sure = gr.Checkbox(False, label="确认删除 / Yes, delete it")
            delete = gr.Button("删除 / Delete", variant="stop")
        with gr.Column():
            gr.Markdown("### 添加 / Add")
            file = gr.Audio(
                label="录音 / Recording", type="filepath", sources=["upload", "microphone"], elem_id="new-voice"
            )
            quality = gr.Markdown(advice(), elem_id="quality")
            name = gr.Textbox(label="名称 / Name", max_lines=1, elem_id="new-name")
            transcript = gr.Textbox(label="录音文字 / Transcript", lines=2, elem_id="new-transcript")
            consent = gr.Textbox(
                label="授权说明 / Consent",
                lines=2,
                info="谁同意克隆、怎样同意、用途 / who allowed the cloning, how and for what",
                elem_id="new-consent",
            )
            language = gr.Radio([("中文", "zh"), ("English", "en")], value="zh", label="语言 / Language")
            add = gr.Button("加入声音库 / Add to the library", variant="primary", elem_id="add-voice")
    gr.Markdown("### 对比 / Compare")
    text = gr.Textbox(SAMPLE, label="文本 / Text", max_lines=3)
    with gr.Row():
        sides = []
        for side in "AB":
            with gr.Column():
                who = gr.Dropdown(desk.voices(), label=f"声音 {side} / Voice {side}")
                sides.append((who, gr.Audio(label=side, interactive=False, type="filepath")))
    compare = gr.Button("对比 / Compare", elem_id="compare")

    def show(chosen: str | None) -> tuple[str, str | None]:
        if not chosen:
            return "", None
        with told():
            entry, path = desk.library.card(chosen), desk.library.audio(chosen)
            found = measure(*load_recording(path))
            verdict = "；".join([*found.unusable, *found.doubts]) or "良好 / good"
            lines = [
                f"语言 / Language: {entry.language}",
                f"文字 / Transcript: {_plain(entry.transcript)}",
                f"授权 / Consent: {_plain(entry.consent)}",
                f"加入 / Added: {entry.created}",
                f"质量 / Quality: {verdict} ({found.seconds:.1f} s, SNR {found.snr:.0f} dB)",
            ]
            if (match := result(desk.library, chosen)) is not None:
                lines.append(f"声音匹配（内置） / {WORDING}: {_nearness(match)}")
            return "  \n".join(lines), str(path)

    def hear(path: str | None) -> tuple[str, str]:
        if path is None:
            return advice(), ""
        with told():
            samples, rate = load_recording(Path(path))
            found = measure(samples, rate)
            verdict = "；".join([*found.unusable, *found.doubts]) or "录音质量良好 / a good recording"
            return verdict, "" if found.unusable else desk.transcribe(samples, rate)

    def store(path: str | None, called: str, words: str, allowed: str, tongue: str) -> tuple[Any, str]:
        with told():
            if path is None:
                raise SpeechError("请先给出录音 / give a recording first")
            samples, rate = load_recording(Path(path))
            if unusable := measure(samples, rate).unusable:
                raise SpeechError("; ".join(unusable))
            added = desk.library.add(Path(path), name=called, transcript=words, consent=allowed, language=tongue)
        gr.Info(f"已加入 / added: {added.name}")
        return gr.Dropdown(desk.library.names(), value=added.name), ""

    def bring_near(chosen: str | None, how: str, bar: gr.Progress = gr.Progress()) -> str:  # noqa: B008 (so Gradio wants it)
        from tts_service.kokoro.matching.fitting import fit

        with told():
            if not chosen:
                raise SpeechError("请先选择声音 / choose a voice first")
            found = fit(
                desk.library,
                chosen,
                lambda samples, _: desk.transcribe(samples, 16000),
                quality=how,
                progress=lambda stage, fraction: bar(fraction, desc=stage),
            )
        gr.Info(f"{chosen}: {_nearness(found)}")
        return show(chosen)[0]

    def remove(chosen: str | None, certain: bool) -> tuple[Any, bool]:
        with told():
            if not chosen:
                raise SpeechError("请先选择声音 / choose a voice first")
            if not certain:
                raise SpeechError("请先勾选确认 / tick the box to confirm")
            desk.library.remove(chosen)
        return gr.Dropdown(desk.library.names(), value=None), False

    def both(said: str, first: str | None, second: str | None) -> Iterator[list[str]]:
        paths = []
        # Others compare too. What is yielded is copied for the page before the folder goes.
        with told(), tempfile.TemporaryDirectory(dir=desk.folder) as folder:
            synthesizer = desk.ready()
            for side, who in zip("AB", (first, second), strict=True):
                cast = speaker(synthesizer, desk.library, who)
                path = Path(folder) / f"compare_{side}_{cast.name}.wav"
                save(path, synthesizer.stream(said, cast), synthesizer.sample_rate, Label(desk.engine, cast.name))
                paths.append(str(path))
            yield paths

    names.change(show, names, [card, recording])
    file.change(hear, file, [quality, transcript])
    add.click(store, [file, name, transcript, consent, language], [names, name])
    bring.click(bring_near, [names, patience], card, concurrency_limit=1).then(
        lambda: [gr.Dropdown(desk.voices()) for _ in sides], None, [who for who, _ in sides]
    )
    delete.click(remove, [names, sure], [names, sure])
    compare.click(both, [text, sides[0][0], sides[1][0]], [sides[0][1], sides[1][1]], concurrency_limit=2)
    for who, _ in sides:
        page.load(lambda: gr.Dropdown(desk.voices()), None, who, show_progress="hidden")


def _nearness(found: Matched) -> str:
    return (
        f"相似度 / similarity {found.match.before:.2f} -> {found.match.after:.2f}；"
        f"Whisper 听错 / misheard {found.errors[1]} ({found.sentences} 句 / sentences)"
    )


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"&#{ord(char)};" if not char.isalnum() and not char.isspace() else char for char in text)
