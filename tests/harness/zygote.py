"""The warm process: it has imported torch and pytest, never a stage or a learner's file, and forks for each run.

It talks with the grader over a socket, in JSON lines: a job comes in with two file descriptors (a private pipe for
records, and one for everything that the forked process prints); the process id goes out, then the exit status. What
came of the job is read from the pipe by the grader, never by this process.
"""

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import socket
import sys
from typing import Any

MAX_FILE_BYTES = 2 * 2**30
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def _prctl(option: int, value: int) -> None:
    """Linux only: elsewhere orphans escape to init, and the grader's session kill has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _preload() -> None:
    """Import what every run needs. Nothing here may start threads: a fork keeps only the calling one."""
    from tests.harness.launches import interpret_without_gpu

    interpret_without_gpu()  # before torch._dynamo below, which imports Triton
    import einops
    import hypothesis
    import jaxtyping
    import numpy.testing
    import pytest
    import regex
    import torch
    import torch._dynamo  # seconds: the first optimizer that is made imports it, which is in every other problem

    import tests.harness.child

    del einops, hypothesis, jaxtyping, numpy, pytest, regex, torch, tests


def _become_child(job: dict[str, Any], record_fd: int, output_fd: int) -> None:
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output_fd, 1), (output_fd, 2)):
        os.dup2(source, target)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = MAX_FILE_BYTES if hard == resource.RLIM_INFINITY else min(MAX_FILE_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    from tests.harness.child import main

    main(job, record_fd)


def _reap_until(pid: int) -> int:
    """Wait for the forked process, burying adopted orphans on the way."""
    while True:
        done, status = os.wait()
        if done == pid:
            return status


def serve(connection: socket.socket) -> None:
    """Fork for one job after another until the grader hangs up."""
    while True:
        message, fds, _, _ = socket.recv_fds(connection, 1 << 20, 2)
        if not message:
            return
        while not message.endswith(b"\n"):
            more = connection.recv(1 << 20)
            if not more:
                return
            message += more
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        pid = os.fork()
        if pid == 0:
            status = 70  # EX_SOFTWARE: the child never gets to its own exit
            try:
                connection.close()
                _become_child(json.loads(message), fds[0], fds[1])
            finally:
                os._exit(status)
        for fd in fds:
            os.close(fd)
        connection.sendall(json.dumps({"pid": pid}).encode() + b"\n")
        connection.sendall(json.dumps({"exit": _reap_until(pid)}).encode() + b"\n")


def main() -> None:
    """Serve on the inherited socket whose file descriptor is the only argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's: it kills this process when it ends
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    _preload()
    gc.collect()
    gc.freeze()
    connection.sendall(b'{"ready": true}\n')
    serve(connection)


if __name__ == "__main__":
    main()
