"""Saves weights in float16 to halve the file."""

import torch

REJECTED_BY = "test_paths_and_files_both_work"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {
        "model": {k: v.half() for k, v in model.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "iteration": iteration,
    }
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
