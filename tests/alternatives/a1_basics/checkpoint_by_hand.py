"""Checkpoints put together and taken apart by hand: tensors copied in place, optimizer entries rebuilt one by one."""

import torch

SOLVES = ("checkpointing",)


def run_save_checkpoint(model, optimizer, iteration, out):
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    remembered = [dict(optimizer.state[p]) if p in optimizer.state else {} for p in parameters]
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    torch.save([int(iteration), weights, remembered, settings], out)


def run_load_checkpoint(src, model, optimizer):
    iteration, weights, remembered, settings = torch.load(src, weights_only=True)
    own = model.state_dict()
    if own.keys() != weights.keys():
        raise KeyError(f"the checkpoint and the model differ in {sorted(own.keys() ^ weights.keys())}")
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)}, the checkpoint's {tuple(weights[name].shape)}"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for p, entry in zip(parameters, remembered, strict=True):
        optimizer.state.pop(p, None)
        if entry:
            optimizer.state[p] = entry
    for group, kept in zip(optimizer.param_groups, settings, strict=True):
        group.update(kept)
    return iteration
