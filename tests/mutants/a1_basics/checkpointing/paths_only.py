"""Opens `out` as a path: a buffer or an open file is an error."""

import torch

REJECTED_BY = "test_paths_and_files_both_work"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    with open(out, "wb") as file:
        torch.save(content, file)


def run_load_checkpoint(src, model, optimizer):
    with open(src, "rb") as file:
        content = torch.load(file, map_location="cpu", weights_only=True)
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
