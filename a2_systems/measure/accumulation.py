"""What a sum loses in each format: the four loops of the handout, and how the error grows with the number of terms.

One term after the other, the error of a sum grows like the number of terms, and a sum stops growing when a term is less
than half the distance to the next number of its format. Summed in pairs it grows like the logarithm. That is why matrix
products take half-precision numbers and add them up in float32.

Source: [higham-2002] section 4.2; [mixed-2018] section 3.3.
"""

import torch

NUM_TERMS, TERM = 1000, 0.01
LOOPS = {
    "float32 terms, float32 sum": (torch.float32, torch.float32),
    "float16 terms, float16 sum": (torch.float16, torch.float16),
    "float16 terms, float32 sum": (torch.float16, torch.float32),
    "float16 terms widened, float32 sum": (torch.float16, torch.float32),
}
FORMATS = (torch.float32, torch.float16, torch.bfloat16)


def loop_sum(term_dtype: torch.dtype, sum_dtype: torch.dtype, *, is_widened: bool = False) -> float:
    """A thousand hundredths, added one after the other.

    >>> round(loop_sum(torch.float16, torch.float16), 4), round(loop_sum(torch.float16, torch.float32), 4)
    (9.9531, 10.0021)
    """
    total, term = torch.tensor(0.0, dtype=sum_dtype), torch.tensor(TERM, dtype=term_dtype)
    for _ in range(NUM_TERMS):
        total += term.to(sum_dtype) if is_widened else term
    return total.item()


def the_four_loops() -> dict[str, float]:
    """What each loop arrives at; on paper it is 10."""
    return {name: loop_sum(*dtypes, is_widened="widened" in name) for name, dtypes in LOOPS.items()}


def running_error(terms: torch.Tensor, dtype: torch.dtype) -> list[float]:
    """Relative error of the sum after 1, 2, 4 … terms, each added in `dtype`; the terms as they are in that format."""
    rounded = terms.to(dtype)
    exact, total, errors, due = 0.0, torch.zeros((), dtype=dtype), [], 1
    for count, (term, wide) in enumerate(zip(rounded, rounded.double().tolist(), strict=True), start=1):
        total = total + term
        exact += wide
        if count == due:
            errors.append(abs(total.item() - exact) / abs(exact))
            due *= 2
    return errors


def pairwise_error(terms: torch.Tensor, dtype: torch.dtype) -> list[float]:
    """The same when halves are summed first: each sum has as many roundings as the logarithm of its length."""
    rounded = terms.to(dtype)
    errors, length = [], 1
    while length <= len(terms):
        level = rounded[:length]
        while len(level) > 1:
            level = level[0::2] + level[1::2]
        exact = rounded[:length].double().sum().item()
        errors.append(abs(level.item() - exact) / abs(exact))
        length *= 2
    return errors
