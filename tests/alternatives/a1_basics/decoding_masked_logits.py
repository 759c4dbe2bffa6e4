"""Decoding in float64 on logits alone: what may not come is set to -inf, and one Categorical draws at the end."""

import torch

SOLVES = ("decoding",)


def filtered(logits, top_k, top_p):
    if top_k is not None and top_k < logits.numel():
        kept = torch.topk(logits, top_k).indices
        logits = torch.full_like(logits, -torch.inf).index_copy(0, kept, logits[kept])
    if top_p is not None:
        ranked, order = torch.sort(logits, descending=True)
        cumulative = ranked.softmax(0).cumsum(0)
        remove = cumulative.roll(1) >= top_p
        remove[0] = False
        logits = logits.index_fill(0, order[remove], -torch.inf)
    return logits


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
    for name, value, is_right in (
        ("temperature", temperature, temperature >= 0),
        ("top_k", top_k, top_k is None or top_k >= 1),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1),
    ):
        if not is_right:
            raise ValueError(f"{name}={value} is out of range")
    return stream(model, prompt, max_new_tokens, context_length, (temperature, top_k, top_p), seed, end_token)


def stream(model, prompt, left, context_length, settings, seed, end_token):
    temperature, top_k, top_p = settings
    generator = torch.Generator()
    generator.manual_seed(seed)
    tokens = prompt.clone()
    while left > 0:
        with torch.no_grad():
            logits = model(tokens[-context_length:].unsqueeze(0)).squeeze(0)[-1].to(torch.float64)
            if temperature > 0:
                p = filtered(logits / temperature, top_k, top_p).softmax(0)
                token = torch.multinomial(p, 1, generator=generator)
            else:
                token = logits.argmax(dim=-1, keepdim=True)
            tokens = torch.cat((tokens, token))
        left -= 1
        yield int(token.item())
        if end_token is not None and int(token.item()) == end_token:
            left = 0
