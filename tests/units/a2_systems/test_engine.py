"""Laws of the engine: every answer is what the model alone gives, whoever else is served, in whatever pages."""

import random
from dataclasses import replace

import pytest
import torch

from a1_basics.adapters import build_model
from a2_systems.inference.engine import PagedEngine
from a2_systems.inference.kv_cache import KVCache, greedy_tokens
from a2_systems.inference.paged_attention import BatchedPagedAttention, Chunk, PagedAttention, PagedCache
from shared.doors.inference import EngineConfig, SamplingParams
from shared.doors.protocols import ModelConfig
from shared.errors import ConfigError

# Grouped heads, norms and biases: as in Qwen3 and Qwen2.
SHAPE = ModelConfig(97, 64, 32, 2, 4, 64, num_kv_heads=2, qk_norm=True, qkv_bias=True, norm_eps=1e-6)
TOKEN_BYTES = {token: bytes([token + 32]) for token in range(96)}  # 96 stands for no text
GREEDY = SamplingParams(max_new_tokens=24, temperature=0)
DRAWN = SamplingParams(max_new_tokens=24, top_p=0.9, top_k=40, min_p=0.01, repetition_penalty=1.1, seed=3)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = build_model(SHAPE).double().eval()
    # In float64 and with logits far apart: the order of sums, which a batch changes, never decides a token.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


@pytest.fixture(scope="module")
def prompts():
    rng = random.Random(1)
    prompts = [[rng.randrange(97) for _ in range(rng.randrange(1, 40))] for _ in range(9)]
    return [*prompts, prompts[2], prompts[2], [*prompts[4][:17], 5, 6]]


def engine_of(model, **settings):
    return PagedEngine(model, SHAPE, TOKEN_BYTES, EngineConfig(**{"cache_mb": 4.0} | settings))


def tokens(generations):
    return [list(each.tokens) for each in generations]


def slow_greedy(model, prompt, count):
    """A pass over everything for each token: the oracle."""
    ids = [*prompt]
    with torch.inference_mode():
        while len(ids) < min(SHAPE.context_length, len(prompt) + count):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.fixture(scope="module")
def oracle(model, prompts):
    return [slow_greedy(model, prompt, GREEDY.max_new_tokens) for prompt in prompts]


def test_a_cache_gives_what_passes_over_everything_give(model, prompts, oracle):
    cached = [
        [int(token) for token in greedy_tokens(model, SHAPE, torch.tensor([prompt]), GREEDY.max_new_tokens)]
        for prompt in prompts
    ]
    assert cached == oracle


def test_a_cache_in_pieces_of_any_length_gives_the_same_logits_and_can_be_cut_back(model):
    ids = torch.randint(97, (2, 40), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        whole = model(ids)
        cache = KVCache.for_model(model, SHAPE, batch=2)
        pieces = []
        for size in (7, 1, 1, 20, 11):
            start = cache.length
            positions = cache.next_positions(size)
            pieces.append(model(ids[:, start : start + size], positions, cache))
        # float64: the order of the sums differs, nothing else
        torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=0, atol=1e-10)
        cache.cut(9)
        again = model(ids[:, 9:], cache.next_positions(31), cache)
        torch.testing.assert_close(again, whole[:, 9:], rtol=0, atol=1e-10)
        with pytest.raises(ValueError, match="65 positions do not fit a cache of 64"):
            cache(0, *(torch.zeros(2, heads, 25, 8, dtype=torch.float64) for heads in (4, 2, 2)))


