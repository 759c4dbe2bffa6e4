"""No function of its own: what autograd wants to keep is thrown away, and made again when it is asked for."""

import torch
from torch.autograd.graph import saved_tensors_hooks

SOLVES = ("activation_checkpointing",)


def run_checkpointed(function, *args):
    if not torch.is_grad_enabled():
        return function(*args)
    state, cast = torch.get_rng_state(), (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))
    versions = [a._version if torch.is_tensor(a) else 0 for a in args]
    again, count = {}, [0]

    def throw_away(_):
        count[0] += 1
        return count[0] - 1

    def make_again():
        if versions != [a._version if torch.is_tensor(a) else 0 for a in args]:
            raise RuntimeError("an argument was overwritten")

        def keep(tensor):
            again[len(again)] = tensor.detach()
            return None

        def never(_):
            raise AssertionError("this graph is never walked")

        fresh = [a.detach().requires_grad_(a.requires_grad) if torch.is_tensor(a) else a for a in args]
        with (
            torch.random.fork_rng(devices=[]),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=cast[0], dtype=cast[1]),
            saved_tensors_hooks(keep, never),
        ):
            torch.set_rng_state(state)
            function(*fresh)

    def fetch(place):
        if place not in again:
            make_again()
        return again.pop(place)

    with saved_tensors_hooks(throw_away, fetch):
        return function(*args)
