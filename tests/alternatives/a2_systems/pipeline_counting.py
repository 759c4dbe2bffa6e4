"""A rank that counts what it holds decides at every step what to do next."""

SOLVES = ("pipeline_schedule",)


class Rank:
    def __init__(self, rank, count):
        self.rank, self.count, self.steps = rank, count, []
        self.done = dict.fromkeys("FBIW", 0)

    def do(self, kind):
        self.steps.append((kind, self.rank, self.done[kind]))
        self.done[kind] += 1

    def left(self, kind):
        return self.done[kind] < self.count


def pipeline_schedule(name, num_stages, num_microbatches):
    if num_stages <= 0 or num_microbatches <= 0:
        raise ValueError("nothing to do")
    if name not in {"gpipe", "1f1b", "zero_bubble"}:
        raise ValueError(name)
    found = []
    for number in range(num_stages):
        rank = Rank(number, num_microbatches)
        back = "I" if name == "zero_bubble" else "B"
        limit = num_microbatches if name == "gpipe" else num_stages - number
        may_fill = True  # gpipe never goes forward again
        while rank.left(back):
            if may_fill and rank.left("F") and rank.done["F"] - rank.done[back] < limit:
                rank.do("F")
                continue
            may_fill = name != "gpipe"
            rank.do(back)
            if back == "I" and rank.done["I"] - rank.done["W"] > number:
                rank.do("W")
        while back == "I" and rank.left("W"):
            rank.do("W")
        found.append(rank.steps)
    return found
