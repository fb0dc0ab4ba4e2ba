"""A bot for Pipecat's runner, with this voice; ears and brain are OpenAI's, or whatever speaks like them.

Needs `pip install 'pipecat-ai[runner,webrtc,cli]'` beside this package (`webrtc` to talk to it, `cli` to evaluate it).

    OPENAI_API_KEY=... python examples/bot.py            # then open http://localhost:7860
    pipecat eval run examples/bot_eval.yaml              # while it runs: is it still the same bot?
"""

import os
from collections.abc import Awaitable, Callable

from pipecat_glm_tts import GLMTTSService, load  # first, so that ONNX Runtime, which Pipecat imports, reports to nobody

# isort: split

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.evals.transport import EvalTransportParams
from pipecat.frames.frames import TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.runner.types import RunnerArguments
from pipecat.runner.utils import create_transport
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.openai.stt import OpenAISTTService
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.workers.runner import WorkerRunner

VOICE = load("kokoro")  # once per process; every session shares it

KEY, ENDPOINT = os.environ.get("OPENAI_API_KEY", "none"), os.environ.get("OPENAI_BASE_URL")
TRANSPORTS = {
    "webrtc": lambda: TransportParams(audio_in_enabled=True, audio_out_enabled=True),
    "eval": lambda: EvalTransportParams(audio_in_enabled=True, audio_out_enabled=True),
}


Begin = Callable[[PipelineWorker, OpenAILLMService, LLMContextAggregatorPair], Awaitable[None]]


async def bot(runner_args: RunnerArguments) -> None:
    """One conversation; the runner calls this for every client."""

    async def greet(worker: PipelineWorker, *_: object) -> None:
        await worker.queue_frames([TTSSpeakFrame("你好，很高兴认识你。", append_to_context=True)])

    await converse(runner_args, greet)


async def converse(runner_args: RunnerArguments, begin: Begin) -> None:
    """Ears, brain and voice for one client; `begin` is called when it is there."""
    transport: BaseTransport = await create_transport(runner_args, TRANSPORTS)
    context = LLMContext()
    pair = LLMContextAggregatorPair(context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer()))
    settings = OpenAILLMService.Settings(
        model=os.environ.get("OPENAI_MODEL", "gpt-4.1-mini"),
        system_instruction="你在打电话。用一两句话回答，不用 Markdown。",
    )
    brain = OpenAILLMService(api_key=KEY, base_url=ENDPOINT, settings=settings)
    worker = PipelineWorker(
        Pipeline(
            [
                transport.input(),
                OpenAISTTService(api_key=KEY, base_url=ENDPOINT, settings=OpenAISTTService.Settings(language=None)),
                pair.user(),
                brain,
                GLMTTSService(synthesizer=VOICE, settings=GLMTTSService.Settings(voice="lian")),
                transport.output(),
                pair.assistant(),
            ]
        ),
        params=PipelineParams(audio_out_sample_rate=VOICE.sample_rate, enable_metrics=True),
    )

    @transport.event_handler("on_client_connected")
    async def connected(transport: BaseTransport, client: object) -> None:
        await begin(worker, brain, pair)

    @transport.event_handler("on_client_disconnected")
    async def end(transport: BaseTransport, client: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)
    await runner.add_workers(worker)
    await runner.run()


if __name__ == "__main__":
    from pipecat.runner.run import main

    main()
