"""Loads with assign=True: the optimizer goes on moving the old tensors, which no model uses."""

import torch

REJECTED_BY = "test_parameters_stay_the_ones_the_optimizer_holds"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"], assign=True)
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
