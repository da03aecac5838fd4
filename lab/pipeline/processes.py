"""What processes cost: CPU seconds and memory, read from /proc (Linux)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class _Stat:
    parent: int
    own_ticks: int
    buried_ticks: int  # of children that have ended and were waited for


def cpu_s(process_id: int) -> float:
    """CPU seconds, user and system, of a process and of all it ever started."""
    stats = dict(_stats())
    return sum(
        stats[each].own_ticks + stats[each].buried_ticks for each in _tree(stats, process_id)
    ) / float(_TICKS_PER_S)


def busy_s() -> float:
    """CPU seconds that all programs of the machine together have used so far."""
    # user, nice, system, then idle and waiting, then interrupts: see proc(5).
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(fields[place]) for place in (0, 1, 2, 5, 6)) / _TICKS_PER_S


def own_cpu_s(process_id: int) -> float:
    """CPU seconds of a process alone."""
    stat = _stat(Path(f"/proc/{process_id}"))
    return 0.0 if stat is None else stat.own_ticks / _TICKS_PER_S


def children(process_id: int) -> list[int]:
    """The living children of a process."""
    return [each for each, stat in _stats() if stat.parent == process_id]


def memory_mb(process_id: int) -> float:
    """Proportional set size in MB: what processes share is divided among them."""
    for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"expected Pss in the memory map of process {process_id}, found none")


def _tree(stats: dict[int, _Stat], root: int) -> set[int]:
    found = {root} & stats.keys()
    while more := {each for each, stat in stats.items() if stat.parent in found} - found:
        found |= more
    return found


def _stats() -> Iterator[tuple[int, _Stat]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (stat := _stat(folder)) is not None:
            yield int(folder.name), stat


def _stat(folder: Path) -> _Stat | None:
    try:
        text = (folder / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended meanwhile
    # The name, in brackets, may hold anything: count from its end (see proc(5)).
    fields = text.rpartition(")")[2].split()
    own, buried = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return _Stat(parent=int(fields[1]), own_ticks=own, buried_ticks=buried)
