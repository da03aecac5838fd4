"""What is done to the system while items go in."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.faults.databases import Database
from lab.faults.test_rig import TestRig


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything: items of a case, and how long things stay broken."""

    items: int
    outage_s: float


@dataclass(frozen=True, kw_only=True)
class FaultResult:
    """What a case did.

    healed_at: time.monotonic() when the last fault was over. failed: how many items must fail.
    wrong: items whose outcome is not the one that must win.
    """

    ids: Sequence[str]
    healed_at: float
    failed: int = 0
    note: str = ""
    wrong: Callable[[], int] = lambda: 0


Play = Callable[[TestRig, Scale], FaultResult]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table."""

    name: str
    play: Play
    databases: Sequence[str] = ("SQLite", "PostgreSQL")
    overrides: Mapping[str, Any] = field(default_factory=dict)
    bulk: bool = True
    # Where the SQLite file lies, if not in the scene's own folder.
    disk: Callable[[], AbstractContextManager[Path]] | None = None
    # Where the broker's append-only file lies, if not there.
    queue_disk: Callable[[], AbstractContextManager[Path]] | None = None

    @property
    def mounts(self) -> bool:
        """Whether it needs a file system of its own."""
        return self.disk is not None or self.queue_disk is not None


def folder_of(database: Database) -> Path:
    """The folder of a SQLite database."""
    return Path(database.url.removeprefix("sqlite:///")).parent
