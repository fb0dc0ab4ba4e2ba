"""What answers.

Begin with `llm`: any OpenAI-compatible endpoint; `demo` is a dozen rules without one. Beside them the greeting, the
functions it may call, pressed keys, and the language it answers in.

May know: `agent.settings`, `g2p`, the voice as a Pipecat service; nothing of lines or of turns.
"""
