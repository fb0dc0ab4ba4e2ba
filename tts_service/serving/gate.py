"""Who and what may come in: host, origin, token and size, checked before any other code sees a request."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tts_service.serving.refusals import refusal

MAX_BODY = 64 * 1024
"""Bytes. An SDP offer with audio and a data channel is about 3 KB; a dozen network interfaces make it 8."""
BODY_SECONDS = 10.0

TOKEN_PROTOCOL = "openai-insecure-api-key."
"""Begins the subprotocol that carries the token where a websocket is opened by a page."""
API_PATHS = ("/v1/", "/dev/")
"""Below these, programs of others are spoken to: in their form of an error, and from pages that the settings name."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether listening on `host` can be reached from this computer only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Gate:
    """ASGI middleware in front of everything.

    On loopback the `Host` header must name this computer, so that a web page elsewhere cannot reach the agent through
    a DNS name that it points at 127.0.0.1. Browsers send `Origin`; it must be the page that we served, or, below the
    API's paths, one that the settings name. With a token, every path but the open ones asks for
    `Authorization: Bearer`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        token: str | None,
        open_paths: Iterable[str],
        public_host: str | None = None,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        max_body: int = MAX_BODY,
        roomy_paths: Mapping[str, int] | None = None,
    ) -> None:
        """Guard `app`.

        Args:
            app: What lies behind the gate.
            host: The address listened on.
            token: Asked of every client when set.
            open_paths: Paths served without the token; one that ends in `/` stands for all below it.
            public_host: A name under which a tunnel or proxy brings requests to loopback.
            hosts: Further names under which programs reach a loopback address.
            origins: Other pages that may call the API; `*`: all.
            max_body: Bytes of request body accepted.
            roomy_paths: Bytes accepted below certain paths instead.
        """
        self.app = app
        self.token = token
        self.max_body = max_body
        self._roomy_paths = dict(roomy_paths or {})
        own = {"localhost", "127.0.0.1", "::1", host, public_host or host, *hosts}
        self._hosts = own if is_loopback(host) else None
        self._origins = frozenset(origins)
        self._open_paths = tuple(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request and pass it on."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal:
                return await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
            return await self.app(scope, receive, send)

        origin = self._guest(scope)
        without_body = scope["method"] == "HEAD"

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (SECURITY_HEADERS | (_open_to(origin) if origin else {})).items():
                    headers.setdefault(name, value)
            elif without_body:
                message = {**message, "body": b""}
            await send(message)

        if refusal:
            await _answer(scope["path"], *refusal)(scope, receive, send_secured)
        elif origin and scope["method"] == "OPTIONS":
            await Response(status_code=204)(scope, receive, send_secured)
        elif without_body:
            await self._pass_bounded({**scope, "method": "GET"}, receive, send_secured)
        else:
            await self._pass_bounded(scope, receive, send_secured)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason, or None when the request may pass."""
        headers = Headers(scope=scope)
        authority = headers.get("host", "")
        if self._hosts is not None and _hostname(authority) not in self._hosts:
            return 421, (
                f"this agent answers to {', '.join(sorted(self._hosts))}, not to {authority[:100]!r}; "
                f"if that is a name of this computer, add it: --set 'api.hosts=[{_hostname(authority) or 'NAME'}]'"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != authority and not self._guest(scope):
            hint = f"; to let it, add it: --set 'api.origins=[{origin[:100]}]'" if _is_api(scope["path"]) else ""
            return 403, f"the page at {origin[:100]!r} may not use this agent{hint}"
        length = headers.get("content-length", "0")
        limit = self._limit(scope["path"])
        if not length.isdecimal() or int(length) > limit:
            return 413, f"the body may have {limit} bytes at most"
        asks_leave = scope.get("method") == "OPTIONS" and self._guest(scope)  # browsers send no token with that
        guarded = self.token is not None and not self._is_open(scope["path"]) and not asks_leave
        if guarded and not hmac.compare_digest(_given_token(scope, headers).encode(), (self.token or "").encode()):
            return 401, "send the token of this agent as 'Authorization: Bearer <token>'"
        return None

    def _guest(self, scope: Scope) -> str | None:
        """The page elsewhere that calls the API and may."""
        origin = Headers(scope=scope).get("origin")
        allowed = origin is not None and _is_api(scope["path"]) and not self._origins.isdisjoint((origin, "*"))
        return origin if allowed else None

    def _is_open(self, path: str) -> bool:
        return any(
            path == known or (known.endswith("/") and known != "/" and path.startswith(known))
            for known in self._open_paths
        )

    def _limit(self, path: str) -> int:
        return next((size for start, size in self._roomy_paths.items() if path.startswith(start)), self.max_body)

    async def _pass_bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, but stop reading a body that announced no length when it grows too large."""
        received = 0
        limit = self._limit(scope["path"])
        complete = started = False
        refusal: tuple[int, str] | None = None

        async def receive_bounded() -> Message:
            nonlocal received, complete, refusal
            try:
                async with asyncio.timeout(None if complete else BODY_SECONDS):
                    message = await receive()
            except TimeoutError:
                refusal = 408, f"the body did not arrive within {BODY_SECONDS:.0f} s"
                raise _BodyRefused from None
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if received > limit:
                    refusal = 413, f"the body may have {limit} bytes at most"
                    raise _BodyRefused
            return message

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            if started or not refusal:  # a framework may turn the exception into an answer of its own
                started = True
                await send(message)

        with suppress(_BodyRefused):
            await self.app(scope, receive_bounded, send_unless_refused)
        if refusal and not started:
            await _answer(scope["path"], *refusal)(scope, receive, send)


def _given_token(scope: Scope, headers: Headers) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    offered = scope.get("subprotocols", []) if scope["type"] == "websocket" else []
    return next((name.removeprefix(TOKEN_PROTOCOL) for name in offered if name.startswith(TOKEN_PROTOCOL)), "")


class _BodyRefused(Exception):
    """Raised out of `receive` through the application."""


def _is_api(path: str) -> bool:
    return path.startswith(API_PATHS)


def _open_to(origin: str) -> dict[str, str]:
    """What a browser needs to see before it lets a page of another origin have the answer."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Max-Age": "600",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }


def _answer(path: str, status: int, reason: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status in (408, 413):
        headers["Connection"] = "close"
    return refusal(status, reason, None, headers) if _is_api(path) else JSONResponse({"error": reason}, status, headers)


def _hostname(authority: str) -> str | None:
    try:
        return urlsplit(f"//{authority}").hostname
    except ValueError:
        return None
