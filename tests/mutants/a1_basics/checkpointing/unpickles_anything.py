"""Loads with weights_only=False: a downloaded checkpoint runs whatever program it holds."""

import torch

REJECTED_BY = "test_loading_runs_no_code"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=False)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
