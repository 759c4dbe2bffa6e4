"""Start Python in a job with Slurm's warning held back until somebody listens: slurm_start.py ARGUMENTS OF PYTHON.

Imports take seconds, on a busy network file system minutes. A warning (USR2) that comes meanwhile would end the process
before it could ask to be queued again. A blocked signal stays pending over `exec`; `CommandJob` unblocks it.
"""

import os
import signal
import sys

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
