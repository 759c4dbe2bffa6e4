"""A checkpoint behind OpenAI's interface, with a page to talk to it."""

from a2_systems.inference.chat_page import page_routes
from a2_systems.inference.open_checkpoint import open_checkpoint
from a2_systems.inference.openai_api import openai_app
from a2_systems.inference.worker import EngineWorker
from shared.doors.inference import ServeJob
from shared.serve.server import serve
from shared.serve.settings import ServerConfig


def serve_job(job: ServeJob) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        ArtifactError, ConfigError: as `open_checkpoint`; an address that cannot be had.
    """
    settings = ServerConfig(host=job.host, port=job.port, keys=job.keys)
    served, engine = open_checkpoint(job, job.engine)
    with EngineWorker(engine) as worker:
        app = openai_app(served, worker)
        app.routes.extend(page_routes())
        serve(app, settings)
