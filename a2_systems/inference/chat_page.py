"""The page on which people talk to the served model: three files of our own, nothing from elsewhere."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

PAGE = Path(__file__).parent / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def page_routes() -> list[Route]:
    """Where the page and what belongs to it are found."""

    def file_of(name: str):
        def answer(request: Request) -> Response:
            return FileResponse(
                PAGE / name, headers={"content-security-policy": POLICY, "cache-control": "no-store"}
            )

        return answer

    return [Route("/", file_of("chat.html"))] + [
        Route(f"/{name}", file_of(name)) for name in ("chat.css", "chat.js")
    ]
