"""What the operating system says of this process and of the whole machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROC = Path("/proc")


def resident_bytes() -> int | None:
    """Now, on Linux: the second field of statm is resident pages (proc(5))."""
    try:
        # Read twenty times a second: this takes half the CPU time of Path.read_text().
        file = os.open(f"{PROC}/self/statm", os.O_RDONLY)
        try:
            pages = int(os.read(file, 128).split()[1])
        finally:
            os.close(file)
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def resident_bytes_peak() -> int | None:
    """
    The most that was resident since the process began.

    Linux: the line VmHWM, in KiB (proc(5)). Elsewhere getrusage(2), in bytes on macOS, else in KiB.
    """
    try:
        for line in (PROC / "self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def busy_seconds() -> float | None:
    """
    Linux: CPU seconds of the whole machine since it started, idle and waiting for I/O left out.

    The first line of /proc/stat (proc(5)) has them in clock ticks: user, nice, system, idle,
    iowait, irq, softirq, steal; what follows is part of user and nice. Sandboxes that show only
    zeros tell nothing.
    """
    try:
        with (PROC / "stat").open() as file:
            ticks = [int(field) for field in file.readline().split()[1:9]]
        if not any(ticks):
            return None
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
