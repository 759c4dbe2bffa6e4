"""Every action has a number, and a rank runs them in the order of their numbers."""

SOLVES = ("pipeline_schedule",)


def pipeline_schedule(name, num_stages, num_microbatches):
    numbers = {"gpipe": gpipe, "1f1b": one_and_one, "zero_bubble": halves}
    if name not in numbers or min(num_stages, num_microbatches) < 1:
        raise ValueError(f"cannot make {name!r} of {num_stages} stages and {num_microbatches} microbatches")
    ranks = []
    for rank in range(num_stages):
        numbered = numbers[name](rank, num_stages - 1 - rank, num_microbatches)
        ranks.append([(kind, rank, i) for _, kind, i in sorted(numbered)])
    return ranks


def gpipe(rank, ahead, count):
    for i in range(count):
        yield i, "F", i
        yield 2 * count - i, "B", i


def one_and_one(rank, ahead, count):
    for i in range(count):
        yield (i if i < ahead else ahead + 2 * (i - ahead)), "F", i
        yield ahead + 2 * i + 1, "B", i


def halves(rank, ahead, count):
    for i in range(count):
        yield (i if i < ahead else ahead + 3 * (i - ahead)), "F", i
        yield ahead + 3 * i + 1, "I", i
        yield ahead + 3 * (i + rank) + 2, "W", i
