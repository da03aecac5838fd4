"""Faults of the database."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.faults.cases import Case, FaultResult, Scale, folder_of
from lab.faults.databases import PostgresDatabase, SqliteDatabase
from lab.faults.test_rig import FaultError, TestRig

CUTS = 10
SMALL_DISK_BYTES = 24 * 1024 * 1024


def stop_database(scene: TestRig, scale: Scale) -> FaultResult:
    """The server stops for a while and comes back."""
    assert isinstance(scene.database, PostgresDatabase)
    ids = scene.enqueue(scene.jobs("stopped", scale.items))
    scene.wait_at_work()
    scene.engine.dispose()
    scene.database.server.stop_for(scale.outage_s)
    return FaultResult(ids=ids, healed_at=time.monotonic(), note=f"away for {scale.outage_s:.0f} s")


def cut_transactions(scene: TestRig, scale: Scale) -> FaultResult:
    """Connections are ended while they are inside a transaction."""
    assert isinstance(scene.database, PostgresDatabase)
    ids = scene.enqueue(scene.jobs("cut", scale.items))
    cut, deadline = 0, time.monotonic() + 30
    while cut < CUTS and scene.left(ids) and time.monotonic() < deadline:
        cut += scene.database.server.cut_transactions(scene.database.name)
        scene.system.restart_dead()
    if not cut:
        raise FaultError("no connection was ever found inside a transaction")
    return FaultResult(ids=ids, healed_at=time.monotonic(), note=f"{cut} transactions cut")


def lock_database(scene: TestRig, scale: Scale) -> FaultResult:
    """Another process keeps the write lock for longer than any worker waits."""
    assert isinstance(scene.database, SqliteDatabase)
    ids = scene.enqueue(scene.jobs("locked", scale.items))
    scene.wait_at_work()
    holder = scene.database.lock()
    time.sleep(max(5.0, scale.outage_s / 4))
    scene.database.unlock(holder)
    return FaultResult(ids=ids, healed_at=time.monotonic())


def fill_disk(scene: TestRig, scale: Scale) -> FaultResult:
    """The disk of the database is filled to the last byte, and has room again later."""
    ids = scene.enqueue(scene.jobs("full", scale.items))
    scene.wait_at_work()
    filler = folder_of(scene.database) / "filler"
    note = fill(filler)
    time.sleep(max(3.0, min(10.0, scale.outage_s)))
    left = scene.left(ids)
    filler.unlink()
    if not left:
        raise FaultError("all items were done before the disk was full")
    return FaultResult(ids=ids, healed_at=time.monotonic(), note=f"{note}; {left} waited")


def fill(filler: Path) -> str:
    """Write until nothing more can be written; what the system says then."""
    try:
        with filler.open("wb", buffering=0) as stream:
            while True:
                stream.write(b"\0" * 4096)
    except OSError as error:
        return error.strerror or "full"


@contextmanager
def small_disk() -> Iterator[Path]:
    """A folder on a file system of its own with little room: needs root on Linux."""
    folder = Path(tempfile.mkdtemp(prefix="tagger-disk-"))
    options = f"size={SMALL_DISK_BYTES}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        shutil.rmtree(folder)
        raise FaultError("a small disk needs the right to mount a tmpfs: run it as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def may_mount() -> bool:
    """Whether this process can have a small disk."""
    if os.geteuid():
        return False
    try:
        with small_disk():
            return True
    except FaultError:
        return False


CASES = [
    Case(name="database stopped", play=stop_database, databases=["PostgreSQL"]),
    Case(name="connection cut in a transaction", play=cut_transactions, databases=["PostgreSQL"]),
    Case(name="locked by another writer", play=lock_database, databases=["SQLite"]),
    Case(name="disk full", play=fill_disk, databases=["SQLite"], disk=small_disk),
]
