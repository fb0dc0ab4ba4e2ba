"""The tab 合成 / Synthesize."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from tts_service.audio_file import SAMPLE_RATES, save
from tts_service.engine import AudioChunk, SpeechError, Voice
from tts_service.label import Label
from tts_service.presets import honoured, native_rate, presets
from tts_service.reference import advice, measure
from tts_service.studio.desk import NO_CLONING, Desk, told
from tts_service.studio.pictures import mel_picture, numbers, ruby
from tts_service.subtitles import FORMS, Subtitles
from tts_service.utterance import Report
from tts_service.voices import load_recording, speaker

GO, GO_LIVE = "合成 / Synthesize", "▶ 开始流式合成 / Start streaming"


def tab(desk: Desk, page: gr.Blocks) -> None:
    """Text, voice and options on the left, sound and picture on the right."""
    absent = desk.absent

    def available(option: str) -> dict[str, Any]:
        if option not in absent:
            return {}
        return {"interactive": False, "info": "内置引擎没有此选项 / not in the embedded engine"}

    known = presets()
    with gr.Row():
        with gr.Column(scale=5):
            text = gr.Textbox(
                label="文本 / Text", lines=5, max_lines=14, elem_id="text", placeholder="重庆火锅，今天 3.5 折！"
            )
            pinyin = gr.HTML(elem_id="pinyin")
            voice = gr.Dropdown(desk.voices(), label="声音 / Voice", elem_id="voice")
            with gr.Accordion("参考录音 / Reference recording", open=False):
                if not desk.clones:
                    gr.Markdown(NO_CLONING)
                reference = gr.Audio(
                    label="参考录音 / Recording", type="filepath", interactive=desk.clones, elem_id="reference"
                )
                quality = gr.Markdown(advice())
                transcript = gr.Textbox(
                    label="录音文字 / Transcript",
                    lines=2,
                    interactive=desk.clones,
                    info="自动识别，请核对 / recognised; please check",
                )
            preset = gr.Dropdown(
                [(each.title, name) for name, each in known.items()], value="dialogue", label="预设 / Preset"
            )
            stream = gr.Checkbox(True, label="流式：边生成边播放 / Stream: play while it is made", elem_id="stream")
            with gr.Accordion("选项 / Options", open=False):
                speed = gr.Slider(0.5, 2, 1, step=0.05, label="语速 / Speed")
                rate = gr.Dropdown(SAMPLE_RATES, value=24000, label="采样率 / Sample rate (Hz)")
                seed = gr.Number(42, precision=0, minimum=0, label="种子 / Seed", **available("seed"))
                sampling = gr.Radio(["ras", "topk"], value="ras", label="采样 / Sampling", **available("sampling"))
                cache = gr.Checkbox(True, label="KV 缓存 / KV cache", **available("kv_cache"))
                length = gr.Number(
                    None, precision=0, minimum=1, label="最大长度（token）/ max_length", **available("max_length")
                )
        with gr.Column(scale=4):
            with gr.Row():
                go = gr.Button(GO_LIVE, variant="primary", elem_id="go", scale=3)
                stop = gr.Button("停止 / Stop", elem_id="stop", scale=1)
            live = gr.HTML(elem_id="live")
            stats = gr.Markdown(elem_id="stats")
            audio = gr.Audio(
                label="结果 / Result", type="filepath", interactive=False, elem_id="result", buttons=["download"]
            )
            mel = gr.Image(label="频谱 / Spectrogram", interactive=False, elem_id="mel", buttons=["fullscreen"])
            download = gr.File(label="下载 / Download", file_count="multiple", interactive=False, elem_id="download")

    def chosen(name: str) -> tuple[Any, ...]:
        options = known[name].options
        return (
            options.get("sample_rate", 24000),
            options.get("seed", 42),
            options.get("sampling", "ras"),
            options.get("kv_cache", True),
            known[name].stream,
        )

    def hear(path: str | None) -> tuple[str, str]:
        if path is None:
            return advice(), ""
        with told():
            samples, hertz = load_recording(Path(path))
            found = measure(samples, hertz)
            if found.unusable:
                raise SpeechError("; ".join(found.unusable))
            verdict = "；".join(found.doubts) or "录音质量良好 / a good recording"
            return f"{verdict}（{found.seconds:.1f} s, SNR {found.snr:.0f} dB）", desk.transcribe(samples, hertz)

    def speak(
        said: str,
        who: str | None,
        recording: str | None,
        words: str,
        tempo: float,
        hertz: int,
        number: int,
        method: str,
        cached: bool,
        longest: int | None,
        streaming: bool,
    ) -> Iterator[dict[Any, Any]]:
        asked = {
            "speed": tempo,
            "seed": int(number or 0),
            "sampling": method,
            "kv_cache": cached,
            "whole": not streaming,
            "max_length": longest,
        }
        options, _ = honoured(desk.engine, asked)
        options |= native_rate(desk.engine, hertz)
        with told():
            if not said.strip():
                raise SpeechError("没有文本 / there is no text")
            synthesizer = desk.ready()
            cast = _cast(desk, who, recording, words)
            label = Label(desk.engine, cast.name)
            broadcast = desk.station.open(hertz, label) if streaming else None
            shown = _player(f"{desk.path}/live/{broadcast.key}") if broadcast else ""
            yield {live: shown, stats: "……", audio: None, mel: None, download: None}
            reports: list[Report] = []
            made: list[AudioChunk] = []
            titles = Subtitles(said)
            spoken = synthesizer.stream(said, cast, on_report=reports.append, **options)
            chunks = titles.hearing(spoken)
            try:
                for chunk in chunks:
                    made.append(chunk)
                    if broadcast:
                        broadcast.send(chunk)
            finally:
                spoken.close()
                if broadcast:
                    broadcast.end()
            samples = np.concatenate([chunk.samples for chunk in made])
            with tempfile.TemporaryDirectory(dir=desk.folder) as folder:
                path = Path(folder) / f"tts_{datetime.now():%Y%m%d_%H%M%S_%f}.wav"
                save(path, made, hertz, label)
                beside = [str(titles.save(path, form)) for form in FORMS]
                yield {
                    stats: numbers(reports[0], desk.engine),
                    audio: str(path),
                    mel: mel_picture(samples, made[0].sample_rate),
                    download: [str(path), *beside],
                }

    preset.change(chosen, preset, [rate, seed, sampling, cache, stream], show_progress="hidden")
    stream.change(lambda on: gr.Button(GO_LIVE if on else GO), stream, go, show_progress="hidden")
    text.change(
        lambda said: ruby(said, desk.lexicon()), text, pinyin, trigger_mode="always_last", show_progress="hidden"
    )
    reference.change(hear, reference, [quality, transcript])
    inputs = [text, voice, reference, transcript, speed, rate, seed, sampling, cache, length, stream]
    run = go.click(speak, inputs, [live, stats, audio, mel, download], concurrency_limit=8)
    stop.click(lambda: "", None, live, cancels=run, show_progress="hidden")
    page.load(lambda: gr.Dropdown(desk.voices()), None, voice, show_progress="hidden")


def _player(address: str) -> str:
    return f'<audio controls autoplay oncanplay="this.play()" src="{address}" aria-label="实时播放 / live"></audio>'


def _cast(desk: Desk, who: str | None, recording: str | None, words: str) -> Voice:
    """The voice that was picked, or the one of the recording."""
    if not recording or not desk.clones:
        return speaker(desk.ready(), desk.library, who)
    return desk.references.voice(Path(recording), words.strip())
