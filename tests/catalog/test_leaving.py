"""A process that leaves loses nothing: what was printed, what was registered, what still runs."""

import subprocess
import sys
from pathlib import Path

PRINTED = (
    "import atexit, threading, time; from catalog.leaving import leave; print('x' * 200_000)\n"
)


def ended(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PRINTED + code]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_was_printed_and_the_exit_code_arrive() -> None:
    done = ended("atexit.register(print, 'registered'); leave(3); print('never')")
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "x" * 200_000 + "\nregistered\n"


def test_other_threads_end_what_they_are_at() -> None:
    code = "threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()\n"
    done = ended(code + "leave(3); print('on')")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["on", "thread"]


def test_output_that_nobody_takes_is_told() -> None:
    code = PRINTED.replace("200_000", "20") + "leave(0)"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "No space left" in done.stderr
