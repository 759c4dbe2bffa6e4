"""The feed-forward with w1 and w3 joined into one parameter and one product, split afterwards."""

import torch

SOLVES = ("positionwise_feedforward",)


class SwiGLU(torch.nn.Module):
    def __init__(self, w1, w2, w3):
        super().__init__()
        self.up = torch.nn.Parameter(torch.cat((w1, w3)).detach())
        self.down = torch.nn.Parameter(w2.detach().T.contiguous())

    def forward(self, x):
        gate, content = (x @ self.up.T).chunk(2, dim=-1)
        return gate.mul(gate.sigmoid()).mul(content) @ self.down


def run_swiglu(d_model, d_ff, w1_weight, w2_weight, w3_weight, in_features):
    return SwiGLU(w1_weight, w2_weight, w3_weight)(in_features)
