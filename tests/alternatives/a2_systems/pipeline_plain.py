"""Slices of the microbatches: an empty slice where there are too few."""

SOLVES = ("pipeline_schedule",)


def pipeline_schedule(name, num_stages, num_microbatches):
    if name not in ("gpipe", "1f1b", "zero_bubble"):
        raise ValueError(f"no schedule {name!r}")
    if num_stages < 1 or num_microbatches < 1:
        raise ValueError("wanted at least one stage and one microbatch")
    return [steps_of(name, rank, num_stages, num_microbatches) for rank in range(num_stages)]


def steps_of(name, rank, num_stages, num_microbatches):
    every = range(num_microbatches)
    if name == "gpipe":
        return [("F", rank, i) for i in every] + [("B", rank, i) for i in every]
    ahead = num_stages - 1 - rank
    steps = [("F", rank, i) for i in every[:ahead]]
    for i in every:
        steps += [("F", rank, j) for j in every[i + ahead : i + ahead + 1]]
        if name == "1f1b":
            steps.append(("B", rank, i))
        else:
            steps.append(("I", rank, i))
            if i >= rank:
                steps.append(("W", rank, i - rank))
    if name == "zero_bubble":
        steps += [("W", rank, i) for i in every[max(num_microbatches - rank, 0) :]]
    return steps
