"""A talk in the terminal: a line in, an answer out as it comes."""

import sys
from dataclasses import replace

from a2_systems.inference.open_checkpoint import Served, open_checkpoint
from shared.doors.inference import ChatJob, Engine, EngineConfig, SamplingParams
from shared.errors import ConfigError

HELP = "Write a beginning and press Enter. /new forgets what was said, Ctrl-C stops an answer, Ctrl-D leaves."


def chat_job(job: ChatJob) -> None:
    """Answer line by line until the input ends.

    Raises:
        ArtifactError, ConfigError: as `open_checkpoint`; a setting outside its range.
    """
    params = SamplingParams(
        max_new_tokens=job.max_new_tokens,
        temperature=job.temperature,
        top_p=job.top_p,
        top_k=job.top_k,
        seed=job.seed,
    )
    params.check()
    served, engine = open_checkpoint(job, EngineConfig())
    talk(served, engine, params)


def talk(served: Served, engine: Engine, params: SamplingParams) -> None:
    """Answer every line; `params.seed` is that of the first answer."""
    print(f"{served.name}. {HELP}")
    said: list[tuple[str, str]] = []
    stops = () if served.end_token is None else (served.end_token,)
    params = replace(params, stop_tokens=stops)
    while (line := _read_line()) is not None:
        if line.strip() in ("/new", ""):
            said = [] if line.strip() else said
            continue
        said.append(("user", line))
        try:
            answer = answered(engine, served.talk_ids(said, engine.max_length), params)
        except ConfigError as error:
            print(f"error: {error} (/new forgets what was said)", file=sys.stderr)
            said.pop()
            continue
        said.append(("assistant", answer))
        params = replace(params, seed=params.seed + 1)


def answered(engine: Engine, prompt: tuple[int, ...], params: SamplingParams) -> str:
    """One answer, printed as it comes; Ctrl-C ends it where it is."""
    request, text = engine.add(prompt, params), ""
    try:
        while not engine.is_idle:
            for new in engine.step():
                text += new.text
                print(new.text, end="", flush=True)
    except KeyboardInterrupt:
        engine.cancel(request)
    print()
    return text


def _read_line() -> str | None:
    try:
        return input("> ")
    except (EOFError, KeyboardInterrupt):
        print()
        return None
