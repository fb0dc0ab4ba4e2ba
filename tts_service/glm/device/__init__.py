"""What an accelerator asks of everything that runs on it.

Begin with `graphs`: work that is recorded once and replayed. `fetch` copies without waiting, `memory` counts,
`precision` rounds, `joined` puts products side by side, `noise` draws numbers that depend on nothing but their place.

May know: torch, and the errors of `tts_service.engine`; nothing of the model.
"""
