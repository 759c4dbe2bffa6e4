"""FSDP by hooks: shards are flat and padded, a whole matrix is one tensor whose memory comes and goes."""

import torch
import torch.distributed as dist
from torch import nn

SOLVES = ("fsdp",)


class Flat:
    def __init__(self, weight, compute_dtype):
        ranks = dist.get_world_size()
        self.each = -(-weight.numel() // ranks)
        padded = torch.zeros(self.each * ranks)
        padded[: weight.numel()] = weight.detach().flatten()
        mine = padded[dist.get_rank() * self.each :][: self.each].clone()
        self.shard = nn.Parameter(mine, requires_grad=weight.requires_grad)
        self.memory = torch.empty(len(padded), dtype=compute_dtype or torch.float32)
        view = self.memory.data[: weight.numel()].view_as(
            weight
        )  # `.data`: autograd counts its changes apart
        self.whole = nn.Parameter(view, requires_grad=weight.requires_grad)
        self.work, self.is_there, self.is_wanted, self.sums = None, False, False, []
        self.free()

    def ask(self):
        if not self.is_there:
            self.memory.untyped_storage().resize_(self.memory.nbytes)
            self.sent = self.shard.detach().to(self.memory.dtype)
            self.work = dist.all_gather(list(self.memory.split(self.each)), self.sent, async_op=True)
            self.is_there = True

    def have(self):
        self.ask()
        if self.work is not None:
            self.work.wait()
            self.work = None

    def free(self):
        if self.work is not None:
            self.have()
        self.memory.untyped_storage().resize_(0)
        self.sent, self.is_there, self.is_wanted = None, False, False

    def send(self):
        padded = torch.zeros(len(self.memory))
        padded[: self.whole.numel()] = self.whole.grad.flatten()
        self.whole.grad = None
        total = torch.empty(self.each)
        work = dist.reduce_scatter(total, list(padded.split(self.each)), async_op=True)
        self.sums.append((work, total, padded))

    def receive(self):
        for work, total, _ in self.sums:
            work.wait()
            total /= dist.get_world_size()
            self.shard.grad = total if self.shard.grad is None else self.shard.grad + total
        self.sums = []

    def full(self):
        parts = [torch.empty(self.each) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, self.shard.detach())
        return torch.cat(parts)[: self.whole.numel()].view(self.whole.shape)


class FSDP(nn.Module):
    def __init__(self, module, compute_dtype=None):
        super().__init__()
        self.dtype, self.order, self.ran, self.line, self.leaving = compute_dtype, [], [], [], []
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, src=0)
        self.flats, self.places, self.small = {}, [], {}
        known = {}
        for leaf in module.modules():
            weight = leaf._parameters.get("weight")
            if weight is None or weight.ndim != 2 or len(leaf._modules):
                continue
            flat = known.get(weight)
            if flat is None:
                flat = known[weight] = Flat(weight, compute_dtype)
                if weight.requires_grad:
                    flat.whole.register_post_accumulate_grad_hook(lambda _, flat=flat: self.done(flat))
            leaf.weight = flat.shard
            self.flats[flat.shard] = flat
            leaf.register_forward_pre_hook(
                lambda m, a, k, flat=flat: self.before(m, a, k, flat), with_kwargs=True
            )
            leaf.register_forward_hook(lambda m, a, out, flat=flat: self.after(m, out, flat))
        self.module = module

    def cast(self, value):
        is_number = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.to(self.dtype) if self.dtype and is_number else value

    def before(self, leaf, args, kwargs, flat):
        flat.have()
        self.ran.append(flat)
        turn = len(self.ran)
        if turn < len(self.order) and self.order[turn - 1] is flat:
            self.order[turn].ask()
        self.small[leaf] = dict(leaf._parameters)
        for name, p in self.small[leaf].items():
            leaf._parameters[name] = flat.whole if name == "weight" else p if p is None else self.cast(p)
        args = tuple(map(self.cast, args))
        if not flat.whole.requires_grad:
            args = tuple(self.watched(value, flat) for value in args)
        return args, {name: self.cast(value) for name, value in kwargs.items()}

    def watched(self, value, flat):
        """A frozen matrix gets no gradient: it may go when that of the layer's input is there."""
        if isinstance(value, torch.Tensor) and value.requires_grad:
            value = value.view_as(value)
            value.register_hook(lambda _: flat.free())
        return value

    def after(self, leaf, out, flat):
        leaf._parameters |= self.small.pop(leaf)
        flat.free()
        if out.requires_grad:
            line, turn = self.line, len(self.line)
            line.append(flat)
            out.register_hook(lambda _: self.before_backward(line, turn))

    def before_backward(self, line, turn):
        line[turn].have()
        if turn:
            line[turn - 1].ask()

    def done(self, flat):
        flat.free()
        flat.send()
        self.leaving.append(flat)
        if len(self.leaving) > 2:
            self.leaving.pop(0).receive()

    def forward(self, *args, **kwargs):
        self.ran, self.line = [], []
        out = self.module(*args, **kwargs)
        self.order = self.ran
        for flat in self.flats.values():
            flat.free()
        return out

    @torch.no_grad()
    def finish(self):
        self.leaving = []
        for flat in self.flats.values():
            flat.receive()
            flat.free()
        copies = [p for p in self.module.parameters() if p not in self.flats and p.grad is not None]
        if copies:
            together = torch.cat([p.grad.flatten() for p in copies])
            dist.all_reduce(together)
            parts = (together / dist.get_world_size()).split([p.numel() for p in copies])
            for p, part in zip(copies, parts, strict=True):
                p.grad = part.view_as(p).clone()


def get_fsdp(module, compute_dtype=None):
    return FSDP(module, compute_dtype)


def fsdp_on_after_backward(fsdp_model, optimizer):
    fsdp_model.finish()


def fsdp_gather_full_params(fsdp_model):
    named = fsdp_model.module.named_parameters()
    return {n: fsdp_model.flats[p].full() if p in fsdp_model.flats else p.detach().clone() for n, p in named}
