"""Ending a process without taking it apart."""

import atexit
import os
import sys
import threading


def leave(code: int) -> None:
    """End the process here and now, or return where that would lose something.

    Python frees a hundred thousand objects one by one at its end, a tenth of the time of a short
    command, and the system frees their memory anyway. What is registered for the end is done, and
    what was printed is written; other threads, or a reader that has gone away, are for Python.
    """
    if threading.active_count() > 1:
        return
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    os._exit(code)
