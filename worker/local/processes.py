"""Starting and stopping the processes of one machine."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
BACKGROUND_NICENESS = 10
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def tied_to_parent() -> None:
    """Between fork and exec: ask the kernel for SIGTERM when the parent dies (Linux only)."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def give_way() -> None:
    """Lower the priority of the calling thread, and of no other (Linux: each has its own).

    For threads that decode for a bulk run. The thread that writes keeps its priority: one that
    was put aside while it holds SQLite's only write lock would hold up every new product.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_NICENESS)


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
