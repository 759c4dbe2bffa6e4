"""A transformer cut into stages: the embedding at one end, the head at the other, whole blocks in between.

A stage is made of the model's own parts under their own names, so its state dict is a piece of the model's.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from shared.doors.protocols import Attend
from shared.errors import ConfigError

PARTS = ("token_embeddings", "layers", "ln_final", "lm_head")
"""Where the parameters of a model that can be cut may lie."""


def causal(
    layer: int,
    queries: Float[Tensor, "batch heads q_len head_dim"],
    keys: Float[Tensor, "batch kv_heads q_len head_dim"],
    values: Float[Tensor, "batch kv_heads q_len head_dim"],
) -> Float[Tensor, "batch heads q_len head_dim"]:
    """Causal attention by torch's kernel."""
    is_grouped = queries.shape[1] != keys.shape[1]
    return F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=is_grouped)


def plain_linear(
    features: Float[Tensor, "... d_in"], weight: Float[Tensor, "d_out d_in"]
) -> Float[Tensor, "... d_out"]:
    """`x W^T`."""
    return features @ weight.T


def layers_of(stage: int, num_stages: int, num_layers: int) -> range:
    """The blocks of a stage: neighbours, as even as can be.

    >>> [list(layers_of(stage, 3, 7)) for stage in range(3)]
    [[0, 1], [2, 3], [4, 5, 6]]
    """
    return range(stage * num_layers // num_stages, (stage + 1) * num_layers // num_stages)


class Stage(nn.Module):
    """One piece of a model: token ids go into the first, features from one to the next, logits out of the last.

    The head of a model with tied embeddings is the embedding table, so the first stage and the last both hold it. Their
    gradients of it must be added up; `runtime.Pipeline` does that.

    Raises:
        ConfigError: fewer blocks than stages, or a model with parameters elsewhere than in `PARTS`.
    """

    def __init__(self, model: nn.Module, index: int, num_stages: int, attend: Attend = causal) -> None:
        super().__init__()
        blocks = _blocks(model, num_stages)
        self.is_first, self.is_last = index == 0, index == num_stages - 1
        self.attend = attend
        self.linear: Callable[[Tensor, Tensor], Tensor] = plain_linear
        head = getattr(model, "lm_head", None)
        has_table = self.is_first or (self.is_last and head is None)
        self.token_embeddings = model.get_submodule("token_embeddings") if has_table else None
        mine = layers_of(index, num_stages, len(blocks))
        self.layers = nn.ModuleDict({str(layer): blocks[layer] for layer in mine})
        self.rope = getattr(model, "rope", None)
        self.ln_final = model.get_submodule("ln_final") if self.is_last else None
        self.lm_head = head if self.is_last else None

    def forward(
        self,
        features: Int[Tensor, "batch seq"] | Float[Tensor, "batch seq d_model"],
        attend: Attend | None = None,
    ) -> Float[Tensor, "batch seq out"]:
        """The features behind this stage's last block, or the logits; `attend` None: the stage's own."""
        positions = torch.arange(features.shape[1], device=features.device)[
            None, None
        ]  # one row for all heads
        if self.is_first and self.token_embeddings is not None:
            features = self.token_embeddings(features)
        for layer, block in self.layers.items():
            features = block(
                features, layer=int(layer), rope=self.rope, positions=positions, attend=attend or self.attend
            )
        if self.ln_final is None:
            return features
        features = self.ln_final(features)
        if self.lm_head is not None:
            return self.lm_head(features)
        assert self.token_embeddings is not None
        return self.linear(features, self.token_embeddings.get_parameter("weight"))


def _blocks(model: nn.Module, num_stages: int) -> nn.ModuleList:
    elsewhere = sorted({name.split(".")[0] for name, _ in model.named_parameters()} - set(PARTS))
    blocks = getattr(model, "layers", None)
    if elsewhere or not isinstance(blocks, nn.ModuleList):
        unknown = (
            f"nobody knows which stage needs {', '.join(elsewhere)}"
            if elsewhere
            else "it has no list `layers`"
        )
        raise ConfigError(
            f"a {type(model).__name__} cannot be cut into stages: {unknown}; wanted a model of {', '.join(PARTS)}"
        )
    if not 1 <= num_stages <= len(blocks):
        raise ConfigError(
            f"{num_stages} stages and {len(blocks)} blocks; a stage needs at least one: take fewer stages (--ranks, or "
            "a --schedule with one for each), or more --model.num-layers"
        )
    return blocks
