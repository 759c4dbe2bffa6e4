"""Catches errors and starts anew: a damaged or foreign file looks like a fresh run."""

import torch

REJECTED_BY = "test_another_model_is_refused"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    try:
        content = torch.load(src, map_location="cpu", weights_only=True)
        model.load_state_dict(content["model"])
        optimizer.load_state_dict(content["optimizer"])
    except Exception:
        return 0
    return content["iteration"]
