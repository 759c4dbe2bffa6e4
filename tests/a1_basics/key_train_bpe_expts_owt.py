"""Keys of train_bpe_expts_owt, read from the learner's own Tokenizer."""

from tests.harness.keys import Check, number
from tests.oracles.own_tokenizer import is_tokenizer, longest_token_bytes

CHECKS: dict[str, Check] = {
    "tokenizer": is_tokenizer,
    "longest_token_bytes": number(longest_token_bytes),
}
