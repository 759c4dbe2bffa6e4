"""Puts the optimizer into a second file beside the first."""

from pathlib import Path

import torch

REJECTED_BY = "test_file_alone_holds_everything"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    if isinstance(out, (str, Path)):
        torch.save(content.pop("optimizer"), f"{out}.optimizer")
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    if "optimizer" not in content:
        content["optimizer"] = torch.load(f"{src}.optimizer", weights_only=True)
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
