"""Holds every recomputed inside until the process ends."""

REJECTED_BY = "test_one_inside_at_a_time"
BASE = "checkpointing_function"
CHANGES = (
    ("class Again", "HELD = []\n\n\nclass Again"),
    ("        pairs = ", "        HELD.append(results)\n        pairs = "),
    ("[g for _, g in pairs])", "[g for _, g in pairs], retain_graph=True)"),
)
