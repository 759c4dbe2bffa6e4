"""The most memory that a run held: what decides how large a batch may be.

On a GPU torch counts what its tensors take. On a CPU nobody does: there it is the most that the whole process held,
the interpreter and torch themselves included (some 0.4 GB), and what an earlier run in the same process left behind
unreturned. Differences between sizes that were run in rising order are telling, a single figure is not.
"""

import resource
import sys
from pathlib import Path

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")  # Linux only
_FORGET_PEAK = "5"  # see proc(5)


def forget_peak(device: torch.device) -> None:
    """Measure from here on; where the system cannot forget, the peak stays that of the whole process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        try:
            _CLEAR.write_text(_FORGET_PEAK)
        except OSError:  # a container may forbid it
            return


def peak_bytes(device: torch.device) -> float:
    """The most memory held since `forget_peak`."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes)


def device_bytes(device: torch.device) -> float:
    """All the memory that the device has: what no batch can exceed."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    import psutil

    return float(psutil.virtual_memory().total)
