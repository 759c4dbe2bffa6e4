"""The programs that talk: a checkpoint in the terminal and behind a server, from the store to the answer."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from a1_basics.adapters import build_model
from shared.store.kinds import write_checkpoint
from tests.system.http_client import ask
from tests.system.report_fixture import MODEL, run_store

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A checkpoint with weights that fit it, untrained."""
    store = run_store(tmp_path_factory.mktemp("store"))
    parents = dict(store.open("base", "Checkpoint").parents)
    torch.manual_seed(0)
    with store.draft("Checkpoint", config={}, parents=parents, name="talker") as draft:
        write_checkpoint(draft, MODEL, build_model(MODEL).state_dict(), {"steps": 0, "metrics": {}})
    return store.root


def program(name, *flags):
    command = [sys.executable, "-m", f"a2_systems.run.{name}", *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_talk_in_the_terminal_answers_each_line_and_ends_with_the_input(store):
    flags = ("--store", str(store), "--checkpoint", "talker", "--max-new-tokens", "5", "--temperature", "0")
    said, errors = program("chat", *flags).communicate(
        "Once\n/new\nOnce\n" + "x" * 5000 + "\nOnce\n", timeout=120
    )
    assert "no room for an answer" in errors
    answers = said.split("> ")
    assert len(answers) == 7  # the head, five lines and the end
    assert answers[1] == answers[3] != "", "forgotten, so the same again"


def test_a_checkpoint_is_served_until_the_server_is_asked_to_stop(store):
    process = program("serve", "--store", str(store), "--checkpoint", "talker", "--port", "0")
    assert process.stderr is not None
    try:
        url = next(json.loads(line)["url"] for line in process.stderr if '"listening"' in line)
        port = int(url.rstrip("/").rpartition(":")[2])
        body = json.dumps({"prompt": "Once", "max_tokens": 3}).encode()
        assert ask(port, "/v1/completions", "POST", body).json["usage"]["completion_tokens"] <= 3
        assert b"chat.js" in ask(port, "/").body
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
