"""FSDP by autograd: gathering is a function whose gradient is scattered; a graph keeps a note in a matrix's place."""

import torch
import torch.distributed as dist
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

SOLVES = ("fsdp",)


class Matrix:
    """The rows of this rank, and the traffic in whole ones."""

    def __init__(self, weight, compute_dtype):
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.rows, self.columns = weight.shape
        self.each = -(-self.rows // self.ranks)
        self.dtype = compute_dtype or torch.float32
        mine = weight.detach()[self.rank * self.each :][: self.each]
        self.shard = nn.Parameter(mine.float().clone(), requires_grad=weight.requires_grad)
        self.arriving, self.leaving = None, []

    def padded(self, part, rows, dtype):
        whole = torch.zeros(rows, self.columns, dtype=dtype)
        whole[: len(part)] = part
        return whole

    def ask(self, dtype=None):
        if self.arriving is None:
            mine = self.padded(self.shard.detach(), self.each, dtype or self.dtype)
            whole = mine.new_empty(self.each * self.ranks, self.columns)
            work = dist.all_gather(list(whole.split(self.each)), mine, async_op=True)
            self.arriving = whole, mine, work

    def take(self, dtype=None):
        self.ask(dtype)
        whole, _, work = self.arriving
        self.arriving = None
        work.wait()
        return whole[: self.rows]

    def drop(self):
        if self.arriving is not None:
            self.take()

    def scatter(self, gradient):
        sent = self.padded(gradient, self.each * self.ranks, torch.float32)
        mean = sent.new_empty(self.each, self.columns)
        work = dist.reduce_scatter(mean, list(sent.split(self.each)), async_op=True)
        self.leaving.append((mean, sent, work))

    def settle(self):
        for mean, _, work in self.leaving:
            work.wait()
            mean = mean[: len(self.shard)].clone() / self.ranks
            self.shard.grad = mean if self.shard.grad is None else self.shard.grad + mean
        self.leaving = []


class Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx, shard, matrix, model):
        ctx.matrix, ctx.model = matrix, model
        return matrix.take()

    @staticmethod
    def backward(ctx, gradient):
        ctx.matrix.scatter(gradient)
        ctx.model.sent.append(ctx.matrix)
        while len(ctx.model.sent) > 2:
            ctx.model.sent.pop(0).settle()
        return None, None, None


class FSDP(nn.Module):
    def __init__(self, module, compute_dtype):
        super().__init__()
        self.dtype, self.ran, self.order, self.sent = compute_dtype, [], [], []
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.data, src=0)
        self.matrices, self.owner = {}, {}
        for leaf in module.modules():
            weight = leaf._parameters.get("weight")
            if weight is None or weight.ndim != 2 or list(leaf.children()):
                continue
            if weight not in self.owner:
                self.owner[weight] = Matrix(weight, compute_dtype)
            matrix = self.owner[weight]
            leaf.forward = self.around(leaf, leaf.forward, matrix)
        for leaf in module.modules():
            for name, p in leaf._parameters.items():
                if p in self.owner:
                    leaf._parameters[name] = self.owner[p].shard
        self.matrices = {matrix.shard: matrix for matrix in self.owner.values()}
        self.owner = None  # its keys are the whole matrices
        self.module = module

    def around(self, leaf, forward, matrix):
        def run(*args, **kwargs):
            turn, parameters = len(self.ran), dict(leaf._parameters)
            self.ran.append(matrix)
            whole = Gathered.apply(matrix.shard, matrix, self)
            if self.order[turn : turn + 1] == [matrix] and turn + 1 < len(self.order):
                self.order[turn + 1].ask()
            for name, p in parameters.items():
                if p is not None:
                    leaf._parameters[name] = whole if name == "weight" else self.cast(p)
            try:
                with saved_tensors_hooks(*self.notes(whole.untyped_storage()._cdata, matrix, self.line)):
                    return forward(*map(self.cast, args), **{k: self.cast(v) for k, v in kwargs.items()})
            finally:
                leaf._parameters.update(parameters)

        return run

    def cast(self, value):
        is_number = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.to(self.dtype) if self.dtype and is_number else value

    def notes(self, storage, matrix, line):
        def pack(tensor):
            if tensor.untyped_storage()._cdata != storage:
                return tensor
            line.append(matrix)
            return len(line) - 1, tensor.shape, tensor.stride(), tensor.storage_offset()

        def unpack(note):
            if isinstance(note, torch.Tensor):
                return note
            turn, *view = note
            whole = matrix.take()
            if turn > 0:
                line[turn - 1].ask()
            return whole.as_strided(*view)

        return pack, unpack

    def forward(self, *args, **kwargs):
        self.ran, self.line = [], []
        try:
            return self.module(*args, **kwargs)
        finally:
            self.order = self.ran
            for matrix in self.matrices.values():
                matrix.drop()

    @torch.no_grad()
    def finish(self):
        for matrix in self.matrices.values():
            matrix.settle()
            matrix.drop()
        self.sent = []
        for p in self.module.parameters():
            if p not in self.matrices and p.grad is not None:
                dist.all_reduce(p.grad)
                p.grad /= dist.get_world_size()

    def full(self):
        return {
            name: self.matrices[p].take(torch.float32).clone() if p in self.matrices else p.detach().clone()
            for name, p in self.module.named_parameters()
        }


def get_fsdp(module, compute_dtype=None):
    return FSDP(module, compute_dtype)


def fsdp_on_after_backward(fsdp_model, optimizer):
    fsdp_model.finish()


def fsdp_gather_full_params(fsdp_model):
    return fsdp_model.full()
