"""What the agent counts and times, in Prometheus' words."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from tts_service import Report

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_RATIOS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)


class Metrics:
    """The counters and histograms of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.sessions = Gauge("agent_sessions", "Calls in progress.", ["transport"], registry=registry)
        self.session_limit = Gauge("agent_session_limit", "Calls accepted at the same time.", registry=registry)
        self.started = Counter("agent_sessions_started", "Calls accepted.", ["transport"], registry=registry)
        self.refused = Counter("agent_sessions_refused", "Calls turned away.", ["reason"], registry=registry)
        self.turns = Counter("agent_turns", "Answers begun, the greeting among them.", registry=registry)
        self.interruptions = Counter("agent_interruptions", "Answers cut short by the user.", registry=registry)
        self.errors = Counter("agent_errors", "Errors in conversations and syntheses.", registry=registry)
        self.voice_to_voice = Histogram(
            "agent_voice_to_voice_seconds",
            "From the end of the user's speech to the first audio of the answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.latency_part = Histogram(
            "agent_voice_to_voice_part_seconds",
            "The named parts of voice-to-voice latency.",
            ["part"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.time_to_first_audio = Histogram(
            "tts_time_to_first_audio_seconds",
            "From the first speakable text of an utterance to its first audio.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.real_time_factor = Histogram(
            "tts_real_time_factor",
            "Seconds of computation per second of speech.",
            buckets=_RATIOS,
            registry=registry,
        )
        self.queue_wait = Histogram(
            "tts_queue_wait_seconds",
            "From the first speakable text of an utterance to the engine turning to it.",
            buckets=_SECONDS,
            registry=registry,
        )

        self.underruns = Counter(
            "tts_underruns",
            "Times that playback ran dry in the middle of a text that had come in time.",
            registry=registry,
        )

    def count(self, event: str, data: dict[str, Any]) -> None:
        """Take note of something that happened in a conversation; see `agent.pipeline.Event`."""
        if event == "answer":
            self.turns.inc()
            if data["interrupted"]:
                self.interruptions.inc()
        elif event == "latency":
            self.voice_to_voice.observe(data["seconds"])
            for part, seconds in data["parts"].items():
                self.latency_part.labels(part).observe(seconds)
        elif event == "error":
            self.errors.inc()

    def report(self, report: Report) -> None:
        """Take note of what one utterance cost. Called on the engine's thread."""
        self.queue_wait.observe(report.queue_wait)
        if report.first_audio is not None:
            self.time_to_first_audio.observe(report.first_audio)
        if report.real_time_factor is not None:
            self.real_time_factor.observe(report.real_time_factor)
        self.underruns.inc(report.underruns)
        if report.error is not None:
            self.errors.inc()

    def render(self) -> bytes:
        """The present values in Prometheus' text format."""
        return generate_latest(self.registry)
