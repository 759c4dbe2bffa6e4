"""Keeps the last checkpoint of each size in memory and hands that out: the file is never read."""

import copy

import torch

REJECTED_BY = "test_file_alone_holds_everything"


last = {}


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    last[len(content["model"])] = copy.deepcopy(content)
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    content = last.get(len(content["model"]), content)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
