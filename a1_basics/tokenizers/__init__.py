"""From text to token ids and back. In the order in which one may read it:

The clear versions
1. `pretokenize`: special tokens, pre-tokens, and where files and streams may be cut.
2. `bpe`: training and encoding; what the fast path has to agree with. `files` reads GPT-2's vocabulary for it, and
   `endless` says where a pre-token may be cut whose end has not come yet.
3. `chars`: characters and bytes as tokens.

The fast path, which `bpe_fast` leads through; one idea in each file
4. `memory`: loads, stores and vector compares by address.
5. `split_scalar`: pre-tokens by a state machine over bytes, the twin of `split_simd`, 64 bytes at a time.
6. `count_fast` counts words, and `bpe_train_fast` learns merges from the counts.
7. `merge_fast` merges a word that nobody has seen, and `bpe_encode_fast` keeps and looks up those that somebody has.

Published tokenizers
8. `split_bpe`: any known split pattern, `added_tokens` and Unicode normalization; `split_train` learns for any pattern.
9. `audit_texts`: what a vocabulary is tried on.
"""
