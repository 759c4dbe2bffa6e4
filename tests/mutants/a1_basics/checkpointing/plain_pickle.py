"""Writes and reads with pickle: a downloaded checkpoint runs whatever program it holds."""

import pickle
from pathlib import Path

REJECTED_BY = "test_loading_runs_no_code"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    data = pickle.dumps(content)
    Path(out).write_bytes(data) if isinstance(out, (str, Path)) else out.write(data)


def run_load_checkpoint(src, model, optimizer):
    content = pickle.loads(Path(src).read_bytes() if isinstance(src, (str, Path)) else src.read())
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
