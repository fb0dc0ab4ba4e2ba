"""Callers who come, go, hang up and break things at random, and what became of them."""

import itertools
import random
import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean

import numpy as np
import torch

from tts_service.engine import SpeechError, SynthesisOptions
from tts_service.glm import scheduler as scheduler_module

TEXTS = ("今天天气很好。", "我们去公园散步吧。", "请问您需要什么？")
SEEDS = (1, 2)
PREFILL_FAILS, STEP_FAILS, FLOW_FAILS = 1001, 1002, 1003
"""Seeds of callers in whose company something breaks."""


@contextmanager
def faults(scheduler):
    """Break the models for whoever has one of the seeds above, in a batch or alone."""
    decoder, together = scheduler._decoder, scheduler_module.work_through
    prefill, step = decoder.prefill, decoder.step

    def failing_prefill(row, prompt, limits, method, seed):
        if seed == PREFILL_FAILS:
            raise torch.OutOfMemoryError("injected")
        prefill(row, prompt, limits, method, seed)

    def failing_step(begin, end, seen, span):
        step(begin, end, seen, span)
        state = decoder._state
        if (state.seed[begin:end][state.moving[begin:end]] == STEP_FAILS).any():
            raise RuntimeError("injected")

    def failing_together(streams, stops):
        if any(stream._seed == FLOW_FAILS for stream in streams):
            raise torch.OutOfMemoryError("injected")
        return together(streams, stops)

    decoder.prefill, decoder.step, scheduler_module.work_through = failing_prefill, failing_step, failing_together
    try:
        yield
    finally:
        decoder.prefill, decoder.step, scheduler_module.work_through = prefill, step, together


@dataclass
class Outcome:
    """What happened to all utterances."""

    finished: list = field(default_factory=list)
    """(text, seed, samples)."""
    failed: Counter = field(default_factory=Counter)
    """By seed."""
    cancelled: int = 0
    waits: dict = field(default_factory=lambda: defaultdict(list))
    """Queue waits in seconds, by caller."""

    @property
    def unfairness(self):
        """The mean queue wait of the caller who waited most, over the mean of all callers' means."""
        means = [mean(waits) for waits in self.waits.values()]
        return max(means) / mean(means)


def say(synthesizer, text, seed, patience=None):
    """Speak; give up after `patience` seconds. Returns samples, error and report."""
    chunks, ended, errors = [], threading.Event(), []

    def end(error):
        errors.append(error)
        ended.set()

    options = SynthesisOptions(seed=seed, max_length=36)
    utterance = synthesizer.open(on_chunk=chunks.append, on_end=end, options=options, real_time=False, max_lead=1e9)
    utterance.feed(text)
    utterance.end()
    if not ended.wait(patience):
        utterance.cancel()
    assert ended.wait(120), "an utterance never ended"
    samples = np.concatenate([chunk.samples for chunk in chunks]) if chunks else np.zeros(0, np.float32)
    return samples, errors[0], utterance.report


def crowd(synthesizer, callers, seconds, least=1, seed=0):
    """Let so many callers come and go for a while, each at least so many times.

    One in five hangs up, one in ten breaks something.
    """
    outcome, lock, closing = Outcome(), threading.Lock(), time.monotonic() + seconds

    def live(number):
        dice = random.Random(f"{seed} {number}")
        turns = itertools.count()
        while next(turns) < least or time.monotonic() < closing:
            threading.Event().wait(dice.expovariate(2.0))
            fate = dice.random()
            mine = dice.choice((PREFILL_FAILS, STEP_FAILS, FLOW_FAILS) if fate < 0.1 else SEEDS)
            text = dice.choice(TEXTS)
            samples, error, report = say(synthesizer, text, mine, dice.uniform(0, 2) if fate > 0.8 else None)
            with lock:
                if report.cancelled:
                    outcome.cancelled += 1
                    continue
                outcome.waits[number].append(report.queue_wait)
                if error is not None:
                    outcome.failed[mine] += 1
                else:
                    outcome.finished.append((text, mine, samples))

    threads = [threading.Thread(target=live, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcome


def alone(synthesizer, wanted):
    """What each (text, seed) sounds like with nobody else around."""
    sounds = {}
    for text, seed in wanted:
        samples, error, _ = say(synthesizer, text, seed)
        if error is not None:
            raise SpeechError(f"{text} with seed {seed} fails even alone") from error
        sounds[text, seed] = samples
    return sounds
