"""What hears.

Begin with `stt`, Pipecat's door to the recogniser that all calls share. `sherpa` is for those who bring SenseVoice or
Paraformer.

May know: `tts_service.voices`, and `agent.turns` for what can be told before a word is finished.
"""
