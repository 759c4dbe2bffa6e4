"""Seeds torch after loading, to be reproducible: every resume draws the same numbers again."""

import torch

REJECTED_BY = "test_random_generators_are_left_alone"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    torch.manual_seed(content["iteration"])
    return content["iteration"]
