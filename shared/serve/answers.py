"""What an application on Starlette or FastAPI says when it cannot answer: the same JSON as the gate.

    app = Starlette(routes=..., exception_handlers=EXCEPTION_HANDLERS)

An application that wants to say no raises `Refused`.
"""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shared.serve import refusals
from shared.serve.refusals import Refusal


class Refused(Exception):
    """Ends a request with a refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


def answer(request: Request, refusal: Refusal) -> Response:
    """A refusal as a response."""
    body = refusal.body(getattr(request.state, "request_id", ""))
    return Response(body, refusal.status, refusal.headers, media_type="application/json")


def on_refused(request: Request, error: Exception) -> Response:
    """The application said no."""
    assert isinstance(error, Refused)
    return answer(request, error.refusal)


def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's router said no: another path, or another method."""
    assert isinstance(error, HTTPException)
    came = f"{request.method} {request.url.path}"[:200]
    if error.status_code == 405:
        return answer(request, refusals.wrong_method(came, dict(error.headers or {}).get("Allow", "GET")))
    if error.status_code == 404:
        refusal = Refusal(404, "no_such_path", came, "a path that this server has", "See what there is at /")
    else:
        refusal = Refusal(
            error.status_code, "refused", came, error.detail, "Mend the request and send it again"
        )
    return answer(request, refusal)


def on_failure(request: Request, error: Exception) -> Response:
    """Our own fault; the gate writes the traceback down."""
    return answer(request, refusals.FAILED)


EXCEPTION_HANDLERS: Mapping[Any, Any] = {
    Refused: on_refused,
    HTTPException: on_http_error,
    Exception: on_failure,
}
