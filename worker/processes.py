"""Starting and stopping the processes of one machine."""

import contextlib
import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
BACKGROUND_NICENESS = 10
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def tied_to_parent() -> None:
    """Between fork and exec: ask the kernel for SIGTERM when the parent dies (Linux only)."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def tied_and_in_background() -> None:
    """As `tied_to_parent`, with the process's niceness given to its session, too (Linux).

    Where the kernel groups tasks by session (sched_autogroup_enabled, usual on desktops and many
    servers), niceness counts within a session only: two sessions share the CPU evenly, however
    nice one's processes are.
    """
    tied_to_parent()
    with contextlib.suppress(OSError):  # no such grouping here
        Path("/proc/self/autogroup").write_text(str(BACKGROUND_NICENESS), encoding="ascii")


def stop(processes: Sequence[subprocess.Popen[bytes]], *, grace_s: float) -> None:
    """SIGTERM all at once, wait for them together, SIGKILL what is left after grace_s."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    deadline = time.monotonic() + grace_s
    for process in processes:
        try:
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
