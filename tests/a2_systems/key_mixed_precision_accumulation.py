"""Keys of mixed_precision_accumulation: the loops themselves."""

import torch

from tests.harness.keys import Check, number

TERMS, TERM = 1000, 0.01


def loop(sum_dtype: torch.dtype, term_dtype: torch.dtype) -> float:
    """A thousand terms added one after the other."""
    total = torch.tensor(0, dtype=sum_dtype)
    for _ in range(TERMS):
        total += torch.tensor(TERM, dtype=term_dtype)
    return total.item()


def rest(dtype: torch.dtype) -> float:
    """Where a sum of ever more terms stands still."""
    total, term = torch.tensor(0, dtype=dtype), torch.tensor(TERM, dtype=dtype)
    while total + term != total:
        total = total + term
    return total.item()


A_SUM = "run the loop and print the sum with six decimals"
ELSE = {
    "this is a sum in float16": lambda _: loop(torch.float16, torch.float16),
    "this is with terms of float32: 0.01 in float16 is another number": lambda _: loop(
        torch.float32, torch.float32
    ),
    "this is with terms of float16": lambda _: loop(torch.float32, torch.float16),
    "this is 1000 x 0.01 on paper": lambda _: 10.0,
}
STOPS = (
    "a sum stands still once half the distance to the next number is more than 0.01: look at powers of two"
)

CHECKS: dict[str, Check] = {
    "float32_sum": number(lambda _: loop(torch.float32, torch.float32), ELSE, A_SUM),
    "float16_sum": number(lambda _: loop(torch.float16, torch.float16), ELSE, A_SUM),
    "mixed_sum": number(lambda _: loop(torch.float32, torch.float16), ELSE, A_SUM),
    "widened_sum": number(lambda _: loop(torch.float32, torch.float16), ELSE, A_SUM),
    "float16_stops_at": number(
        lambda _: rest(torch.float16), {"this is for bfloat16": lambda _: rest(torch.bfloat16)}, STOPS
    ),
    "bfloat16_stops_at": number(
        lambda _: rest(torch.bfloat16), {"this is for float16": lambda _: rest(torch.float16)}, STOPS
    ),
}
