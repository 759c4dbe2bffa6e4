"""Loads by copying float32 values in: bfloat16 models come back as float32."""

import torch

REJECTED_BY = "test_buffers_and_dtypes_come_back"


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "iteration": iteration}
    torch.save(content, out)


def run_load_checkpoint(src, model, optimizer):
    content = torch.load(src, map_location="cpu", weights_only=True)
    model.float().load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["iteration"]
