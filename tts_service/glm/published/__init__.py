"""The published checkpoint: fetched (`download`) and read (`checkpoint`), trusting no byte of it.

Begin with `checkpoint`, where every network takes its weights from. May know: `tts_service.engine` and `files`.
"""
