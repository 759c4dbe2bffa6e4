"""The ranks of a run: the processes that share its work, and what they have to agree on.

    with joined(device) as ranks:        # under torchrun or a Slurm job; alone, a group of one without any messages
        ...

Rank 0 leads: it alone writes logs, checkpoints and artifacts. Whatever decides how a run goes on (where to resume,
whether to stop) is decided by all in the same way, for ranks that disagree wait for one another for ever.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.errors import ConfigError, WorkspaceError

LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
"""How gloo and NCCL say that somebody is gone."""

WAIT_MINUTES = 10  # the longest that ranks may be apart, such as while the first one saves


FIRST_ERROR = "first error"
"""Where the ranks' common store says which of them failed, and of what, before its connections close."""


class RankLost(WorkspaceError):
    """This rank is well, and another is gone, named with its error: no mistake of this one's."""

    exit_code = 1


@dataclass(frozen=True)
class Ranks:
    """This process among those that share the run."""

    rank: int = 0
    num_ranks: int = 1

    @property
    def is_lead(self) -> bool:
        """Whether this rank writes what the run leaves behind."""
        return self.rank == 0

    def largest(self, number: int) -> int:
        """The largest of what the ranks say: how they agree on a number."""
        if self.num_ranks == 1:
            return number
        import torch
        import torch.distributed as dist

        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        agreed = torch.tensor(number, device=device)
        dist.all_reduce(agreed, dist.ReduceOp.MAX)
        return int(agreed)


def current() -> Ranks:
    """The ranks of the process group that this process has joined; alone where there is none."""
    import sys

    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return Ranks()
    return Ranks(distributed.get_rank(), distributed.get_world_size())


@contextmanager
def joined(device_type: str = "cpu") -> Iterator[Ranks]:
    """Join the ranks that torchrun or a job started: gloo between processors, NCCL between GPUs.

    A process that nobody started with others is alone, and no group is made.

    Raises:
        ConfigError: the ranks' environment is incomplete, or a node has fewer GPUs than ranks.
        RankLost: another rank ended while this one waited for it.
    """
    num_ranks = _number("WORLD_SIZE", 1)
    if num_ranks == 1:
        yield Ranks()
        return
    import torch
    import torch.distributed as dist

    missing = [
        name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ
    ]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE={num_ranks}, and {', '.join(missing)} not set: start ranks with --launch torchrun --ranks N"
        )
    if device_type == "cuda":
        local_rank = _number("LOCAL_RANK", 0)
        if local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"rank {local_rank} of this node has no GPU of its own: {torch.cuda.device_count()} are here; start "
                f"with --ranks {torch.cuda.device_count()}, or use --device cpu"
            )
        torch.cuda.set_device(local_rank)
    backend, patience = "nccl" if device_type == "cuda" else "gloo", timedelta(minutes=WAIT_MINUTES)
    store, rank, num_ranks = next(dist.rendezvous("env://", timeout=patience))
    store.set_timeout(patience)
    group_store = dist.PrefixStore("group", store)
    dist.init_process_group(backend, store=group_store, rank=rank, world_size=num_ranks, timeout=patience)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
        dist.barrier()  # after an error there is no waiting: the others may be anywhere
    except BaseException as error:
        if isinstance(error, RuntimeError) and any(words in str(error) for words in LOST):
            raise RankLost(f"this rank waited for others, and {_first_error(store)}") from error
        with suppress(Exception):  # the store may be gone with the rank that kept it
            store.compare_set(FIRST_ERROR, "", f"rank {rank} ended: {type(error).__name__}: {error}")
        raise
    finally:
        dist.destroy_process_group()


def _first_error(store: Any) -> str:
    """What the rank that failed first left in the store; one that was killed leaves nothing."""
    with suppress(Exception):
        if store.check([FIRST_ERROR]):
            return store.get(FIRST_ERROR).decode()
    return "one ended without a word: killed, out of memory, or with its node; the launcher's report names it"


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit():
        raise ConfigError(f"{name}={text!r} in the environment is no number")
    return int(text)
