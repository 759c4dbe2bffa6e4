"""In bfloat16, as some do on GPUs: two digits."""

REJECTED_BY = "test_each_singular_value_goes_through_the_quintic"
BASE = "rungs_plain"
CHANGES = (
    ("x = in_matrix / (in_matrix.norm() + 1e-20)", "x = (in_matrix / (in_matrix.norm() + 1e-20)).bfloat16()"),
    ("    return x\n\n\ndef run_muon_step", "    return x.float()\n\n\ndef run_muon_step"),
)
