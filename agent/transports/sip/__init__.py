"""A SIP telephone, with nothing of the agent in it.

Begin with `endpoint`, which takes, places and registers calls. `call` is one of them: messages (`wire`), what two
phones agree on (`sdp`), and sound (`rtp`). `agent.transports.sip_line` is how the agent uses it.

May know: the resampler beside it, and the settings by their type alone.
"""
