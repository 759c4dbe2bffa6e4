"""What a vocabulary's size and its rules for cutting text cost and bring, on several kinds of text.

For each rule one tokenizer is learned, of the largest size; smaller ones are its first merges. Measured are bytes per
token, tokens per document, and how much of the model would be tables of the vocabulary.

The audit reads held-out text of each corpus, numbers, words that the training text does not have, and Korean.
"""

import dataclasses
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import regex

from a1_basics.configs import MEASURED, TOKENIZER_SWEEP, TokenizerSweep
from a1_basics.tokenizers.audit_texts import KOREAN, SAMPLE_LINE, numbers, unseen_words
from a1_basics.tokenizers.split_train import count_words, learn_merges, replay
from shared import accounting, costs
from shared.doors.resolve import source_roots
from shared.errors import ConfigError
from shared.runs.parallel import available_cores, map_in_order
from shared.runs.program import run_program
from shared.runs.progress import progress
from shared.runs.steps import already_made, recorded, step_key
from shared.store.artifacts import Store
from shared.store.kinds import CorpusReader, read_corpus, write_runs
from shared.store.kinds.split_patterns import SPLIT_PATTERNS

INPUTS = {"corpora": "Corpus"}
OUTPUTS = {"sweep": "Runs"}

NUM_BYTES, NUM_SPECIAL = 256, 1  # in every vocabulary, before its merges
FEWEST_UNSEEN_WORDS = 20  # below, a ratio over them says nothing
SECONDS_PER_RULE, SECONDS_PER_RULE_AND_MEGABYTE = 2.0, 0.2  # of one core of a 2023 server; only for --dry-run
PROCESS_BYTES, PROCESS_BYTES_PER_TEXT_BYTE = 2.4e8, 5.0  # of a process for each rule, measured so
_BLANKS_APART = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}{1,3}|[^\s\p{L}\p{N}]+|\s+"


@dataclass(frozen=True)
class Rule:
    """A way to cut text into pre-tokens."""

    name: str
    digits: str
    blanks: str
    pattern: str


LLAMA3 = SPLIT_PATTERNS["llama3"]
RULES = (
    Rule("gpt2", "whole runs, with the space before", "one space joins a word", SPLIT_PATTERNS["gpt2"]),
    Rule("llama3", "up to three", "any sign joins a word; line ends end a run", LLAMA3),
    Rule("qwen2", "one by one", "as llama3", SPLIT_PATTERNS["qwen2"]),
    Rule("llama3, digit runs", "whole runs", "as llama3", LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}+")),
    Rule(
        "gpt2, digits by three",
        "up to three, with the space before",
        "as gpt2",
        SPLIT_PATTERNS["gpt2"].replace(r"\p{N}+", r"\p{N}{1,3}"),
    ),
    Rule("blanks apart", "up to three", "white space never joins a word", _BLANKS_APART),
)


@dataclass(frozen=True)
class Texts:
    """What the tokenizers learn from, and what they are measured on: documents by the name of the text."""

    train: list[str]
    audit: dict[str, list[str]]


def main(config: TokenizerSweep) -> None:
    """Publish the Runs `config.name` and print the two tables."""
    check(config)
    store = Store(config.store)
    sources = {name: store.open(name, "Corpus") for name in config.corpora}
    digests = {f"corpus_{index}": source.digest for index, source in enumerate(sources.values())}
    described = dataclasses.replace(config, corpora=tuple(sources))
    key = step_key(
        "a1_basics.run.tokenizer_sweep", described, digests, source_roots("a1_basics", "reference")
    )
    if already_made(store, key, config.name):
        return
    with store.draft("Runs", config=recorded(described), parents=digests, name=config.name, key=key) as draft:
        texts = gathered({name: read_corpus(source) for name, source in sources.items()}, config)
        with progress(len(RULES), f"sweep {config.name}", "rules") as bar:
            rows = []
            measure = Measure(texts, config)
            for rule, found in zip(
                RULES, map_in_order(measure, RULES, min(available_cores(), len(RULES))), strict=True
            ):
                rows += found
                bar.advance(1, note=rule.name)
        write_runs(draft, rows, {})
    show(rows, config)
    print(draft.artifact)


def plan(config: TokenizerSweep) -> dict[str, Any]:
    """What the sweep will do, before it is begun."""
    work = work_of(config)
    measured = costs.measured_for(config, MEASURED.get("tokenizer_sweep", {}), TOKENIZER_SWEEP, work_of)
    return {
        "train_bytes": round(config.train_megabytes * 1e6),
        "tokenizers_learned": len(RULES),
        "rows": len(RULES) * len(config.vocab_sizes) * (len(config.corpora) + 3),
        "largest_run_bytes": work[0].memory_bytes,
        **costs.tiers(work, config.prices, measured),
    }


def work_of(config: TokenizerSweep) -> list[costs.Work]:
    """Learning and measuring each rule, a process for each."""
    core_seconds = (SECONDS_PER_RULE + SECONDS_PER_RULE_AND_MEGABYTE * config.train_megabytes) * len(RULES)
    texts_bytes = (config.train_megabytes + config.audit_megabytes * len(config.corpora)) * 1e6
    memory_bytes = PROCESS_BYTES + PROCESS_BYTES_PER_TEXT_BYTE * texts_bytes
    return [costs.Work(len(RULES) * memory_bytes, core_seconds=core_seconds, tasks=len(RULES))]


