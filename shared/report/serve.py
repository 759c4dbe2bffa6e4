"""Look at the store in a browser: its reports, and every artifact with files, settings and lineage. It
changes nothing.

A report's page runs scripts, and may come from another machine. So files are served into a sandbox: an
origin of their own, from which nothing else here can be read; and only files that a manifest lists can be
asked for at all.
"""

import mimetypes
import sys
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from shared.errors import ArtifactError
from shared.report.browse import artifact_page, artifact_row, home_page
from shared.runs.program import run_program
from shared.serve.answers import EXCEPTION_HANDLERS, Refused
from shared.serve.refusals import Refusal
from shared.serve.server import serve
from shared.serve.settings import ServerConfig
from shared.store.artifacts import Artifact, Store
from shared.store.catalog import KINDS

INPUTS = ("every kind",)
OUTPUTS = ()
SANDBOX = "sandbox allow-scripts allow-popups; frame-ancestors 'none'"
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
# Shown as text, whatever the system's table says.
TEXTS = {".txt", ".md", ".jsonl", ".toml", ".csv", ".py", ".log"}
IMAGES = {"image/png", "image/svg+xml", "image/jpeg"}


@dataclass(frozen=True)
class ServeStore:
    """What to show and where."""

    store: Path = Path("artifacts")  # where artifacts lie
    host: str = "127.0.0.1"  # this machine alone; anything wider needs keys
    port: int = 8000  # 0: any free port
    keys: Path | None = None  # file of hashed API keys; a browser asks for one as a password


PRESETS = {"default": ServeStore()}


def store_app(store: Store) -> Starlette:
    """The application: four routes, all of them reading."""

    def home(request: Request) -> Response:
        return page(home_page(store))

    def listing(request: Request) -> Response:
        return JSONResponse({"artifacts": [artifact_row(artifact) for artifact in store.list()]})

    def artifact(request: Request) -> Response:
        return page(artifact_page(store, find(store, request)))

    def file(request: Request) -> Response:
        return artifact_file(find(store, request), request.path_params["name"])

    routes = [
        Route("/", home),
        Route("/api/artifacts", listing),
        Route("/artifacts/{kind}/{ref}", artifact),
        Route("/artifacts/{kind}/{ref}/files/{name:path}", file),
    ]
    return Starlette(routes=routes, exception_handlers=EXCEPTION_HANDLERS)


def page(text: str) -> Response:
    """One of our own pages: no scripts at all."""
    return HTMLResponse(text, headers={"content-security-policy": PAGE_POLICY, "cache-control": "no-store"})


def find(store: Store, request: Request) -> Artifact:
    """The artifact that a path names, by name, digest or the beginning of one; its files are not read."""
    kind, ref = request.path_params["kind"], request.path_params["ref"]
    if kind in KINDS:
        try:
            return store.open(ref, kind, verify=False)
        except ArtifactError as error:
            reason = "damaged" if "damaged" in str(error) else "none"
    else:
        reason = "no kind"
    came = f"{kind[:40]} {ref[:100]!r}"
    do = {
        "damaged": "Run python -m shared.store.cli show on it: that says which file, and how to make it again",
        "none": "The list at / has every name and digest",
        "no kind": f"Kinds are {', '.join(KINDS)}",
    }[reason]
    raise Refused(Refusal(404, "no_artifact", came, "an artifact of this store that can be read", do))


def artifact_file(artifact: Artifact, name: str) -> Response:
    """One file of an artifact, if its manifest lists it and it lies inside."""
    path = artifact.path / name
    is_inside = name in artifact.files and path.resolve().is_relative_to(artifact.path.resolve())
    if not is_inside or not path.is_file():
        do = f"Its files are listed at /artifacts/{artifact.kind}/{artifact.digest}"
        raise Refused(Refusal(404, "no_file", f"the file {name[:100]!r}", f"a file of {artifact}", do))
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    headers = {"content-security-policy": SANDBOX, "x-robots-tag": "noindex"}
    if path.suffix in TEXTS:
        return FileResponse(path, media_type="text/plain; charset=utf-8", headers=headers)
    if guessed == "application/json" or guessed in IMAGES or artifact.kind == "Report":
        return FileResponse(path, media_type=guessed, headers=headers)
    return FileResponse(path, media_type="application/octet-stream", filename=path.name, headers=headers)


def main(config: ServeStore) -> None:
    """Serve the store until Ctrl-C or SIGTERM."""
    settings = ServerConfig(host=config.host, port=config.port, keys=config.keys)
    serve(store_app(Store(config.store)), settings)


if __name__ == "__main__":
    sys.exit(run_program(main, PRESETS, inputs=INPUTS, outputs=OUTPUTS))
