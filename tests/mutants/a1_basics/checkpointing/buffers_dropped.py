"""Saves named_parameters(): running averages and tables are lost."""

import torch

REJECTED_BY = "test_buffers_and_dtypes_come_back"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {
        "model": dict(model.named_parameters()),
        "optimizer": optimizer.state_dict(),
        "iteration": iteration,
    }
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict({**model.state_dict(), **content["model"]})
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
