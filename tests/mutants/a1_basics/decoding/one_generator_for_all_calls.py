"""Keeps one generator for all calls: the second text with a seed is another."""

import torch

REJECTED_BY = "test_seed_decides_and_nothing_else"


generators = {}


def next_token(logits, temperature, top_k, top_p, generator):
    if temperature == 0:
        return int(logits.argmax())
    p = torch.softmax(logits.float() / temperature, dim=-1)
    if top_k is not None:
        smallest = p.topk(min(top_k, len(p))).values[-1]
        p = torch.where(p >= smallest, p, 0.0)
        p = p / p.sum()
    if top_p is not None:
        p, order = p.sort(descending=True)
        before = p.cumsum(0) - p
        p = torch.where(before < top_p, p, 0.0)
        return int(order[torch.multinomial(p / p.sum(), 1, generator=generator)])
    return int(torch.multinomial(p, 1, generator=generator))


def generate_tokens(
    model,
    prompt,
    max_new_tokens,
    context_length,
    temperature=1.0,
    top_k=None,
    top_p=None,
    seed=0,
    end_token=None,
):
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError("settings out of range")
    if seed not in generators:
        generators[seed] = torch.Generator().manual_seed(seed)
    generator = generators[seed]
    tokens = prompt.tolist()
    for _ in range(max_new_tokens):
        with torch.no_grad():
            logits = model(torch.tensor([tokens[-context_length:]]))[0, -1]
        token = next_token(logits, temperature, top_k, top_p, generator)
        yield token
        if token == end_token:
            return
        tokens.append(token)
