"""Checkpoints as an uncompressed zip: safetensors for every tensor, JSON for everything else; nothing is pickled."""

import io
import json
import zipfile

import torch
from safetensors.torch import load, save

SOLVES = ("checkpointing",)


def run_save_checkpoint(model, optimizer, iteration, out):
    tensors = {f"model/{name}": tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    state, plain = optimizer.state_dict(), {}
    for index, entry in state["state"].items():
        for name, value in entry.items():
            if isinstance(value, torch.Tensor):
                tensors[f"state/{index}/{name}"] = value.contiguous().clone()
            else:
                plain[f"{index}/{name}"] = value
    record = {"iteration": iteration, "groups": state["param_groups"], "plain": plain}
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("tensors", save(tensors))
        archive.writestr("record.json", json.dumps(record))


def run_load_checkpoint(src, model, optimizer):
    with zipfile.ZipFile(io.BytesIO(src.read()) if hasattr(src, "read") else src) as archive:
        tensors = load(archive.read("tensors"))
        record = json.loads(archive.read("record.json"))
    names = [name for name in tensors if name.startswith("model/")]
    model.load_state_dict({name.removeprefix("model/"): tensors[name] for name in names})
    state = {}
    for name, tensor in tensors.items():
        if name.startswith("state/"):
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
    for name, value in record["plain"].items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = value
    for group in record["groups"]:
        if "betas" in group:
            group["betas"] = tuple(group["betas"])
    optimizer.load_state_dict({"state": state, "param_groups": record["groups"]})
    return record["iteration"]
