import json
import os
import signal

import pytest

from tts_service.workshop.batch import REPORT, Batch
from tts_service.workshop.cluster import ray_workers

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    """Two workers on a cluster of this machine, which read by a dictionary."""
    dictionary = tmp_path_factory.mktemp("cluster") / "dict.jsonl"
    dictionary.write_text('{"word": "X", "phoneme": "非常非常非常非常长的读法"}\n', encoding="utf-8")
    with ray_workers("local", 2, "kokoro", {}, dictionary=dictionary) as maker:
        yield maker
        places = [inside(worker, lambda it: it._folder) for worker in workers(maker)]
        assert all(place.is_dir() for place in places)
    assert not any(place.exists() for place in places), "people's recordings stay behind"


def workers(maker):
    both = [maker._free.get(), maker._free.get()]
    for worker in both:
        maker._free.put(worker)
    return both


def inside(worker, look):
    """What a function says of the worker, in the worker's process."""
    return ray.get(worker.__ray_call__.remote(look))


def run(folder, maker, *tasks):
    (folder / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in tasks))
    work = Batch(folder / "tasks.jsonl", folder / "out", maker, jobs=2)
    return work, {outcome.task: outcome for outcome in work.run()}


def test_two_workers_share_a_batch_and_one_report_tells_of_it(tmp_path, maker):
    work, outcomes = run(
        tmp_path,
        maker,
        {"input_text": "第一句。"},
        {"input_text": "二", "prompt_audio": "ref_voice_child.wav"},
        {"input_text": "X", "voice": "song"},
        {"input_text": "……"},
        {"input_text": "五", "voice": "nobody"},
        {"input_text": "第六句。"},
    )
    assert {number: outcome.status for number, outcome in outcomes.items() if outcome.status != "failed"} == {
        1: "done",
        3: "done",
        6: "done",
    }
    assert "not found" in outcomes[2].error
    assert "nothing to say" in outcomes[4].error
    assert "available: lian" in outcomes[5].error
    assert outcomes[3].seconds > outcomes[1].seconds  # the dictionary has travelled along
    assert outcomes[1].rtf > 0
    assert len((tmp_path / "out" / REPORT).read_text().splitlines()) == 6
    assert work.archive().exists()
    assert all(inside(worker, lambda self: any(self._folder.glob("made.*"))) for worker in workers(maker))
    assert {outcome.status for outcome in run(tmp_path, maker, {"input_text": "第一句。"})[1].values()} == {"kept"}


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_worker_that_dies_is_replaced(tmp_path, maker):
    for worker in workers(maker):
        os.kill(inside(worker, lambda self: os.getpid()), signal.SIGKILL)
    _, outcomes = run(tmp_path, maker, {"input_text": "第一句。"}, {"input_text": "第二句。"})
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
