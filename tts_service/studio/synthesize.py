"""The tab Synthesize."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from pipecat_glm_tts.wording import tr
from tts_service.engine import SPEEDS, AudioChunk, SpeechError, Voice
from tts_service.speech.synthesizer import Synthesizer
from tts_service.speech.utterance import Report
from tts_service.studio.desk import Desk
from tts_service.studio.live import speech
from tts_service.studio.pictures import mel_picture, numbers, ruby
from tts_service.studio.words import told
from tts_service.voices.library import load_recording, speaker
from tts_service.voices.reference import advice, measure
from tts_service.workshop.audio_file import SAMPLE_RATES, save
from tts_service.workshop.label import Label
from tts_service.workshop.presets import honoured, native_rate, presets
from tts_service.workshop.subtitles import FORMS, Subtitles


def tab(desk: Desk, page: gr.Blocks) -> None:
    """What is said, by whom, and how it sounds first; on a phone the options come after it."""
    label, absent = desk.label, desk.absent

    def available(option: str) -> dict[str, Any]:
        return {"interactive": False, "info": label("not in the embedded engine")} if option in absent else {}

    known = presets()
    with gr.Row():
        with gr.Column(scale=5):
            text = gr.Textbox(
                label=label("Text"), lines=5, max_lines=14, elem_id="text", placeholder="重庆火锅，今天 3.5 折！"
            )
            pinyin = gr.HTML(elem_id="pinyin")
            voice = gr.Dropdown([], label=label("Voice"), elem_id="voice")
            with gr.Row(elem_classes="together"):
                go = gr.Button(label("▶ Start streaming"), variant="primary", elem_id="go", scale=3, min_width=120)
                stop = gr.Button(label("Stop"), elem_id="stop", scale=1, min_width=80)
            live = gr.HTML(elem_id="live")
            stats = gr.Markdown(elem_id="stats")
            audio = gr.Audio(
                label=label("Result"), type="filepath", interactive=False, elem_id="result", buttons=["download"]
            )
        with gr.Column(scale=4):
            preset = gr.Dropdown([], label=label("Preset"), elem_id="preset")
            stream = gr.Checkbox(True, label=label("Stream: play while it is made"), elem_id="stream")
            with gr.Accordion(label("Options"), open=False, elem_id="options"):
                speed = gr.Slider(*SPEEDS, 1, step=0.05, label=label("Speed"))
                rate = gr.Dropdown(SAMPLE_RATES, value=24000, label=label("Sample rate (Hz)"))
                seed = gr.Number(42, precision=0, minimum=0, label=label("Seed"), elem_id="seed", **available("seed"))
                sampling = gr.Radio(["ras", "topk"], value="ras", label=label("Sampling"), **available("sampling"))
                cache = gr.Checkbox(True, label=label("KV cache"), **available("kv_cache"))
                length = gr.Number(
                    None, precision=0, minimum=1, label=label("Longest segment (tokens)"), **available("max_length")
                )
            with gr.Accordion(label("Reference recording"), open=False):
                if not desk.clones:
                    gr.Markdown(desk.no_cloning)
                reference = gr.Audio(
                    label=label("Recording"), type="filepath", interactive=desk.clones, elem_id="reference"
                )
                quality = gr.Markdown()
                transcript = gr.Textbox(
                    label=label("Transcript"),
                    lines=2,
                    interactive=desk.clones,
                    info=label("recognised; please check"),
                )
            mel = gr.Image(label=label("Spectrogram"), interactive=False, elem_id="mel", buttons=["fullscreen"])
            download = gr.File(label=label("Download"), file_count="multiple", interactive=False, elem_id="download")

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
        samples, hertz = load_recording(Path(path))
        found = measure(samples, hertz)
        if found.unusable:
            raise SpeechError("; ".join(found.unusable))
        verdict = "; ".join(found.doubts) or tr("a good recording")
        return f"{verdict} ({found.seconds:.1f} s, SNR {found.snr:.0f} dB)", desk.transcribe(samples, hertz)

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
    ) -> Iterator[Any]:
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
        if not said.strip():
            raise SpeechError(tr("there is no text"))
        # Files that follow on a step that skips their component are never deleted by Gradio: every step sets them.
        empty: dict[Any, Any] = {audio: None, mel: None, download: None}
        yield (loading := {**empty, live: "", stats: tr("The voice is being loaded …")})
        synthesizer = yield from desk.ready(loading)
        cast = _cast(desk, synthesizer, who, recording, words)
        label = Label(desk.engine, cast.name)
        broadcast = desk.station.open(hertz, label) if streaming else None
        yield {**empty, live: _player(f"{desk.path}/live/{broadcast.key}") if broadcast else "", stats: "0.0 s"}
        reports: list[Report] = []
        made: list[AudioChunk] = []
        seconds = 0.0
        chunks = speech(synthesizer, said, cast, reports, **options)
        try:
            for chunk in chunks:
                if chunk is not None:
                    made.append(chunk)
                    seconds += chunk.seconds
                    if broadcast:
                        broadcast.send(chunk)
                yield {**empty, stats: f"{seconds:.1f} s"}
        finally:
            chunks.close()
            if broadcast:
                broadcast.end()
        path, titles = desk.free_name(), Subtitles(said)
        try:
            save(path, titles.hearing(made), hertz, label)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        yield {
            stats: numbers(reports[0], desk.engine),
            audio: str(path),
            mel: mel_picture(np.concatenate([chunk.samples for chunk in made]), made[0].sample_rate),
            download: [str(path), *(str(titles.save(path, form)) for form in FORMS)],
        }

    def begin() -> Iterator[Any]:
        yield {preset: gr.Dropdown(desk.presets(), value="dialogue"), quality: advice()}
        yield from desk.ready()
        everybody = desk.voices()
        yield {voice: gr.Dropdown(everybody, value=everybody[0][1] if everybody else None)}

    preset.change(chosen, preset, [rate, seed, sampling, cache, stream], show_progress="hidden")
    stream.change(
        told(lambda on: gr.Button(tr("▶ Start streaming") if on else tr("Synthesize"))),
        stream,
        go,
        show_progress="hidden",
    )
    text.change(
        lambda said: ruby(said, desk.lexicon()), text, pinyin, trigger_mode="always_last", show_progress="hidden"
    )
    reference.change(told(hear), reference, [quality, transcript])
    inputs = [text, voice, reference, transcript, speed, rate, seed, sampling, cache, length, stream]
    run = go.click(
        told(speak), inputs, [live, stats, audio, mel, download], concurrency_limit=8, show_progress_on=[stats]
    )
    stop.click(lambda: ("", ""), None, [live, stats], cancels=run, show_progress="hidden")
    page.load(told(begin), None, [preset, quality, voice], concurrency_limit=None, show_progress="hidden")


def _player(address: str) -> str:
    return f'<audio controls autoplay oncanplay="this.play()" src="{address}" aria-label="live"></audio>'


def _cast(desk: Desk, synthesizer: Synthesizer, who: str | None, recording: str | None, words: str) -> Voice:
    """The voice that was picked, or the one of the recording."""
    if not recording or not desk.clones:
        return speaker(synthesizer, desk.library, who)
    return desk.references.voice(Path(recording), words.strip())
