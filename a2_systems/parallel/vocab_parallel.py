"""Both ends of a language model split by rows of their tables: each rank holds a part of the vocabulary.

The table of embeddings and the output matrix are a small model's largest, and its logits the largest tensor of its
training. Split by rows, a rank looks up the ids that it has, zeros for the others, and a sum over the ranks is the
embedding. At the other end each has the logits of its own tokens, and cross-entropy wants only three numbers for each
position from all of them: the largest logit, the sum of exponentials, and the logit of the target, which one rank has.
So three numbers are all-reduced where gathering would bring every rank a vocabulary of them; the loss's backward pass
sends nothing.

Source: [megatron-2019] section 3.
"""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from a2_systems.parallel.tensor_parallel import (
    IntoRanks,
    OutOfRanks,
    TensorParallel,
    after,
    gathered,
    own_piece,
    own_range,
)
from shared.errors import ConfigError

Ids = Int[Tensor, "..."]


def vocab_parallel_embedding(
    token_ids: Ids, table_part: Float[Tensor, "vocab_part d_model"], vocab_size: int
) -> Float[Tensor, "... d_model"]:
    """The rows of a table of which each rank has some, on all ranks.

    Raises:
        ValueError: an id outside the vocabulary.
    """
    place, is_mine = _own_place(token_ids, vocab_size)
    rows = torch.nn.functional.embedding(place, table_part) * is_mine[..., None]
    return OutOfRanks.apply(rows)  # type: ignore[no-any-return]


def vocab_parallel_cross_entropy(
    logits_part: Float[Tensor, "... vocab_part"], targets: Ids, vocab_size: int
) -> Float[Tensor, "..."]:
    """The loss of each target in nats, on all ranks, from the logits of which each rank has some; never gathered.

    Sends two all-reduces, together three numbers for each target, and nothing backward.

    Raises:
        ValueError: a target outside the vocabulary.
    """
    return _CrossEntropy.apply(logits_part, *_own_place(targets, vocab_size))  # type: ignore[no-any-return]


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_part: Tensor, place: Tensor, is_mine: Tensor) -> Tensor:
        wide = logits_part.to(torch.promote_types(logits_part.dtype, torch.float32))
        largest = wide.amax(dim=-1, keepdim=True)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        shifted = wide - largest
        at_target = shifted.gather(-1, place[..., None])[..., 0] * is_mine
        probabilities = shifted.exp_()
        sums = torch.stack([probabilities.sum(dim=-1), at_target])
        dist.all_reduce(sums)
        total, at_target = sums
        probabilities /= total[..., None]
        ctx.save_for_backward(probabilities, place, is_mine)
        ctx.dtype = logits_part.dtype
        return total.log() - at_target

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        probabilities, place, is_mine = ctx.saved_tensors
        of_nats = gradients[0][..., None]
        of_logits = probabilities * of_nats
        of_logits.scatter_add_(-1, place[..., None], -of_nats * is_mine[..., None])
        return of_logits.to(ctx.dtype), None, None


def _own_place(token_ids: Ids, vocab_size: int) -> tuple[Int[Tensor, "..."], Bool[Tensor, "..."]]:
    """Where in this rank's part an id lies, and whether it lies there; for the others any place."""
    if bool(((token_ids < 0) | (token_ids >= vocab_size)).any()):
        raise ValueError(
            f"token ids from {int(token_ids.min())} to {int(token_ids.max())}; wanted 0 to {vocab_size - 1}: were "
            "they made with another tokenizer?"
        )
    mine = own_range(vocab_size)
    is_mine = (token_ids >= mine.start) & (token_ids < mine.stop)
    return torch.where(is_mine, token_ids - mine.start, 0).long(), is_mine


class TensorParallelLM(TensorParallel):
    """`TensorParallel` whose ends are split too; a vocabulary that the ranks do not divide is cut as evenly as can be.

    Called, it gathers the logits, for whoever wants them; `loss` trains without them. The model's own code runs: its
    last matrix, its own or the table of embeddings, simply has fewer rows.

    Raises:
        ConfigError: a vocabulary smaller than the number of ranks, or a model without the parts that are split.
    """

    def __init__(self, module: nn.Module) -> None:
        parts = dict(module.named_children())
        missing = [name for name in ("token_embeddings", "layers", "ln_final") if name not in parts]
        if missing:
            raise ConfigError(
                f"a {type(module).__name__} cannot be split by its vocabulary: it has no {', '.join(missing)}"
            )
        self_table = parts["token_embeddings"]
        vocab_size = self_table.get_parameter("weight").shape[0]
        if vocab_size < dist.get_world_size():
            raise ConfigError(
                f"--model.vocab-size {vocab_size} gives some of {dist.get_world_size()} ranks no token; "
                "take fewer --ranks"
            )
        super().__init__(module)
        self.vocab_size = vocab_size
        for name in ("token_embeddings", "lm_head"):
            if isinstance(parts.get(name), nn.Module):
                self._cut(parts[name], 0)
        self_table.forward = lambda token_ids: vocab_parallel_embedding(
            token_ids, self_table.get_parameter("weight"), vocab_size
        )
        parts["ln_final"].register_forward_hook(after(IntoRanks))

    def forward(self, token_ids: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """All logits, on all ranks."""
        return _GatherLogits.apply(self.module(token_ids, *args, **kwargs), self.vocab_size)  # type: ignore[no-any-return]

    def loss(
        self, token_ids: Int[Tensor, "batch seq"], targets: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, ""]:
        """The mean cross-entropy in nats per token, on all ranks."""
        return vocab_parallel_cross_entropy(self.module(token_ids), targets, self.vocab_size).mean()


class _GatherLogits(torch.autograd.Function):
    """From parts of the vocabulary to all of it, with which all ranks go on alike: all have its whole gradient."""

    @staticmethod
    def forward(ctx: Any, logits_part: Tensor, vocab_size: int) -> Tensor:
        return gathered(logits_part, -1, vocab_size)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return own_piece(gradients[0], -1).contiguous(), None
