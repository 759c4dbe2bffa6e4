"""torchrun, with the exit status of the ranks instead of its own: python -m shared.runs.torchrun TORCHRUN'S ARGUMENTS.

Torchrun itself ends with 1 whatever became of its ranks: a training that stopped to be resumed (75) would look like one
that failed. And it dies of the warning that Slurm sends to every process of a job (USR2), while its ranks still save.
"""

import signal
import sys
from collections.abc import Iterable

from shared.errors import Preempted

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
ASKED = (Preempted.exit_code, -signal.SIGTERM, -signal.SIGUSR1, -signal.SIGUSR2)
"""How ranks end that were asked to: saved, or before they could listen."""


def main() -> int:
    """Run torchrun on `sys.argv`, and wait for its ranks; they hear Slurm's warning themselves."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    from torch.distributed.elastic.multiprocessing import SignalException  # takes seconds: after the signals
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun()
    except ChildFailedError as error:
        failures = sorted(error.failures.values(), key=lambda failure: failure.timestamp)
        return status_of(failure.exitcode for failure in failures)
    except SignalException as error:  # handed on to the ranks, which have ended
        return INTERRUPTED if error.sigval == signal.SIGINT else Preempted.exit_code
    return 0


def status_of(exit_codes: Iterable[int]) -> int:
    """One status for ranks that failed, in their order: the first end that nobody asked for says why.

    >>> status_of([75, 3]), status_of([75, -signal.SIGTERM]), status_of([-signal.SIGKILL])
    (3, 75, 137)
    """
    status = next((code for code in exit_codes if code not in ASKED), Preempted.exit_code)
    return status if status > 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
