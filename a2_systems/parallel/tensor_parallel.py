"""Every matrix of a block split over the ranks: each computes some of the heads and some of the hidden units.

Two matrices in a row need one message only. The first is split by rows of W, that is by outputs (column-parallel, as
its authors write x W): every rank has some of the hidden units, whole. The second is split by inputs: every rank has
a term of the sum that is the output. So a block sends two all-reduces forward, after attention and after the
feed-forward, and two backward, where their inputs' gradients are sums over the ranks as well.

With `is_sequence_split` each all-reduce becomes its two halves, a reduce-scatter and an all-gather, and between them
norms and residual stream live on a share of the positions: the same bytes sent, 1/N of those activations held.

Source: [megatron-2019] section 3; [sequence-parallel-2022] section 4.2.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from a2_systems.parallel.whole_tensors import all_gather, reduce_scatter
from shared.errors import ConfigError

SPLIT_OUTPUTS = ("q_proj", "k_proj", "v_proj", "w1", "w3")
SPLIT_INPUTS = ("output_proj", "w2")
FLAGS = {
    "q_proj": "--model.num-heads",
    "k_proj": "--model.num-kv-heads",
    "v_proj": "--model.num-kv-heads",
    "w1": "--model.d-ff",
    "w3": "--model.d-ff",
}
"""What decides how many outputs such a layer has."""
SEQUENCE_DIM = 1


def summed(features: Tensor) -> Tensor:
    """The sum over the ranks, in a tensor of its own."""
    total = features.contiguous().clone()
    dist.all_reduce(total)
    return total


def gathered(features: Tensor, dim: int, length: int | None = None) -> Tensor:
    """All ranks' pieces behind one another along `dim`; together `length` where they are not equally long."""
    num_ranks = dist.get_world_size()
    piece = features.movedim(dim, 0).contiguous()
    if length is None or length % num_ranks == 0:
        whole = piece.new_empty(piece.shape[0] * num_ranks, *piece.shape[1:])
        all_gather(whole, piece)
        return whole.movedim(0, dim)
    longest = -(-length // num_ranks)  # pieces differ by one: the shorter travel with a row of nothing
    padded = piece.new_zeros(longest, *piece.shape[1:])
    padded[: len(piece)] = piece
    rows = gathered(padded, 0).split(longest)
    sizes = [len(own_range(length, rank)) for rank in range(num_ranks)]
    return torch.cat([part[:size] for part, size in zip(rows, sizes, strict=True)]).movedim(0, dim)


def own_range(length: int, rank: int | None = None) -> range:
    """Which of so many rows are this rank's (or another's): neighbours, the first ranks having one more if need be."""
    size, larger = divmod(length, dist.get_world_size())
    rank = dist.get_rank() if rank is None else rank
    start = rank * size + min(rank, larger)
    return range(start, start + size + (rank < larger))


def own_piece(features: Tensor, dim: int) -> Tensor:
    """This rank's piece of something that all have."""
    mine = own_range(features.shape[dim])
    return features.narrow(dim, mine.start, len(mine))


def summed_piece(features: Tensor, dim: int) -> Tensor:
    """This rank's piece of the sum over the ranks."""
    terms = features.movedim(dim, 0).contiguous()
    piece = terms.new_empty(terms.shape[0] // dist.get_world_size(), *terms.shape[1:])
    reduce_scatter(piece, terms)
    return piece.movedim(0, dim)


class IntoRanks(torch.autograd.Function):
    """Identity, whose gradient is summed: every rank has used the input for another part of the output."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return summed(gradients[0])


class OutOfRanks(torch.autograd.Function):
    """A sum, whose gradient is the identity: every term counts once."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return summed(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def column_parallel_linear(
    features: Float[Tensor, "... d_in"], weight_part: Float[Tensor, "d_out_part d_in"]
) -> Float[Tensor, "... d_out_part"]:
    """This rank's outputs of a layer that is split by outputs."""
    return IntoRanks.apply(features) @ weight_part.T


def row_parallel_linear(
    features_part: Float[Tensor, "... d_in_part"], weight_part: Float[Tensor, "d_out d_in_part"]
) -> Float[Tensor, "... d_out"]:
    """All outputs of a layer that is split by inputs, on all ranks."""
    return OutOfRanks.apply(features_part @ weight_part.T)  # type: ignore[no-any-return]


class GatherIntoRanks(torch.autograd.Function):
    """`IntoRanks` for a sequence that lies in pieces: gathered there, summed and cut back."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return gathered(features, SEQUENCE_DIM)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return summed_piece(gradients[0], SEQUENCE_DIM)


class CutOutOfRanks(torch.autograd.Function):
    """`OutOfRanks` for a sequence that is to lie in pieces."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return summed_piece(features, SEQUENCE_DIM)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gathered(gradients[0], SEQUENCE_DIM)


class Cut(torch.autograd.Function):
    """From a sequence that all ranks have to this rank's piece."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return own_piece(features, SEQUENCE_DIM).clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gathered(gradients[0], SEQUENCE_DIM)


class Gather(torch.autograd.Function):
    """From pieces to a sequence with which all ranks go on alike: all have its whole gradient."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        return gathered(features, SEQUENCE_DIM)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return own_piece(gradients[0], SEQUENCE_DIM).contiguous()


class TensorParallel(nn.Module):
    """A model whose blocks are split over all ranks; all are given the same batch, and all have the same logits.

    Matrices are cut in place and keep their names. The model's own code runs: its attention counts heads by the widths
    of what its projections give. What is not split (embedding, norms, head) is the same everywhere, from rank 0.

    Raises:
        ConfigError: heads, key/value heads or hidden units that the ranks do not divide, or a bias behind a sum.
    """

    def __init__(self, module: nn.Module, *, is_sequence_split: bool = False) -> None:
        super().__init__()
        self.module = module
        self.is_sequence_split = is_sequence_split
        self.split_dims: dict[str, int] = {}
        self._lengths: dict[str, int] = {}  # whole, along that dim
        self._name_of = {id(parameter): name for name, parameter in module.named_parameters()}
        self._positions = torch.empty(0)  # those of all features, while a block runs
        split = [(name, part) for name, part in module.named_modules() if _unit(part)]
        for name, part in split:  # all, before the first is cut
            _refuse_what_cannot_be_split(name, part, _unit(part))
        for tensor in module.parameters():
            dist.broadcast(tensor.data, src=0)
        for _, part in split:
            self._split(part)
            for norm in (getattr(part, "q_norm", None), getattr(part, "k_norm", None)):
                _sum_gradients(norm)  # one gain for all heads, of which a rank has some
        for name, part in module.named_modules():
            if is_sequence_split and name.rsplit(".", 1)[-1].startswith("ln"):
                _sum_gradients(part)  # one gain for all positions
        if is_sequence_split:
            module.get_submodule("token_embeddings").register_forward_hook(after(Cut))
            module.get_submodule("ln_final").register_forward_hook(after(Gather))
            for block in module.get_submodule("layers").children():
                block.register_forward_pre_hook(self._cut_positions, with_kwargs=True)

    def forward(self, token_ids: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The model's logits.

        Raises:
            ConfigError: sequences that cannot be cut into equal pieces.
        """
        if self.is_sequence_split and token_ids.shape[1] % dist.get_world_size():
            raise ConfigError(
                f"a sequence of {token_ids.shape[1]} positions cannot be split over {dist.get_world_size()} ranks: "
                "pad it, or do without is_sequence_split"
            )
        return self.module(token_ids, *args, **kwargs)

    def full_parameters(self) -> dict[str, Tensor]:
        """Every full parameter under its name in the model; called on all ranks."""
        return {name: self.full_like(name, each.detach()) for name, each in self.module.named_parameters()}

    def full_like(self, name: str, piece: Tensor) -> Tensor:
        """What belongs to this rank's piece of a parameter (itself, a moment), made whole; called on all ranks."""
        return (
            gathered(piece, self.split_dims[name], self._lengths[name]) if name in self.split_dims else piece
        )

    def piece_like(self, name: str, full: Tensor) -> Tensor:
        """This rank's part of what `full_like` made whole, on whatever number of ranks."""
        return own_piece(full, self.split_dims[name]) if name in self.split_dims else full

    @torch.no_grad()
    def load_full_parameters(self, full: Mapping[str, Tensor]) -> None:
        """Take this rank's pieces of full parameters.

        Raises:
            ConfigError: names or shapes that are not the model's.
        """
        mine = dict(self.module.named_parameters())
        if full.keys() != mine.keys():
            raise ConfigError(f"these are not the model's parameters: {sorted(full.keys() ^ mine.keys())}")
        for name, parameter in mine.items():
            piece = self.piece_like(name, full[name])
            if piece.shape != parameter.shape:
                raise ConfigError(
                    f"{name}: got a piece {tuple(piece.shape)}, wanted {tuple(parameter.shape)}"
                )
            parameter.copy_(piece)

    def _cut_positions(
        self, block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A block gets the positions of its features, a share; attention inside it gets all again."""
        self._positions = kwargs["positions"]
        return args, {**kwargs, "positions": own_piece(self._positions, -1)}

    def _split(self, part: nn.Module) -> None:
        """Cut the matrices of one attention or feed-forward, and let it talk at both ends."""
        into, out = (GatherIntoRanks, CutOutOfRanks) if self.is_sequence_split else (IntoRanks, OutOfRanks)

        def enter(
            _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if self.is_sequence_split and "positions" in kwargs:
                kwargs = {**kwargs, "positions": self._positions}
            return (into.apply(args[0]), *args[1:]), kwargs

        part.register_forward_pre_hook(enter, with_kwargs=True)
        part.register_forward_hook(after(out))  # what the last matrix gives is what the part gives
        for child, layer in part.named_children():
            if child in SPLIT_OUTPUTS:
                self._cut(layer, 0)
            if child in SPLIT_INPUTS:
                self._cut(layer, 1)

    def _cut(self, layer: nn.Module, dim: int) -> None:
        for parameter in layer.parameters(recurse=False):
            name = self._name_of[id(parameter)]
            if name not in self.split_dims:  # a tied one comes twice
                self.split_dims[name], self._lengths[name] = dim, parameter.shape[dim]
                parameter.data = own_piece(parameter.data, dim).clone()  # an optimizer that has it keeps it


def _unit(part: nn.Module) -> int:
    """How many outputs must stay together: those of a head, one hidden unit; 0 for what is not split."""
    if hasattr(part, "q_proj"):
        return int(getattr(part, "head_dim"))  # noqa: B009 - a module's attribute has no type
    return 1 if hasattr(part, "w1") else 0


def _refuse_what_cannot_be_split(name: str, part: nn.Module, unit: int) -> None:
    num_ranks = dist.get_world_size()
    for child, layer in part.named_children():
        count = layer.get_parameter("weight").shape[0] // unit if child in SPLIT_OUTPUTS else 0
        if count % num_ranks:
            what = "heads" if hasattr(part, "q_proj") else "hidden units"
            raise ConfigError(
                f"{name}.{child} has {count} {what}, which {num_ranks} ranks do not divide; take fewer --ranks, or "
                f"another {FLAGS[child]}"
            )
        if child in SPLIT_INPUTS and getattr(layer, "bias", None) is not None:
            raise ConfigError(
                f"{name}.{child} has a bias, which every rank would add to the sum: take it out"
            )


def after(function: type[torch.autograd.Function]) -> Any:
    """A forward hook that puts this behind a module."""
    return lambda module, args, output: function.apply(output)


def _sum_gradients(part: nn.Module | None) -> None:
    for parameter in part.parameters() if part is not None else ():
        if parameter.requires_grad:
            parameter.register_hook(summed)