def check(config: TokenizerSweep) -> None:
    """Raises: ConfigError: sizes that cannot be, or are not in rising order."""
    smallest = NUM_BYTES + NUM_SPECIAL
    sizes = config.vocab_sizes
    if not sizes or sorted(set(sizes)) != list(sizes) or sizes[0] < smallest:
        raise ConfigError(
            f"vocab_sizes={sizes} must rise from {smallest} (the bytes and a special token) or more"
        )
    if config.rules_vocab_size not in sizes:
        raise ConfigError(f"rules_vocab_size={config.rules_vocab_size} must be one of vocab_sizes={sizes}")
    if not config.corpora:
        raise ConfigError("corpora is empty; name at least one Corpus")


def gathered(corpora: dict[str, CorpusReader], config: TokenizerSweep) -> Texts:
    """Training text in equal parts from each corpus, and the texts of the audit."""
    train: list[str] = []
    audit: dict[str, list[str]] = {}
    for name, corpus in corpora.items():
        train += taken(corpus, "train", config.train_megabytes * 1e6 / len(corpora))
        held_out = "val" if "val" in corpus.splits else corpus.splits[-1]
        audit[name] = taken(corpus, held_out, config.audit_megabytes * 1e6)
    rare = unseen_words((text for texts in audit.values() for text in texts), train)
    audit["numbers"] = [numbers()]
    if len(rare) >= FEWEST_UNSEEN_WORDS:
        audit["unseen words"] = [" ".join(rare)]
    audit["Korean sample" if "korean" in corpora else "Korean"] = [KOREAN]
    return Texts(train, audit)


def taken(corpus: CorpusReader, split: str, num_bytes: float) -> list[str]:
    """The first documents of a split, about so many bytes; the last one is cut."""
    documents = []
    for document in corpus.documents(split):
        documents.append(document[: max(1, round(num_bytes))])
        num_bytes -= len(document.encode("utf-8"))
        if num_bytes <= 0:
            break
    return documents


class Measure:
    """Learns the largest vocabulary of a rule and measures every size of it on every text, in any process."""

    def __init__(self, texts: Texts, config: TokenizerSweep) -> None:
        self.texts, self.config = texts, config

    def __call__(self, rule: Rule) -> list[dict[str, Any]]:
        sizes = self.config.vocab_sizes
        merges = learn_merges(
            count_words(self.texts.train, rule.pattern), sizes[-1] - NUM_BYTES - NUM_SPECIAL
        )
        ranks = {pair: rank for rank, pair in enumerate(merges)}
        applied: dict[bytes, list[int]] = {}
        rows = []
        for name, documents in self.texts.audit.items():
            words = count_words(documents, rule.pattern)
            for word in words.keys() - applied.keys():
                applied[word] = replay(word, ranks)[0]
            rows += [self.row(rule, name, documents, words, applied, size) for size in sizes]
        largest = {
            pair: ranks[pair] for pair in merges[: self.config.rules_vocab_size - NUM_BYTES - NUM_SPECIAL]
        }
        pieces = [
            token.decode("utf-8", "backslashreplace")
            for word in regex.findall(rule.pattern, SAMPLE_LINE)
            for token in replay(word.encode("utf-8"), largest)[1]
        ]
        named = {"run": f"{rule.name}, sample", "rule": rule.name, "text": "sample"}
        return [*rows, named | {"vocab_size": self.config.rules_vocab_size, "pieces": pieces}]

    def row(
        self,
        rule: Rule,
        text: str,
        documents: list[str],
        words: Counter[bytes],
        applied: dict[bytes, list[int]],
        size: int,
    ) -> dict[str, Any]:
        """One vocabulary on one text."""
        num_merges = size - NUM_BYTES - NUM_SPECIAL
        num_tokens = sum(
            count * (len(word) - sum(rank < num_merges for rank in applied[word]))
            for word, count in words.items()
        )
        num_bytes = sum(len(word) * count for word, count in words.items())
        model = accounting.parameters(dataclasses.replace(self.config.model, vocab_size=size))
        return {
            "run": f"{rule.name}, {size}, {text}",
            "rule": rule.name,
            "digits": rule.digits,
            "blanks": rule.blanks,
            "vocab_size": size,
            "text": text,
            "text_bytes": num_bytes,
            "tokens": num_tokens,
            "bytes_per_token": num_bytes / num_tokens,
            "tokens_per_document": num_tokens / len(documents),
            "embedding_fraction": (model.embedding + model.head) / model.total,
        }


def show(rows: list[dict[str, Any]], config: TokenizerSweep) -> None:
    """Print bytes per token: by size for the first rule, by rule at one size."""
    measured = [row for row in rows if row["text"] != "sample"]
    texts = [*dict.fromkeys(row["text"] for row in measured)]
    by_place = {(row["rule"], row["vocab_size"], row["text"]): row for row in measured}
    print(
        "bytes per token".ljust(24) + "".join(text.rjust(15) for text in texts) + "embedding share".rjust(18)
    )
    for size in config.vocab_sizes:
        line = [by_place[RULES[0].name, size, text] for text in texts]
        numbers_ = "".join(f"{row['bytes_per_token']:15.3f}" for row in line)
        print(f"{RULES[0].name}, {size:,}".ljust(24) + numbers_ + f"{line[0]['embedding_fraction']:18.1%}")
    for rule in RULES[1:]:
        line = [by_place[rule.name, config.rules_vocab_size, text] for text in texts]
        print(rule.name.ljust(24) + "".join(f"{row['bytes_per_token']:15.3f}" for row in line))


if __name__ == "__main__":
    sys.exit(run_program(main, TOKENIZER_SWEEP, inputs=INPUTS, outputs=OUTPUTS))
