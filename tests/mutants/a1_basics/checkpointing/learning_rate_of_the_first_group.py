"""Restores lr alone, and the first group's for all groups."""

import torch

REJECTED_BY = "test_param_groups_come_back"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict()["state"],
        "lr": optimizer.param_groups[0]["lr"],
        "iteration": iteration,
    }
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    groups = optimizer.state_dict()["param_groups"]
    groups = [{**group, "lr": content["lr"]} for group in groups]
    optimizer.load_state_dict({"state": content["optimizer"], "param_groups": groups})
    return content["iteration"]
