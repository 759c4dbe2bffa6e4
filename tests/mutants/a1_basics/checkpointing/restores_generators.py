"""Saves torch's generator and puts it back on loading: two models evaluated side by side then share their noise."""

import torch

REJECTED_BY = "test_random_generators_are_left_alone"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    content["generator"] = torch.get_rng_state()
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    torch.set_rng_state(content["generator"])
    return content["iteration"]
