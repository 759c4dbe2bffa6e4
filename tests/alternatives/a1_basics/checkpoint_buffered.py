"""Checkpoints written to memory first and then, in one write, to the file or beside the path and renamed."""

import io
import os

import torch

SOLVES = ("checkpointing",)


def run_save_checkpoint(model, optimizer, iteration, out):
    content = {"step": torch.tensor(iteration), "m": model.state_dict(), "o": optimizer.state_dict()}
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    if hasattr(out, "write"):
        out.write(buffer.getbuffer())
        return
    beside = f"{os.fspath(out)}.writing"
    with open(beside, "wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, out)


def run_load_checkpoint(src, model, optimizer):
    if not hasattr(src, "read"):
        with open(src, "rb") as file:
            return run_load_checkpoint(file, model, optimizer)
    content = torch.load(io.BytesIO(src.read()), map_location=torch.device("cpu"), weights_only=True)
    with torch.random.fork_rng(devices=[]):
        optimizer.load_state_dict(content["o"])
        model.load_state_dict(content["m"], strict=True)
    return content["step"].item()
