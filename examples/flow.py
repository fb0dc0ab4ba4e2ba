"""A conversation with a plan, by Pipecat Flows: a table is booked, one question at a time, with this voice.

Needs what bot.py beside it needs, whose ears, brain and pipeline it takes; then open http://localhost:7860:

    OPENAI_API_KEY=... python examples/flow.py
"""

from typing import Any

from bot import converse  # first, so that ONNX Runtime, which Pipecat imports, reports to nobody

# isort: split

from pipecat.flows import FlowManager, NodeConfig
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.runner.types import RunnerArguments
from pipecat.services.openai.llm import OpenAILLMService

Next = tuple[dict[str, Any], NodeConfig]
"""What the brain is told of its call, and where the conversation goes."""


async def note_people(flow_manager: FlowManager, people: int) -> Next:
    """Note how many will come.

    Args:
        flow_manager: Pipecat's, with what was noted so far.
        people: How many.
    """
    flow_manager.state["people"] = people
    return {"noted": people}, asking_for("time", "问客人什么时候来，问到就记下。", note_time)


async def note_time(flow_manager: FlowManager, time: str) -> Next:
    """Note when they will come.

    Args:
        flow_manager: Pipecat's, with what was noted so far.
        time: As it is said in Mandarin, such as 晚上七点.
    """
    flow_manager.state["time"] = time
    return {"noted": time}, booked()


def asking_for(name: str, task: str, function: Any) -> NodeConfig:
    """A step in which the brain asks, until it calls the function that leads on."""
    return NodeConfig(
        name=name,
        role_message="你在电话里替餐厅接受预订。用一句话，不用 Markdown。",
        task_messages=[{"role": "developer", "content": task}],
        functions=[function],
    )


def booked() -> NodeConfig:
    """The last step: what was noted is said by the voice itself, without the brain."""
    said = "好的，{{ people }}位，{{ time }}，恭候光临。"
    return NodeConfig(
        name="booked",
        task_messages=[],
        respond_immediately=False,
        pre_actions=[{"type": "tts_say", "text": said}],
        post_actions=[{"type": "end_conversation"}],
    )


async def bot(runner_args: RunnerArguments) -> None:
    """One booking; the runner calls this for every client."""

    async def begin(worker: PipelineWorker, brain: OpenAILLMService, pair: LLMContextAggregatorPair) -> None:
        manager = FlowManager(worker=worker, llm=brain, context_aggregator=pair)
        await manager.initialize(asking_for("people", "问好，并问几位用餐，问到就记下。", note_people))

    await converse(runner_args, begin)


if __name__ == "__main__":
    from pipecat.runner.run import main

    main()
