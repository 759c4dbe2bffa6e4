"""Draws from numpy: torch's seed does not decide."""

REJECTED_BY = "test_torchs_generator_decides"
BASE = "rungs_plain"
CHANGES = (
    ("import torch\n", "import numpy as np\nimport torch\n"),
    (
        "kept = torch.rand(in_features.shape) >= drop_fraction",
        "kept = torch.from_numpy(np.random.default_rng().random(in_features.shape)) >= drop_fraction",
    ),
)
