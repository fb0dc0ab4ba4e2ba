"""OpenAI's Realtime API, spoken by the agent's own pipeline: voice in, voice out, over one websocket.

`asked` is what a client may send, `items` the conversation as both it and the brain see it, `answer` a response and the
events that it consists of, `session` one client, `transport` the pipeline's ends. The line that takes calls is
`agent.transports.realtime`.
"""
