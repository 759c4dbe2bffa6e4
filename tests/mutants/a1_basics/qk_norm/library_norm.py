"""Calls the library's RMSNorm."""

REJECTED_BY = "forbidden"
BASE = "rungs_plain"
CHANGES = (
    (
        "q, k = norm(Q, q_weights, eps), norm(K, k_weights, eps)",
        (
            "q = torch.nn.functional.rms_norm(Q, Q.shape[-1:], q_weights, eps)\n"
            "    k = torch.nn.functional.rms_norm(K, K.shape[-1:], k_weights, eps)"
        ),
    ),
)
