"""How many images a second to expect from more machines: bounds from measured demands.

The utilisation law (Denning and Buzen 1978, "The Operational Analysis of Queueing Network Models"):
a station that needs D seconds for each image passes at most 1/D of them a second for each server it
has, and the slowest station bounds the whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.pipeline.running import Run

DATABASE_CORES = 4
# Stations of one process each: a second core does not help them.
SINGLE = ("broker", "client", "ingest consumer", "bulk consumer")


@dataclass(frozen=True, kw_only=True)
class Bound:
    """The most images a second, and the station that sets it."""

    images_per_second: float
    station: str


def on_one_machine(run: Run, *, children: int, cores: int) -> Bound:
    """Everything on one machine, as it was measured."""
    demands = _demands(run)
    bounds = {name: 1000 / ms for name, ms in demands.items() if name in SINGLE and ms > 0}
    bounds["children"] = children * 1000 / demands["children"]
    bounds["cores"] = cores * 1000 / sum(demands.values())
    return _least(bounds)


def on_machines(
    run: Run, *, machines: int, cores: int, database_cores: int, senders: int = 1
) -> Bound:
    """Workers on so many machines, one broker and one database on machines of their own."""
    demands = _demands(run)
    consumer = demands["ingest consumer"] + demands["bulk consumer"]
    bounds = {
        "workers": machines * cores * 1000 / (demands["children"] + consumer),
        "consumers": machines * 1000 / max(consumer, 1e-6),
        "broker": 1000 / max(demands["broker"], 1e-6),
        "database": database_cores * 1000 / max(demands["database server"], 1e-6),
        "senders": senders * 1000 / max(demands["client"], 1e-6),
    }
    return _least(bounds)


def breaking_point(run: Run, *, cores: int, database_cores: int, senders: int) -> tuple[int, Bound]:
    """The first number of worker machines that another one would not help, and what stops it."""
    for machines in range(1, 10_000):
        more = on_machines(
            run, machines=machines + 1, cores=cores, database_cores=database_cores, senders=senders
        )
        if more.station not in ("workers", "consumers"):
            return machines, more
    return machines, more


def table(run: Run, machines: Sequence[int], *, cores: int, database_cores: int) -> list[str]:
    """One line for each number of machines, for people; as many senders as it takes."""
    lines = []
    for number in machines:
        bound = on_machines(
            run, machines=number, cores=cores, database_cores=database_cores, senders=10**6
        )
        lines.append(f"{number:>5} {bound.images_per_second:>9,.0f}  {bound.station}")
    return lines


def report(runs: Mapping[str, Run], cores: int) -> list[str]:
    """The model beside what was measured, and where it breaks, for people."""
    lines = []
    for name, children in (("chunks_one", 1), ("chunks_two", 2)):
        if name in runs:
            bound = on_one_machine(runs[name], children=children, cores=cores)
            lines.append(
                f"model, {children} {'child' if children == 1 else 'children'}: at most "
                f"{bound.images_per_second:.0f} images per second ({bound.station}); measured "
                f"{runs[name].images_per_second:.0f}"
            )
    for name in ("chunks_postgresql", "singles_postgresql"):
        if name in runs:
            machines, bound = breaking_point(
                runs[name], cores=cores, database_cores=DATABASE_CORES, senders=10**6
            )
            lines.append(
                f"model, {name}, {DATABASE_CORES} cores for the database: more than {machines} "
                f"machines of {cores} cores are stopped by the {bound.station} at "
                f"{bound.images_per_second:,.0f} images per second"
            )
    return lines


def _demands(run: Run) -> Mapping[str, float]:
    """Milliseconds of CPU for each image, by station."""
    found = {name: max(0.0, run.cpu_ms.get(name, 0.0)) for name in (*SINGLE, "database server")}
    return found | {
        "children": sum(run.cpu_ms.get(name, 0.0) for name in ("ingest children", "bulk children"))
    }


def _least(bounds: Mapping[str, float]) -> Bound:
    station = min(bounds, key=lambda name: bounds[name])
    return Bound(images_per_second=bounds[station], station=station)
