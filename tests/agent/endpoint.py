"""A fake OpenAI-compatible endpoint that can misbehave."""

import asyncio
import json
from contextlib import asynccontextmanager

from aiohttp import web


class Endpoint:
    """Answers chat completions as `manner` says; keeps what it was asked."""

    def __init__(self):
        self.manner = "answer"
        self.text = "今天天气很好。"
        self.call = ("get_current_time", "{}")
        self.requests = []
        self.disconnected = asyncio.Event()

    @asynccontextmanager
    async def running(self):
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        # A handler that hangs is cancelled when its client goes away.
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()

    async def _complete(self, request):
        self.requests.append(await request.json())
        try:
            return await getattr(self, f"_{self.manner}")(request)
        except asyncio.CancelledError:
            self.disconnected.set()
            raise

    async def _stream(self, request, *lines):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for line in lines:
            await response.write(line if isinstance(line, bytes) else f"data: {json.dumps(line)}\n\n".encode())
        return response

    async def _answer(self, request):
        return await self._stream(request, *(delta(content=char) for char in self.text), b"data: [DONE]\n\n")

    async def _tool(self, request):
        if any(message["role"] == "tool" for message in self.requests[-1]["messages"]):
            return await self._answer(request)
        name, arguments = self.call
        call = {"index": 0, "id": "call_1", "function": {"name": name, "arguments": arguments}}
        return await self._stream(request, delta(tool_calls=[call]), b"data: [DONE]\n\n")

    async def _thinking(self, request):
        parts = ("<thi", "nk>用户在", "问天气</th", "ink>\n\n", "今天", "晴。")
        return await self._stream(request, *(delta(content=part) for part in parts), b"data: [DONE]\n\n")

    async def _thinking_for_long(self, request):
        response = await self._stream(request)
        for field in ("reasoning_content", "content"):
            for part in ("<think>", *"想" * 6, "</think>") if field == "content" else "想" * 6:
                await response.write(f"data: {json.dumps(delta(**{field: part}))}\n\n".encode())
                await asyncio.sleep(0.1)
        for line in (delta(content="今天晴。"),):
            await response.write(f"data: {json.dumps(line)}\n\ndata: [DONE]\n\n".encode())
        return response

    async def _thinking_unopened(self, request):
        parts = ("用户在问", "天气</th", "ink>", "今天晴。")
        return await self._stream(request, *(delta(content=part) for part in parts), b"data: [DONE]\n\n")

    async def _bad_arguments(self, request):
        call = {"index": 0, "id": "call_1", "function": {"name": "get_current_time", "arguments": "{bad"}}
        return await self._stream(request, delta(tool_calls=[call]), b"data: [DONE]\n\n")

    async def _tool_again(self, request):
        name = f"call_{len(self.requests)}"
        call = {"index": 0, "id": name, "function": {"name": "get_current_time", "arguments": "{}"}}
        return await self._stream(request, delta(tool_calls=[call]), b"data: [DONE]\n\n")

    async def _emoji(self, request):
        return await self._stream(request, delta(content="😊"), b"data: [DONE]\n\n")

    async def _busy(self, request):
        return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0.1"})

    async def _busy_once(self, request):
        return await (self._busy if len(self.requests) == 1 else self._answer)(request)

    async def _full(self, request):
        if sum(len(message["content"]) for message in self.requests[-1]["messages"][1:]) < 100:
            return await self._answer(request)
        error = {"message": "This model's maximum context length is 100 tokens", "code": "context_length_exceeded"}
        return web.json_response({"error": error}, status=400)

    async def _never(self, request):
        await asyncio.Event().wait()

    async def _stall(self, request):
        await self._stream(request, delta(content="今天"))
        await asyncio.Event().wait()

    async def _drip(self, request):
        response = await self._stream(request)
        while True:
            await response.write(b": keep-alive\n\n")
            await asyncio.sleep(0.02)

    async def _html(self, request):
        return web.Response(text="<html>It works!</html>", content_type="text/html")

    async def _empty(self, request):
        return await self._stream(request, b"data: [DONE]\n\n")

    async def _blank(self, request):
        return await self._stream(request, delta(content=" \n\x00… "), b"data: [DONE]\n\n")

    async def _broken_json(self, request):
        return await self._stream(request, b'data: {"choices": [{"delta"\n\n')

    async def _wrong_types(self, request):
        return await self._stream(request, {"choices": "none today"}, b"data: [DONE]\n\n")

    async def _number(self, request):
        return await self._stream(request, delta(content=42), b"data: [DONE]\n\n")

    async def _binary(self, request):
        return await self._stream(request, bytes(range(256)) * 8)

    async def _error_in_stream(self, request):
        return await self._stream(request, {"error": {"message": "out of memory"}})

    async def _overloaded(self, request):
        return web.json_response({"error": {"message": "overloaded"}}, status=503)

    async def _unauthorized(self, request):
        return web.json_response({"error": {"message": "bad key"}}, status=401)

    async def _hang_up(self, request):
        await self._stream(request)
        request.transport.abort()


def delta(**fields):
    return {
        "id": "1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "fake",
        "choices": [{"index": 0, "delta": fields, "finish_reason": None}],
    }
