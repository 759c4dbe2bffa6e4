"""Reads the averages of the first parameter, which an optimizer without steps does not have."""

import torch

REJECTED_BY = "test_an_optimizer_without_steps_can_be_saved"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    content["names"] = sorted(content["optimizer"]["state"][0])
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
