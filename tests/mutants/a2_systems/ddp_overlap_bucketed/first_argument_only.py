"""Hands on the first argument and drops the keywords."""

REJECTED_BY = "test_the_forward_pass_is_the_modules"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "    def forward(self, *args, **kwargs):\n"
        "        if any(self.arrived) and torch.is_grad_enabled():\n"
        "            self.drain()\n"
        "        return self.module(*args, **kwargs)",
        "    def forward(self, x, *args, **kwargs):\n"
        "        if any(self.arrived) and torch.is_grad_enabled():\n"
        "            self.drain()\n"
        "        return self.module(x)",
    ),
)
