"""Hands on the first argument and drops the keywords."""

REJECTED_BY = "test_the_forward_pass_is_the_modules"
BASE = "replicas_send_copies"
CHANGES = (
    (
        "    def forward(self, *args, **kwargs):\n"
        "        return self.module(*args, **kwargs)\n"
        "\n"
        "    def average(self):\n"
        "        for p in self.module",
        "    def forward(self, x, *args, **kwargs):\n"
        "        return self.module(x)\n"
        "\n"
        "    def average(self):\n"
        "        for p in self.module",
    ),
)
