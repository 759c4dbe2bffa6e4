"""FSDP without a whole matrix in the graph: each layer is one function that runs once more in the backward pass."""

import torch
import torch.distributed as dist
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

SOLVES = ("fsdp",)


class Rows:
    """A matrix dealt out like cards: rank r has rows r, r + N, r + 2 N and so on."""

    def __init__(self, weight, compute_dtype):
        self.ranks, self.shape, self.dtype = (
            dist.get_world_size(),
            weight.shape,
            compute_dtype or torch.float32,
        )
        mine = weight.detach()[dist.get_rank() :: self.ranks].float().clone()
        self.shard = nn.Parameter(mine, requires_grad=weight.requires_grad)
        self.each = -(-self.shape[0] // self.ranks)
        self.pending, self.sums = None, []

    def start(self, dtype=None):
        if self.pending is None:
            mine = torch.zeros(self.each, self.shape[1], dtype=dtype or self.dtype)
            mine[: len(self.shard)] = self.shard.detach()
            parts = [torch.empty_like(mine) for _ in range(self.ranks)]
            self.pending = parts, mine, dist.all_gather(parts, mine, async_op=True)

    def whole(self, dtype=None):
        self.start(dtype)
        parts, _, work = self.pending
        self.pending = None
        work.wait()
        return torch.stack(parts, dim=1).flatten(0, 1)[: self.shape[0]].clone()

    def forget(self):
        if self.pending is not None:
            self.pending[2].wait()
            self.pending = None

    def send(self, gradient):
        padded = torch.zeros(self.ranks * self.each, self.shape[1])
        padded[: self.shape[0]] = gradient
        parts = [padded[rank :: self.ranks].contiguous() for rank in range(self.ranks)]
        total = torch.empty(self.each, self.shape[1])
        self.sums.append((total, parts, dist.reduce_scatter(total, parts, async_op=True)))

    def receive(self):
        for total, _, work in self.sums:
            work.wait()
            mean = total[: len(self.shard)] / self.ranks
            self.shard.grad = mean if self.shard.grad is None else self.shard.grad + mean
        self.sums = []


class Layer(torch.autograd.Function):
    """`run(whole matrix, other parameters, arguments)`; of the matrix nothing is kept."""

    @staticmethod
    def forward(ctx, layer, line, spec, shard, *values):
        ctx.layer, ctx.line, ctx.spec, ctx.turn = layer, line, spec, len(line)
        if any(isinstance(v, torch.Tensor) and v.requires_grad for v in (shard, *values)):
            line.append(layer)
        is_tensor = [isinstance(v, torch.Tensor) for v in values]
        ctx.is_tensor, ctx.plain = (
            is_tensor,
            [None if t else v for v, t in zip(values, is_tensor, strict=True)],
        )
        ctx.save_for_backward(*[v for v in values if isinstance(v, torch.Tensor)])
        whole = layer.rows.whole()
        layer.ask_next()
        return layer.run(whole, spec, values)

    @staticmethod
    def backward(ctx, gradient):
        layer, saved = ctx.layer, iter(ctx.saved_tensors)
        whole = layer.rows.whole().requires_grad_(layer.rows.shard.requires_grad)
        if ctx.turn > 0:
            ctx.line[ctx.turn - 1].rows.start()
        values = [
            next(saved).detach().requires_grad_(needed) if is_tensor else plain
            for is_tensor, plain, needed in zip(
                ctx.is_tensor, ctx.plain, ctx.needs_input_grad[4:], strict=True
            )
        ]
        with torch.enable_grad():
            out = layer.run(whole, ctx.spec, values)
        asked = [v for v in (whole, *values) if isinstance(v, torch.Tensor) and v.requires_grad]
        found = dict(
            zip(map(id, asked), torch.autograd.grad(out, asked, gradient, allow_unused=True), strict=True)
        )
        if found.get(id(whole)) is not None:
            layer.rows.send(found[id(whole)])
            layer.model.sent.append(layer.rows)
            if len(layer.model.sent) > 2:
                layer.model.sent.pop(0).receive()
        return None, None, None, None, *(found.get(id(v)) for v in values)


class Wrapped:
    """One leaf: stands in the place of its `forward`."""

    def __init__(self, model, leaf, rows):
        self.model, self.leaf, self.rows, self.plain = model, leaf, rows, leaf.forward
        self.small = [name for name, p in leaf._parameters.items() if p is not None and name != "weight"]

    def __call__(self, *args, **kwargs):
        flat, spec = tree_flatten((args, kwargs))
        self.model.ran.append(self)
        values = [*(self.leaf._parameters[name] for name in self.small), *flat]
        return Layer.apply(self, self.model.line, spec, self.rows.shard, *values)

    def ask_next(self):
        turn, order = len(self.model.ran), self.model.order
        if order[: turn + 1][turn - 1 : turn] == [self] and turn < len(order):
            order[turn].rows.start()

    def run(self, whole, spec, values):
        kept, dtype = dict(self.leaf._parameters), self.rows.dtype
        values = [v.to(dtype) if isinstance(v, torch.Tensor) and v.is_floating_point() else v for v in values]
        cut = len(self.small)
        args, kwargs = tree_unflatten(values[cut:], spec)
        self.leaf._parameters |= {"weight": whole, **dict(zip(self.small, values[:cut], strict=True))}
        try:
            return self.plain(*args, **kwargs)
        finally:
            self.leaf._parameters |= kept


class FSDP(nn.Module):
    def __init__(self, module, compute_dtype):
        super().__init__()
        self.ran, self.order, self.line, self.sent, self.rows = [], [], [], [], {}
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, src=0)
        wholes = {}
        for leaf in module.modules():
            weight = leaf._parameters.get("weight")
            if weight is not None and weight.ndim == 2 and not list(leaf.children()):
                rows = wholes.setdefault(weight, None) or Rows(weight, compute_dtype)
                wholes[weight] = rows
                leaf.forward = Wrapped(self, leaf, rows)
                leaf.weight = rows.shard
                self.rows[rows.shard] = rows
        self.module = module

    def forward(self, *args, **kwargs):
        self.ran, self.line = [], []
        out = self.module(*args, **kwargs)
        self.order = self.ran
        for rows in self.rows.values():
            rows.forget()
        return out

    def finish(self):
        self.sent = []
        for rows in self.rows.values():
            rows.receive()
            rows.forget()
        copies = [p for p in self.module.parameters() if p not in self.rows and p.grad is not None]
        handles = [dist.all_reduce(p.grad, async_op=True) for p in copies]
        for p, handle in zip(copies, handles, strict=True):
            handle.wait()
            p.grad /= dist.get_world_size()

    def full(self):
        named = self.module.named_parameters()
        return {
            n: self.rows[p].whole(torch.float32) if p in self.rows else p.detach().clone() for n, p in named
        }


def get_fsdp(module, compute_dtype=None):
    return FSDP(module, compute_dtype)


def fsdp_on_after_backward(fsdp_model, optimizer):
    fsdp_model.finish()


def fsdp_gather_full_params(fsdp_model):
    return fsdp_model.full()
