"""The sweep: its trainer is the clear one under any rule, one replay tells every size, and it all fits a page."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from a1_basics.configs import TokenizerSweep
from a1_basics.run import tokenizer_sweep
from a1_basics.run.tokenizer_sweep import RULES
from a1_basics.tokenizers import bpe, split_bpe
from a1_basics.tokenizers.audit_texts import KOREAN, numbers, unseen_words
from a1_basics.tokenizers.split_train import count_words, learn_merges, replay
from shared.errors import ConfigError
from shared.report import tokenizers as page
from shared.store.artifacts import Store
from shared.store.kinds import read_report, read_runs, trained_tokenizer, write_corpus
from tests.oracles import bpe as oracle

PIECES = [
    "a",
    "b",
    "ab",
    "aa",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\t",
    "1",
    "234",
    "56789",
    "!",
    "'s",
    "'LL",
    "é",
    "한",
    "x=1",
]
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=80).map("".join)
some_rule = st.sampled_from(RULES)


@given(texts, some_rule)
def test_every_rule_cuts_and_loses_nothing(text, rule):
    assert "".join(regex.findall(rule.pattern, text)) == text


def test_rules_differ_in_what_they_say():
    by_name = {rule.name: regex.compile(rule.pattern).findall for rule in RULES}
    cuts = {name: cut("a 12345\n\n\tb") for name, cut in by_name.items()}
    assert cuts == {
        "gpt2": ["a", " 12345", "\n\n", "\t", "b"],
        "llama3": ["a", " ", "123", "45", "\n\n", "\tb"],
        "qwen2": ["a", " ", *"12345", "\n\n", "\tb"],
        "llama3, digit runs": ["a", " ", "12345", "\n\n", "\tb"],
        "gpt2, digits by three": ["a", " 123", "45", "\n\n", "\t", "b"],
        "blanks apart": ["a", " ", "123", "45", "\n\n\t", "b"],
    }


def slow_merges(words, num_merges):
    """All pairs counted anew for every merge."""
    counted = {tuple(bytes([byte]) for byte in word): count for word, count in words.items()}
    merges = []
    while len(merges) < num_merges and (pairs := bpe.count_pairs(counted)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        counted = {bpe.merge_pair(word, best): count for word, count in counted.items()}
    return merges


@given(texts, some_rule)
def test_merges_are_those_of_counting_anew(text, rule):
    words = count_words([text], rule.pattern)
    assert learn_merges(words, 40) == slow_merges(words, 40)


@given(texts)
def test_under_gpt2s_rule_the_oracle_learns_the_same(text):
    assert learn_merges(count_words([text], RULES[0].pattern), 30) == oracle.train(text, 30, [])


@given(texts, texts, st.integers(0, 40))
def test_one_replay_tells_the_tokens_at_every_size(text, other, num_merges):
    merges = learn_merges(count_words([text], RULES[0].pattern), 40)
    vocab = dict(enumerate(dict.fromkeys([*(bytes([i]) for i in range(256)), *(a + b for a, b in merges)])))
    smaller = split_bpe.Tokenizer(trained_tokenizer(vocab, merges[:num_merges], []))
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    for word in count_words([other], RULES[0].pattern):
        applied, tokens = replay(word, ranks)
        assert b"".join(tokens) == word
        assert len(word) - sum(rank < num_merges for rank in applied) == len(smaller.encode(word.decode()))


def test_audit_texts():
    assert unseen_words(["Rarely heard words, rarely", "한국어 ab"], ["heard words"]) == ["Rarely", "rarely"]
    assert numbers(1) == numbers(1) != numbers(2)
    assert sum(character.isdigit() for character in numbers()) > 0.5 * len(numbers())
    assert sum("가" <= character <= "힣" for character in KOREAN) > 0.6 * len(KOREAN)


CONFIG = {"corpora": ("c",), "vocab_sizes": (257, 280, 300), "rules_vocab_size": 300}


def test_a_sweep_and_its_page(tmp_path):
    store = Store(tmp_path)
    words = [f"word{index} said {index * 37} times.\n\tif x == {index}: pass\n" for index in range(60)]
    rare = " ".join(f"u{chr(97 + index % 26)}{'qxz'[index % 3]}{chr(97 + index // 3)}" for index in range(40))
    with store.draft("Corpus", config={}, parents={}, name="c") as draft:
        write_corpus(draft, {"train": words, "val": [*words[:5], rare]})
    config = TokenizerSweep(**CONFIG, name="s", store=tmp_path)
    tokenizer_sweep.main(config)
    rows, _ = read_runs(store.open("s", "Runs"))
    measured = [row for row in rows if "pieces" not in row]
    assert {row["text"] for row in measured} == {"c", "numbers", "unseen words", "Korean"}
    assert len(rows) == len(RULES) * (4 * 3 + 1)
    for row in measured:
        if row["vocab_size"] == 257:  # no merges: a token for each byte
            assert row["tokens"] == row["text_bytes"]
        assert row["bytes_per_token"] == row["text_bytes"] / row["tokens"] >= 1
    by_place = {(row["rule"], row["text"], row["vocab_size"]): row for row in measured}
    for row in measured:
        largest = by_place[row["rule"], row["text"], 300]
        assert largest["tokens"] <= row["tokens"]
        assert largest["embedding_fraction"] >= row["embedding_fraction"]
        assert row["text_bytes"] == by_place["gpt2", row["text"], 257]["text_bytes"]
    page.main(page.TokenizersPage("s", "s", tmp_path))
    html = read_report(store.open("s", "Report")).read_text(encoding="utf-8")
    assert html.count('class="tokens"') == len(RULES)
    assert all(rule.name in html for rule in RULES)
    assert f"{by_place['qwen2', 'numbers', 300]['bytes_per_token']:.2f}" in html


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_sizes": (300, 280)}, "must rise"),
        ({"vocab_sizes": (100, 300)}, "must rise from 257"),
        ({"rules_vocab_size": 299}, "must be one of"),
        ({"corpora": ()}, "corpora is empty"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        tokenizer_sweep.main(TokenizerSweep(**CONFIG | change))
