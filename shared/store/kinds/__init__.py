"""Readers and writers, a file per kind. Those that need torch load it only when they are asked for."""

from typing import TYPE_CHECKING, Any

from shared.store.kinds.corpus import DOCUMENT_END, CorpusReader, read_corpus, write_corpus
from shared.store.kinds.records import (
    read_eval_report,
    read_report,
    read_result_card,
    read_run_log,
    read_samples,
    write_eval_report,
    write_result_card,
    write_run_log,
    write_samples,
)
from shared.store.kinds.runs import read_runs, write_runs
from shared.store.kinds.shards import Shards, ShardWriter, read_shards, require_same_tokenizer
from shared.store.kinds.tokenizer import (
    AddedToken,
    TokenizerFiles,
    read_tokenizer,
    trained_tokenizer,
    write_tokenizer,
)

if TYPE_CHECKING:
    from shared.store.kinds.checkpoint import read_checkpoint, read_shape, write_checkpoint

__all__ = [
    "DOCUMENT_END",
    "AddedToken",
    "CorpusReader",
    "ShardWriter",
    "Shards",
    "TokenizerFiles",
    "read_checkpoint",
    "read_corpus",
    "read_eval_report",
    "read_report",
    "read_result_card",
    "read_run_log",
    "read_runs",
    "read_samples",
    "read_shape",
    "read_shards",
    "read_tokenizer",
    "require_same_tokenizer",
    "trained_tokenizer",
    "write_checkpoint",
    "write_corpus",
    "write_eval_report",
    "write_result_card",
    "write_run_log",
    "write_runs",
    "write_samples",
    "write_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name in ("read_checkpoint", "read_shape", "write_checkpoint"):
        from shared.store.kinds import checkpoint

        return getattr(checkpoint, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
