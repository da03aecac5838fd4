"""Runs many cases in processes that may die or hang, and says which case did it."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# What a case is tried with, by its number: returns a word for the statistics. It must be a
# function of a module, as it is named to the processes.
Try = Callable[[int], str]

CRASHED, HUNG, ESCAPED = "crashed", "hung", "escaped"
_CASES_EACH = 500
_POLL_S = 0.02
_START_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A case that must not happen: what it did, and how that showed."""

    index: int
    kind: str
    detail: str


@dataclass(kw_only=True)
class Hunt:
    """What came of all cases: how many ended in which word, and what was found."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    slowest_s: float = 0.0


def hunt(
    try_case: Try,
    cases: int,
    *,
    processes: int,
    hang_s: float,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Hunt:
    """Try cases 0 to `cases` - 1; a case that kills or blocks its process costs that case only."""
    result = Hunt()
    ranges = iter([range(a, min(a + _CASES_EACH, cases)) for a in range(0, cases, _CASES_EACH)])
    lanes = [_Lane(try_case, hang_s, result, on_progress) for _ in range(processes)]
    try:
        busy = [lane for lane in lanes if lane.give(ranges)]
        while busy:
            moved = [lane.look() for lane in busy]
            busy = [lane for lane in busy if not lane.idle or lane.give(ranges)]
            if not any(moved):
                time.sleep(_POLL_S)
    finally:
        for lane in lanes:
            lane.stop()
    return result


class _Lane:
    """One process at a time, and the cases it has still to do."""

    def __init__(
        self, try_case: Try, hang_s: float, result: Hunt, on_progress: Callable[[int], None]
    ) -> None:
        self._try_case = try_case
        self._hang_s = hang_s
        self._result = result
        self._on_progress = on_progress
        self._todo = range(0)
        self._process: Any = None

    @property
    def idle(self) -> bool:
        return not self._todo

    def give(self, ranges: Iterator[range]) -> bool:
        """Take the next cases, if any are left."""
        self._todo = next(ranges, range(0))
        if self.idle:
            return False
        if self._process is None:
            self._start()
        else:
            self._pipe.send(self._todo)
            self._since = time.monotonic()
        return True

    def look(self) -> bool:
        """Take what the process has to say; tell whether anything was new."""
        try:
            if self._pipe.poll():
                self._take(self._pipe.recv())
                return True
        except (EOFError, ConnectionError):
            self._lost(CRASHED, f"exit code {self._exit_code()}")
            return True
        if time.monotonic() - self._since > (self._hang_s if self._ready else _START_S):
            self._process.kill()
            self._lost(HUNG, f"no answer for {self._hang_s:g} s")
            return True
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None

    def _start(self) -> None:
        # Spawned, not forked: a child starts with none of the parent's threads and state.
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._try_case), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.send(self._todo)
        self._ready = False
        self._since = time.monotonic()

    def _take(self, said: tuple[str, str, float] | None) -> None:
        self._since = time.monotonic()
        self._ready = True
        if said is None:
            return
        word, detail, took_s = said
        if word == ESCAPED:
            self._result.findings.append(Finding(index=self._todo[0], kind=word, detail=detail))
        self._result.slowest_s = max(self._result.slowest_s, took_s)
        self._done(word)

    def _lost(self, kind: str, detail: str) -> None:
        self._result.findings.append(Finding(index=self._todo[0], kind=kind, detail=detail))
        self.stop()
        self._done(kind)
        if not self.idle:
            self._start()

    def _done(self, word: str) -> None:
        self._result.outcomes[word] += 1
        self._todo = self._todo[1:]
        self._on_progress(1)

    def _exit_code(self) -> int | None:
        self._process.join(10)
        code: int | None = self._process.exitcode
        return code


def _work(pipe: Connection, try_case: Try) -> None:
    """The life of a process: ranges come in, one answer for each case goes out."""
    # libtiff writes what it thinks of each file to stderr, past Python.
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    pipe.send(None)
    while True:
        try:
            cases: range = pipe.recv()
        except EOFError:
            return
        for index in cases:
            started = time.monotonic()
            try:
                word, detail = try_case(index), ""
            # Whatever was not foreseen is what the hunt is for.
            except Exception as error:
                word, detail = ESCAPED, f"{type(error).__name__}: {error}"[:300]
            pipe.send((word, detail, time.monotonic() - started))
