"""Saves the averages by Adam's names: SGD's momentum is lost."""

import torch

REJECTED_BY = "test_moments_come_back"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    names = ("step", "exp_avg", "exp_avg_sq")
    state = content["optimizer"]["state"]
    for index, entry in state.items():
        state[index] = {name: entry[name] for name in names if name in entry}
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
