"""The tab 水印 / Watermark."""

from __future__ import annotations

import gradio as gr

from tts_service.detector import Mark, detect
from tts_service.studio.desk import told

SAID = {
    Mark.MARKED: "✅ 有水印 / marked",
    Mark.NOT_MARKED: "没有水印 / not marked",
    Mark.UNKNOWN: "无法判断 / cannot tell",
}


def tab() -> None:
    """A place to drop a recording, and what it tells."""
    recording = gr.File(
        label="录音 / Recording (WAV, FLAC, MP3, Opus, M4A)",
        file_types=[".wav", ".flac", ".mp3", ".opus", ".ogg", ".m4a"],
        elem_id="suspect",
    )
    found = gr.Markdown(elem_id="found")
    recording.upload(_found, recording, found)


def _found(path: str) -> str:
    with told():
        detection = detect(path)
    made = "有 AIGC 字段 / with an AIGC field" if detection.label else "无标识 / none"
    return (
        f"**{SAID[detection.mark]}** · {detection.begin:.0f}–{detection.end:.0f} s · "
        f"得分 / score {detection.score:.1f} · 偶然 / by chance {detection.chance:.0e} · 元数据 / metadata: {made}"
    )
