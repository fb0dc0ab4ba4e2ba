"""A recording becomes a voice.

Begin with `voice`, which keeps everything beside the recording: filter banks (`acoustics`, `mel`), who speaks
(`speaker`), and what was said, as tokens (`speech_tokenizer`).

May know: `device`, `published`, and `tts_service.voices`.
"""
