"""The tab Voices."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from pipecat_glm_tts.wording import tr
from tts_service.engine import AudioChunk, SpeechError
from tts_service.kokoro.matching.voices import Matched, result
from tts_service.studio.desk import Desk
from tts_service.studio.live import speech
from tts_service.studio.words import told
from tts_service.voices.library import load_recording, speaker
from tts_service.voices.reference import advice, measure
from tts_service.workshop.audio_file import save
from tts_service.workshop.label import Label

SAMPLE = "你好，很高兴认识你。Nice to meet you."


def tab(desk: Desk, page: gr.Blocks) -> None:
    """The library, a form to add to it, and two voices side by side."""
    label = desk.label
    if not desk.clones:
        gr.Markdown(desk.no_cloning)
    with gr.Row():
        with gr.Column():
            gr.Markdown(label("**Library**"))
            names = gr.Dropdown(desk.library.names(), label=label("Voice"), elem_id="library", value=None)
            card = gr.Markdown(elem_id="card")
            recording = gr.Audio(label=label("Recording"), interactive=False, type="filepath")
            with gr.Row(visible=not desk.clones):
                patience = gr.Radio(
                    [(label("fast"), "fast"), (label("closer, in minutes"), "best")],
                    value="fast",
                    label=label("Voice matching (embedded)"),
                )
                bring = gr.Button(label("Match"), variant="primary", elem_id="match")
            sure = gr.Checkbox(False, label=label("Yes, delete it"))
            delete = gr.Button(label("Delete"), variant="stop")
        with gr.Column():
            gr.Markdown(label("**Add**"))
            file = gr.Audio(
                label=label("Recording"), type="filepath", sources=["upload", "microphone"], elem_id="new-voice"
            )
            quality = gr.Markdown(elem_id="quality")
            name = gr.Textbox(label=label("Name"), max_lines=1, elem_id="new-name")
            transcript = gr.Textbox(label=label("Transcript"), lines=2, elem_id="new-transcript")
            consent = gr.Textbox(
                label=label("Consent"),
                lines=2,
                info=label("who allowed the cloning, how and for what"),
                elem_id="new-consent",
            )
            language = gr.Radio([(label("Mandarin"), "zh"), ("English", "en")], value="zh", label=label("Language"))
            add = gr.Button(label("Add to the library"), variant="primary", elem_id="add-voice")
    gr.Markdown(label("**Compare**"))
    text = gr.Textbox(SAMPLE, label=label("Text"), max_lines=3)
    with gr.Row():
        sides = []
        for side in "AB":
            with gr.Column():
                who = gr.Dropdown([], label=label("Voice A") if side == "A" else label("Voice B"))
                sides.append((who, gr.Audio(label=side, interactive=False, type="filepath")))
    players = [player for _, player in sides]
    compare = gr.Button(label("Compare"), elem_id="compare")

    def show(chosen: str | None) -> tuple[str, str | None]:
        if not chosen:
            return "", None
        entry, path = desk.library.card(chosen), desk.library.audio(chosen)
        found = measure(*load_recording(path))
        verdict = "; ".join([*found.unusable, *found.doubts]) or tr("a good recording")
        lines = [
            f"{tr('Language')}: {entry.language}",
            f"{tr('Transcript')}: {_plain(entry.transcript)}",
            f"{tr('Consent')}: {_plain(entry.consent)}",
            f"{tr('Added')}: {entry.created}",
            f"{tr('Quality')}: {verdict} ({found.seconds:.1f} s, SNR {found.snr:.0f} dB)",
        ]
        if (match := result(desk.library, chosen)) is not None:
            lines.append(f"{tr('Voice matching (embedded)')}: {_nearness(match)}")
        return "  \n".join(lines), str(path)

    def hear(path: str | None) -> tuple[str, str]:
        if path is None:
            return advice(), ""
        samples, rate = load_recording(Path(path))
        found = measure(samples, rate)
        verdict = "; ".join([*found.unusable, *found.doubts]) or tr("a good recording")
        return verdict, "" if found.unusable else desk.transcribe(samples, rate)

    def store(path: str | None, called: str, words: str, allowed: str, tongue: str) -> tuple[Any, str]:
        if path is None:
            raise SpeechError(tr("give a recording first"))
        samples, rate = load_recording(Path(path))
        if unusable := measure(samples, rate).unusable:
            raise SpeechError("; ".join(unusable))
        added = desk.library.add(Path(path), name=called, transcript=words, consent=allowed, language=tongue)
        gr.Info(tr("added: {name}", name=added.name))
        return gr.Dropdown(desk.library.names(), value=added.name), ""

    def bring_near(chosen: str | None, how: str, bar: gr.Progress = gr.Progress()) -> str:  # noqa: B008 (so Gradio wants it)
        from tts_service.kokoro.matching.fitting import fit

        if not chosen:
            raise SpeechError(tr("choose a voice first"))
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
        if not chosen:
            raise SpeechError(tr("choose a voice first"))
        if not certain:
            raise SpeechError(tr("tick the box to confirm"))
        desk.library.remove(chosen)
        return gr.Dropdown(desk.library.names(), value=None), False

    def both(said: str, *chosen: str | None) -> Iterator[Any]:
        yield (empty := dict.fromkeys(players))
        synthesizer = yield from desk.ready(empty)
        # Others compare too. What is yielded is copied for the page before the folder goes.
        with tempfile.TemporaryDirectory(dir=desk.folder) as folder:
            made: dict[Any, str] = {}
            for player, who in zip(players, chosen, strict=True):
                cast = speaker(synthesizer, desk.library, who)
                pieces: list[AudioChunk] = []
                with closing(speech(synthesizer, said, cast, [])) as chunks:
                    for chunk in chunks:
                        pieces += [chunk] if chunk else []
                        yield empty
                path = Path(folder) / f"compare_{player.label}_{cast.name}.wav"
                save(path, pieces, synthesizer.sample_rate, Label(desk.engine, cast.name))
                made[player] = str(path)
            yield made

    def everybody() -> list[Any]:
        known = desk.voices()
        return [gr.Dropdown(known, value=known[0][1] if known else None) for _ in sides]

    def begin() -> Iterator[Any]:
        yield {quality: advice()}
        yield from desk.ready()
        yield dict(zip((who for who, _ in sides), everybody(), strict=True))

    names.change(told(show), names, [card, recording])
    file.change(told(hear), file, [quality, transcript])
    add.click(told(store), [file, name, transcript, consent, language], [names, name])
    bring.click(told(bring_near), [names, patience], card, concurrency_limit=1).then(
        told(everybody), None, [who for who, _ in sides]
    )
    delete.click(told(remove), [names, sure], [names, sure])
    compare.click(told(both), [text, *(who for who, _ in sides)], players, concurrency_limit=2)
    page.load(told(begin), None, [quality, *(who for who, _ in sides)], concurrency_limit=None, show_progress="hidden")


def _nearness(found: Matched) -> str:
    return tr(
        "similarity {before:.2f} -> {after:.2f}; Whisper misheard {errors} words or syllables in {sentences} sentences",
        before=found.match.before,
        after=found.match.after,
        errors=found.errors[1],
        sentences=found.sentences,
    )


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"&#{ord(char)};" if not char.isalnum() and not char.isspace() else char for char in text)
