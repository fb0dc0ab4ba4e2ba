"""Batches on a Ray cluster: every worker holds an engine of its own, the files come back to whoever asked.

The package, the checkpoint and the voice library must be on every node; recordings and the dictionary travel with the
tasks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pipecat_glm_tts.extras import needs
from pipecat_glm_tts.wording import tr
from tts_service.engine import SpeechError
from tts_service.files import file_sha256, published
from tts_service.voices.library import Library
from tts_service.workshop.maker import Job, LocalMaker
from tts_service.workshop.tasks import Task

_FORGET_SECONDS = 10.0
"""How long busy workers are waited for at the end, to delete the recordings they were given."""


class Worker:
    """Lives on a node of the cluster: a `LocalMaker` that is given recordings by their content."""

    def __init__(
        self, engine: str, settings: dict[str, Any], library: Path | None, voice: str | None, dictionary: bytes | None
    ) -> None:
        import tts_service

        self._place = tempfile.TemporaryDirectory(prefix="glm-tts-worker-", ignore_cleanup_errors=True)
        self._folder = Path(self._place.name)
        lexicon = None
        if dictionary is not None:
            lexicon = self._folder / "dictionary.jsonl"
            lexicon.write_bytes(dictionary)
        self._maker = LocalMaker(
            tts_service.load(engine, **settings),
            Library(library),
            self._folder / "references",
            voice=voice,
            lexicon=lexicon,
        )

    def check(self, task: Task) -> str | None:
        """See `Maker.check`."""
        return self._maker.check(task)

    def identity(self, task: Task) -> list[str]:
        """See `Maker.identity`; not for tasks with a recording, which is not here yet."""
        return self._maker.identity(task)

    def make(
        self, job: Job, recording: bytes | None, suffix: str
    ) -> tuple[bytes, bytes | None, float, float | None] | str:
        """The file of a job with what `Maker.make` returns, or why there is none."""
        if recording is not None:
            path = self._folder / "prompt_audio"
            path.write_bytes(recording)
            job = replace(job, task=replace(job.task, prompt_audio=path))
        made = self._folder / f"made{suffix}"
        try:
            seconds, rtf = self._maker.make(job, made)
        except SpeechError as error:
            return str(error)
        titles = made.with_suffix(f".{job.subtitles}").read_bytes() if job.subtitles else None
        return made.read_bytes(), titles, seconds, rtf

    def forget(self) -> None:
        """Delete the recordings and what was made of them; nothing can be made afterwards."""
        self._place.cleanup()


class RayMaker:
    """Hands every job to whichever worker is free; see `tts_service.workshop.maker.Maker`."""

    def __init__(self, ray: Any, workers: list[Any], engine: str, voice: str | None, dictionary: Path | None) -> None:
        self._ray = ray
        self._any = workers[0]
        self._free: SimpleQueue[Any] = SimpleQueue()
        for worker in workers:
            self._free.put(worker)
        self._engine = engine
        self._voice = voice
        self._dictionary = file_sha256(dictionary) if dictionary else ""

    def identity(self, task: Task) -> list[str]:
        """See `Maker.identity`."""
        if task.prompt_audio and not (task.voice or self._voice):
            return [self._engine, self._dictionary, file_sha256(task.prompt_audio), task.prompt_text or ""]
        return self._ask(self._any.identity.remote(replace(task, prompt_audio=None)))

    def check(self, task: Task) -> str | None:
        """See `Maker.check`."""
        return self._ask(self._any.check.remote(task))

    def make(self, job: Job, path: Path) -> tuple[float, float | None]:
        """See `Maker.make`."""
        recording = job.task.prompt_audio.read_bytes() if job.task.prompt_audio else None
        worker = self._free.get()
        try:
            made = self._ask(worker.make.remote(job, recording, path.suffix))
        finally:
            self._free.put(worker)
        if isinstance(made, str):
            raise SpeechError(made)
        content, titles, seconds, rtf = made
        if titles is not None:
            with published(path.with_suffix(f".{job.subtitles}")) as file:
                file.write(titles)
        with published(path) as file:
            file.write(content)
        return seconds, rtf

    def stop(self) -> None:
        """Jobs on their way are finished by the workers and thrown away."""

    def _ask(self, answer: Any) -> Any:
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            raise SpeechError(tr("the cluster failed: {error}", error=str(error).strip().splitlines()[-1])) from error


@contextmanager
def ray_workers(
    address: str,
    count: int,
    engine: str,
    settings: dict[str, Any],
    *,
    library: Path | None = None,
    voice: str | None = None,
    dictionary: Path | None = None,
) -> Iterator[RayMaker]:
    """Workers on a cluster, for the length of a block.

    Args:
        address: Of the cluster (`auto`, `ray://host:10001`), or `local` for one on this machine.
        count: Workers; each needs a core, and a GPU for GLM-TTS where the cluster has any.
        engine: What they speak with; `settings` go to its `load`.
        settings: See `tts_service.load`.
        library: Folder of recorded voices on the nodes; None: the user's there.
        voice: As for `LocalMaker`.
        dictionary: Custom dictionary file here.

    Raises:
        SpeechError: Ray is not installed, or the cluster cannot be reached.
    """
    with needs("ray"):
        import ray
    local: dict[str, Any] = {"num_cpus": count, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, **local)
        gpus = 1 if engine == "glm" and ray.cluster_resources().get("GPU") else 0
        worker = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=-1, max_task_retries=1)(Worker)
        content = dictionary.read_bytes() if dictionary else None
        workers: list[Any] = [worker.remote(engine, settings, library, voice, content) for _ in range(count)]
        maker = RayMaker(ray, workers, engine, voice, dictionary)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        ray.shutdown()
        raise SpeechError(
            tr("the Ray cluster {address} cannot be used: {error}", address=address, error=error)
        ) from error
    try:
        yield maker
    finally:
        ray.wait([worker.forget.remote() for worker in workers], num_returns=count, timeout=_FORGET_SECONDS)
        ray.shutdown()
