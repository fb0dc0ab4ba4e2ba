"""The tab Watermark."""

from __future__ import annotations

import gradio as gr

from pipecat_glm_tts.wording import tr
from tts_service.studio.desk import Desk
from tts_service.studio.words import told
from tts_service.workshop.detector import Mark, detect


def tab(desk: Desk) -> None:
    """A place to drop a recording, and what it tells."""
    recording = gr.File(
        label=desk.label("Recordings: WAV, FLAC, MP3, Opus, M4A"),
        file_types=[".wav", ".flac", ".mp3", ".opus", ".ogg", ".m4a"],
        elem_id="suspect",
    )
    found = gr.Markdown(elem_id="found")
    recording.upload(told(look), recording, found)


def look(path: str) -> str:
    """What is found in a recording, in words."""
    said = {
        Mark.MARKED: tr("marked"),
        Mark.NOT_MARKED: tr("not marked"),
        Mark.UNKNOWN: tr("cannot tell"),
    }
    detection = detect(path)
    return tr(
        "**{mark}** · score {score:.1f}, by chance {chance:.0e}, from {begin:.0f} to {end:.0f} s · {metadata}",
        mark=said[detection.mark],
        score=detection.score,
        chance=detection.chance,
        begin=detection.begin,
        end=detection.end,
        metadata=tr("with an AIGC field") if detection.label else tr("without an AIGC field"),
    )
