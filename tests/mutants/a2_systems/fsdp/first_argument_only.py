"""Hands on the first argument and drops the keywords."""

REJECTED_BY = "test_steps_are_those_of_one_process"
BASE = "fsdp_saved_tensors"
CHANGES = (
    ("    def forward(self, *args, **kwargs):", "    def forward(self, x, *args, **kwargs):"),
    ("return self.module(*args, **kwargs)", "return self.module(x)"),
)
