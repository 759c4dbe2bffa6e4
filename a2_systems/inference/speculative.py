"""Speculative decoding: cheap guesses, checked many at a time by the model whose answer is wanted.

A pass over k guessed tokens costs a model that waits for memory hardly more than a pass over one. `accepted_tokens` is
the rule that leaves the target's distribution as it is, whatever was guessed: the guess x is kept with probability
min(1, p(x) / q(x)), and the first that is not kept is replaced by a draw from what p has above q.

Source: [speculative-2023] section 2.3 and appendix A.1; [prompt-lookup-2023] for guesses from the text itself.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from a2_systems.inference.kv_cache import KVCache
from a2_systems.inference.sampling import draw_number, drawn_tokens, token_distribution
from shared.doors.inference import SamplingParams
from shared.doors.protocols import ModelConfig

GUESS, KEEP, REPLACE = 1, 2, 3  # the purposes of a request's draws at one position


def accepted_tokens(
    target: Float[Tensor, "num_guesses_and_one vocab"],
    draft: Float[Tensor, "num_guesses vocab"],
    guesses: Sequence[int],
    keep_numbers: Sequence[float],
    replace_numbers: Sequence[float],
) -> list[int]:
    """The guesses that are kept, and one token more: a replacement, or what follows when all are kept.

    `target[i]` and `draft[i]` are the distributions of guess i given those before it. All numbers lie in [0, 1).
    """
    for i, guess in enumerate(guesses):
        if keep_numbers[i] * float(draft[i, guess]) < float(target[i, guess]):
            continue
        residual = (target[i] - draft[i]).clamp(min=0)
        # Where rounding leaves nothing of it, p and q are equal and a rejection is as good as impossible.
        residual = residual if residual.sum() > 0 else target[i]
        return [*guesses[:i], int(drawn_tokens(residual[None], [replace_numbers[i]]))]
    return [*guesses, int(drawn_tokens(target[-1:], [replace_numbers[-1]]))]


def looked_up(tokens: Sequence[int], count: int, longest: int = 3) -> list[int]:
    """What followed when the text last said what it says now: at most `count` tokens, perhaps none.

    >>> looked_up([1, 2, 3, 4, 9, 2, 3], count=2)
    [4, 9]
    """
    for length in range(min(longest, len(tokens) - 1), 0, -1):
        end = list(tokens[-length:])
        for start in range(len(tokens) - length - 1, -1, -1):
            if tokens[start] == end[0] and list(tokens[start : start + length]) == end:
                return list(tokens[start + length : start + length + count])
    return []


def speculative_tokens(
    model: nn.Module,
    shape: ModelConfig,
    draft_model: nn.Module,
    draft_shape: ModelConfig,
    prompt: Int[Tensor, "seq"],
    params: SamplingParams,
    num_guesses: int,
) -> Iterator[list[int]]:
    """The answer to one prompt; what every pass of the model brings, one token at least.

    Both models must have the same vocabulary. The answer ends as the engine's does, at a stop token or its length.
    """
    tokens = prompt.tolist()
    end = min(shape.context_length, draft_shape.context_length, len(tokens) + params.max_new_tokens)
    cache = KVCache.for_model(model, shape, 1)
    draft_cache = KVCache.for_model(draft_model, draft_shape, 1)
    while len(tokens) < end:
        count = min(num_guesses, end - len(tokens) - 1)
        guesses, drafts = _guessed(draft_model, draft_cache, tokens, params, count)
        logits = _read(model, cache, [*tokens, *guesses])[-count - 1 :]
        targets = [token_distribution(row, params, [*tokens, *guesses[:i]]) for i, row in enumerate(logits)]
        positions = range(len(tokens), len(tokens) + count + 1)
        new = accepted_tokens(
            torch.stack(targets),
            torch.stack(drafts) if drafts else logits[:0],
            guesses,
            [draw_number(params.seed, position, KEEP) for position in positions],
            [draw_number(params.seed, position, REPLACE) for position in positions],
        )
        stops = [at for at, token in enumerate(new) if token in params.stop_tokens]
        new = new[: stops[0] + 1] if stops else new
        tokens += new
        yield new
        if stops:
            return
        # What was guessed wrongly is read again; of what is kept, all but the last token is in both caches.
        cache.cut(len(tokens) - 1)
        draft_cache.cut(len(tokens) - 1)


def _guessed(
    model: nn.Module, cache: KVCache, tokens: Sequence[int], params: SamplingParams, count: int
) -> tuple[list[int], list[Tensor]]:
    guesses, distributions = [], []
    for _ in range(count):
        known = [*tokens, *guesses]
        distribution = token_distribution(_read(model, cache, known)[-1], params, known)
        number = draw_number(params.seed, len(known), GUESS)
        guesses.append(int(drawn_tokens(distribution[None], [number])))
        distributions.append(distribution)
    return guesses, distributions


@torch.inference_mode()
def _read(model: nn.Module, cache: KVCache, tokens: Sequence[int]) -> Float[Tensor, "new vocab"]:
    """The logits after every token that the cache does not have yet."""
    new = torch.tensor([tokens[cache.length :]], device=cache.keys.device)
    return model(new, cache.next_positions(new.shape[1]), cache)[0]
