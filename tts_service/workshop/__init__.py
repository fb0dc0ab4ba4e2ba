"""Speech into files: batches of tasks, formats, labels, subtitles, presets, and archives from strangers.

Begin with `batch`: `tasks` come out of a `task_file`, a `maker` or a `cluster` of them speaks, `audio_file` encodes,
`label` signs, and `detector` finds the mark again.

May know: `speech`, `voices` and what is below them; no server, no page, no Pipecat.
"""
