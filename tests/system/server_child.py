"""A server in a process of its own, for the tests that send signals: `/wait` is inside until a line comes on stdin."""

import asyncio
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from shared.serve.journal import Journal
from shared.serve.server import serve
from shared.serve.settings import ServerConfig


async def wait(request: Request) -> Response:
    journal.write("inside")
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return PlainTextResponse("finished")


if __name__ == "__main__":
    journal = Journal(sys.stdout)
    serve(Starlette(routes=[Route("/wait", wait)]), ServerConfig(port=0, shutdown_seconds=60), journal)
