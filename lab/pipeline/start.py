"""From the workers' start to the first tagging, on each database, in turns."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from catalog.settings import read_settings
from lab.faults.databases import PostgresServer, SqliteDatabase
from lab.pipeline.photos import jobs_of, photo_files
from lab.pipeline.running import benched


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Seconds of each turn, on one database."""

    database: str
    first_item_s: list[float] = field(default_factory=list)

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(turns: int, databases: Sequence[str]) -> list[Starts]:
    """An empty ledger, one accepted job, and workers that start; the broker runs already."""
    found = {name: Starts(database=name) for name in databases}
    with tempfile.TemporaryDirectory(prefix="tagger-start-") as folder:
        home = Path(folder)
        files = photo_files(home, None, 1)
        server = PostgresServer() if "postgresql" in databases else None
        try:
            for turn in range(turns):
                for name, starts in found.items():
                    own = home / f"{name}-{turn}"
                    url = SqliteDatabase(own / "ledger").url
                    if name == "postgresql" and server is not None:
                        url = server.database(f"start{turn}").url
                    starts.first_item_s.append(_first_item_s(own / "home", url, files, home))
        finally:
            if server is not None:
                server.close()
    return list(found.values())


def _first_item_s(home: Path, url: str, files: Sequence[Path], photos: Path) -> float:
    [first] = jobs_of(files, "first", 1)
    chosen = read_settings(home=home, database_url=url, redis_url=None, allowed_roots=(photos,))
    with benched(chosen, first) as bench:
        return bench.first_item_s(first)


def render(found: Sequence[Starts]) -> str:
    """A line for each database."""
    return "\n".join(
        f"{each.database}: first tagging {median(each.first_item_s):.2f} s after the workers start "
        f"({min(each.first_item_s):.2f} to {max(each.first_item_s):.2f} in "
        f"{len(each.first_item_s)} turns)"
        for each in found
    )
