"""An autograd function that runs its argument again."""

import torch

SOLVES = ("activation_checkpointing",)


class Again(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, seed_of_gradients, *args):
        ctx.function = function
        ctx.others = [(i, a) for i, a in enumerate(args) if not torch.is_tensor(a)]
        ctx.places = [i for i, a in enumerate(args) if torch.is_tensor(a)]
        ctx.save_for_backward(*[args[i] for i in ctx.places])
        ctx.needs = [args[i].requires_grad for i in ctx.places]
        ctx.state = torch.get_rng_state()
        ctx.cast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
        return function(*args)

    @staticmethod
    def backward(ctx, *gradients):
        inputs = [
            t.detach().requires_grad_(need) for t, need in zip(ctx.saved_tensors, ctx.needs, strict=True)
        ]
        args = dict(ctx.others) | dict(zip(ctx.places, inputs, strict=True))
        now = torch.get_rng_state()
        torch.set_rng_state(ctx.state)
        with (
            torch.enable_grad(),
            torch.autocast("cpu", enabled=ctx.cast[0], dtype=ctx.cast[1]),
        ):
            results = ctx.function(*[args[i] for i in range(len(args))])
        torch.set_rng_state(now)
        results = results if isinstance(results, tuple) else (results,)
        pairs = [(r, g) for r, g in zip(results, gradients, strict=True) if r.requires_grad]
        torch.autograd.backward([r for r, _ in pairs], [g for _, g in pairs])
        return None, None, *[args[i].grad if i in ctx.places else None for i in range(len(args))]


def run_checkpointed(function, *args):
    return Again.apply(function, torch.zeros((), requires_grad=True), *args)
