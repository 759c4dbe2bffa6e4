"""Squares in float16: 300 squared is infinite."""

REJECTED_BY = "test_float16_squares_do_not_overflow"
BASE = "rungs_plain"
CHANGES = (("wide = x.float()\n    return (wide", "wide = x\n    return (wide"),)
