"""Adds .pt to the path: the file is not where the caller looks for it."""

from pathlib import Path

import torch

REJECTED_BY = "test_paths_and_files_both_work"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    torch.save(content, f"{out}.pt" if isinstance(out, (str, Path)) else out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(
        f"{src}.pt" if isinstance(src, (str, Path)) else src, map_location="cpu", weights_only=True
    )
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