@pytest.mark.parametrize("attention", [PagedAttention, BatchedPagedAttention])
def test_scattered_pages_read_as_one_sequence(attention):
    """Two sequences in interleaved pages, one of them reading a single token."""
    generator = torch.Generator().manual_seed(0)
    cache = PagedCache(SHAPE, num_pages=9, page_size=4, dtype=torch.float64)
    pages = [[7, 2, 5], [0, 8, 3]]
    lengths = [9, 11]
    drawn = {
        name: [
            torch.randn(1, heads, length, 8, dtype=torch.float64, generator=generator) for length in lengths
        ]
        for name, heads in (("q", 4), ("k", 2), ("v", 2))
    }

    def attend(counts, starts):
        chunks = [Chunk(*each) for each in zip(pages, starts, counts, strict=True)]
        parts = [
            torch.cat(
                [one[:, :, s : s + n] for one, s, n in zip(drawn[name], starts, counts, strict=True)], 2
            )
            for name in "qkv"
        ]
        return attention(cache, chunks)(1, *parts).split(counts, dim=2)

    first = attend([8, 3], [0, 0])
    second = attend([1, 8], [8, 3])
    for row, parts in enumerate(zip(first, second, strict=True)):
        q, k, v = (drawn[name][row] for name in "qkv")
        wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        torch.testing.assert_close(torch.cat(parts, 2), wanted, rtol=0, atol=1e-12)
    assert not cache.keys[0].any()
    assert not cache.values[1, [1, 4, 6]].any()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"page_size": 1, "tokens_per_step": 7},
        {"page_size": 5, "max_sequences": 2},
        {"page_size": 4, "cache_mb": 0.07},  # 17 pages: requests are put off again and again
        {"shares_prefixes": False, "tokens_per_step": 1},
        {"proposal_tokens": 4, "page_size": 3, "tokens_per_step": 19},
    ],
    ids=str,
)
@pytest.mark.parametrize("params", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_no_setting_of_the_engine_and_no_neighbour_changes_an_answer(
    model, prompts, oracle, settings, params
):
    engine = engine_of(model, **settings)
    together = tokens(engine.generate(prompts, params))
    if params is GREEDY:
        assert together == oracle
    else:
        alone = engine_of(model)
        seeds = range(params.seed, params.seed + len(prompts))
        assert together == [
            tokens(alone.generate([prompt], replace(params, seed=seed)))[0]
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
    assert engine.is_idle
    assert engine._pool.num_available == engine._pool.num_pages


def test_who_comes_late_or_goes_early_changes_nothing(model, prompts, oracle):
    engine = engine_of(model, page_size=4, tokens_per_step=20)
    rng = random.Random(5)
    waiting, got, numbers, victims = list(range(len(prompts))), {}, {}, []
    while waiting or not engine.is_idle:
        if waiting and rng.random() < 0.5:
            index = waiting.pop(rng.randrange(len(waiting)))
            numbers[engine.add(prompts[index], GREEDY)] = index
        if rng.random() < 0.2:
            victims.append(engine.add(prompts[rng.randrange(len(prompts))], GREEDY))
        if victims and rng.random() < 0.3:
            engine.cancel(victims.pop())
        for new in engine.step():
            if new.request in numbers:
                got.setdefault(numbers[new.request], []).append(new.token)
    assert [got[index] for index in range(len(prompts))] == oracle


def test_equal_prompts_are_read_once_and_share_their_pages(model, monkeypatch):
    engine = engine_of(model, page_size=4)
    prompt = list(range(30))
    seen = []
    real = engine._read
    monkeypatch.setattr(engine, "_read", lambda turns: seen.append(turns) or real(turns))
    numbers = [engine.add(prompt, GREEDY) for _ in range(8)]
    engine.step()
    engine.step()
    read = sum(turn.num_tokens for turns in seen for turn in turns)
    assert read == 30 + 1 + 7, "the first reads its prompt and a token, the others the prompt's last token"
    # seven full pages together, and for each of eight the page in which they go on
    held = engine._pool.num_pages - engine._pool.num_available
    assert held == 7 + 8
    for number in numbers:
        engine.cancel(number)
    assert engine._pool.num_available == engine._pool.num_pages


def test_other_weights_while_serving(model, prompts):
    """Tokens drawn before stay; those after are what the new weights say after all that came before."""
    engine = engine_of(model)
    torch.manual_seed(7)
    other = build_model(SHAPE).double().eval()
    old = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    prompt = prompts[0]
    try:
        number = engine.add(prompt, GREEDY)
        before = [new.token for _ in range(5) for new in engine.step()]
        assert before == slow_greedy(model, prompt, 5)
        engine.load_weights(other.state_dict())
        after = []
        while not engine.is_idle:
            after += [new.token for new in engine.step() if new.request == number]
        assert after == slow_greedy(other, [*prompt, *before], len(after))
        assert len(before) + len(after) == GREEDY.max_new_tokens
    finally:
        model.load_state_dict(old)


def test_logprobs_are_the_models_own_and_the_best_stand_first(model, prompts):
    params = SamplingParams(max_new_tokens=6, temperature=0.7, top_k=3, num_logprobs=4)
    engine = engine_of(model)
    engine.add(prompts[1], params)
    news = []
    while not engine.is_idle:
        news += engine.step()
    ids = [*prompts[1], *(new.token for new in news)]
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([ids]))[0].float(), -1)
    for offset, new in enumerate(news):
        row = logprobs[len(prompts[1]) - 1 + offset]
        assert new.logprob == pytest.approx(float(row[new.token]), abs=1e-5)  # float32
        assert [token for token, _ in new.top] == row.topk(4).indices.tolist()


def test_an_answer_ends_at_a_stop_token_a_stop_text_or_its_length(model, prompts, oracle):
    prompt, answer = prompts[0], oracle[0]
    engine = engine_of(model)

    def ended(**settings):
        [one] = engine.generate([prompt], SamplingParams(max_new_tokens=24, temperature=0, **settings))
        return one

    text = "".join(TOKEN_BYTES.get(token, b"").decode() for token in answer)
    whole = ended()
    assert (whole.text, whole.finish_reason) == (text, "length")
    stop = answer[7]
    by_token = ended(stop_tokens=(stop,))
    at = answer.index(stop)
    assert (list(by_token.tokens), by_token.finish_reason) == (answer[: at + 1], "stop")
    by_text = ended(stop=(text[9:12],))
    assert (by_text.text, by_text.finish_reason) == (text[: text.index(text[9:12])], "stop")
    [long] = engine.generate([prompt], SamplingParams(max_new_tokens=1000, temperature=0))
    assert len(long.tokens) == SHAPE.context_length - len(prompt)


@pytest.mark.parametrize(
    ("prompt", "settings", "word"),
    [
        ([], {}, "the prompt is empty"),
        ([1] * 64, {}, "a prompt of 64 tokens leaves no room"),
        ([1, 97], {}, "token 97 is none of the model's 97"),
        ([1], {"temperature": -1.0}, "temperature must not be negative"),
        ([1], {"top_p": 0.0}, r"top_p must lie in \(0, 1\]"),
        ([1], {"top_k": 0}, "top_k must be at least 1"),
        ([1], {"stop": ("",)}, "a stop text must not be empty"),
        ([1], {"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(model, prompt, settings, word):
    engine = engine_of(model)
    with pytest.raises(ConfigError, match=word):
        engine.add(prompt, SamplingParams(**settings))
    assert engine.is_idle


def test_a_cache_too_small_for_a_page_is_refused(model):
    with pytest.raises(ConfigError, match="holds not one page of"):
        engine_of(model, cache_mb=0.001)
