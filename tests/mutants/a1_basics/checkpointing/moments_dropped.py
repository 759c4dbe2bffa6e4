"""Keeps param_groups and drops the averages: the first steps after a resume are as large as at the start."""

import torch

REJECTED_BY = "test_moments_come_back"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    groups = content["optimizer"]["param_groups"]
    optimizer.load_state_dict({"state": {}, "param_groups": groups})
    return content["iteration"]
