"""Errors in the form that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse


def refusal(
    status: int, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error with its status.

    Args:
        status: HTTP status.
        message: What is wrong, and what to do.
        field: Of the request, that it is about.
        headers: Sent with it.
    """
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    return JSONResponse({"error": {"message": message, "type": kind, "param": field, "code": None}}, status, headers)


def loading() -> JSONResponse:
    """While the engine is not there yet."""
    return refusal(503, "the voice is still loading; try again in a few seconds", None, {"Retry-After": "3"})
