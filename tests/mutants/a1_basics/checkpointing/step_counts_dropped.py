"""Saves tensors of one dimension and more: the count of steps is left out, and old averages are corrected as if new."""

import torch

REJECTED_BY = "test_moments_come_back"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    for index, entry in content["optimizer"]["state"].items():
        content["optimizer"]["state"][index] = {
            k: v * 0 if isinstance(v, torch.Tensor) and v.ndim == 0 else v for k, v in entry.items()
        }
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
