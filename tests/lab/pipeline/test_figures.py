"""What is computed from what was measured."""

import json
from pathlib import Path

import pytest

from lab.pipeline.capacity import breaking_point, on_machines, on_one_machine, table
from lab.pipeline.counters import Counters, read_counters
from lab.pipeline.figures import Figures, render
from lab.pipeline.floor import Floor
from lab.pipeline.plot import draw
from lab.pipeline.processes import busy_s, children, cpu_s, memory_mb, own_cpu_s
from lab.pipeline.regression import Comparison, compare
from lab.pipeline.regression import render as render_comparison
from lab.pipeline.running import Run
from lab.pipeline.turns import Turn


def run(name: str = "chunks_postgresql", per_second: float = 300.0, **fields: object) -> Run:
    values: dict[str, object] = {
        "name": name, "images": 300, "seconds": 300 / per_second,
        "images_per_second": per_second, "strangers_cores": 0.0,
        "latency_s": {"p50": 0.5, "p95": 0.9, "p99": 1.0},
        "cpu_ms": {"client": 0.2, "broker": 0.05, "ingest consumer": 0.0, "bulk consumer": 0.05,
                   "bulk children": 5.0, "database server": 0.5},
        "stage_ms": {"decode": 2.0}, "stage_cpu_ms": {"decode": 1.9},
        "memory_mb": {"bulk": 90.0}, "batches": {"128.0": 3.0},
    }  # fmt: skip
    return Run(**(values | fields))  # type: ignore[arg-type]


def figures(**fields: object) -> Figures:
    values: dict[str, object] = {
        "cores": 2, "images": 300, "floor": 400.0, "floor_cpu_ms": 4.64, "tutorial": 10.0,
        "runs": {"chunks_postgresql": run()},
        "idle_s": {"sqlite, default": {"p50": 0.3, "p95": 0.31, "p99": 0.4}},
        "first_item_s": {"sqlite": 2.5},
    }  # fmt: skip
    return Figures(**(values | fields))  # type: ignore[arg-type]


def test_ratios_have_the_names_that_programs_read() -> None:
    found = json.loads(figures().as_json())
    assert found["chunks_postgresql_over_floor"] == pytest.approx(0.75)
    assert found["chunks_postgresql_over_floor_cpu"] == pytest.approx(0.8)
    assert found["chunks_postgresql_over_tutorial"] == pytest.approx(30)
    assert found["runs"]["chunks_postgresql"]["images_per_second"] == 300


def turn(over: float, strangers_cores: float = 0.0) -> Turn:
    return Turn(
        images_per_second=300.0, over=over, over_cpu=over + 0.1, strangers_cores=strangers_cores,
    )  # fmt: skip


def test_a_turn_is_the_run_over_the_bare_loop_of_its_own_minute() -> None:
    floor = Floor(images_per_second=400.0, cpu_ms=2.9, strangers_cores=0.3)
    found = Turn.of(floor, run(strangers_cores=0.1))
    assert found.over == pytest.approx(0.75)
    assert found.over_cpu == pytest.approx(0.5)
    assert found.strangers_cores == 0.3


def test_ratios_of_turns_are_medians_told_with_the_least_and_the_most() -> None:
    turns = [turn(0.7), turn(0.9), turn(0.8), turn(0.2), turn(0.85)]
    found = figures(turns={"chunks_postgresql": turns})
    assert found.ratios()["chunks_postgresql_over_floor"] == pytest.approx(0.8)
    assert found.ratios()["chunks_postgresql_over_floor_cpu"] == pytest.approx(0.9)
    assert "0.80 (0.20 to 0.90) of the bare loop's speed" in render(found)
    assert "chunks_postgresql_over_floor" in found.steady_ratios()


def test_a_disturbed_turn_among_quiet_ones_is_not_judged_but_its_cpu_is() -> None:
    turns = [turn(0.7), turn(0.9), turn(0.8), turn(0.2, strangers_cores=1.5), turn(0.85)]
    found = figures(turns={"chunks_postgresql": turns})
    assert found.steady_ratios()["chunks_postgresql_over_floor"] == pytest.approx(0.825)
    assert found.steady_ratios()["chunks_postgresql_over_floor_cpu"] == pytest.approx(0.9)
    assert "0.82 (0.70 to 0.90) of the bare loop's speed" in render(found)
    assert "1 of 5 turns disturbed, not judged" in render(found)


def test_turns_that_were_mostly_disturbed_are_not_judged() -> None:
    turns = [turn(0.7, 0.5), turn(0.8, 0.5), turn(0.9)]
    found = figures(turns={"chunks_postgresql": turns})
    assert "DISTURBED" in render(found)
    assert "chunks_postgresql_over_floor         disturbed, not judged" in render(found)
    assert "chunks_postgresql_over_floor" in json.loads(found.as_json())["disturbed"]
    steady = found.steady_ratios()
    assert "chunks_postgresql_over_floor" not in steady
    assert "chunks_postgresql_over_floor_cpu" in steady


def test_without_tensorflow_there_is_no_ratio_to_the_tutorial_and_the_table_says_why() -> None:
    alone = figures(tutorial=None)
    assert not [key for key in alone.ratios() if key.endswith("tutorial")]
    assert "left out: needs the training extra" in render(alone)


def test_remote_and_scaling_ratios_are_of_their_own_pairs() -> None:
    runs = {"chunks_local": run(per_second=200.0), "chunks_remote": run(per_second=190.0),
            "chunks_one": run(per_second=100.0), "chunks_two": run(per_second=180.0)}  # fmt: skip
    found = figures(runs=runs, remote_turns=[turn(0.6), turn(0.95), turn(0.9)])
    assert found.ratios()["remote_over_local"] == pytest.approx(0.9)
    assert found.ratios()["two_over_one"] == pytest.approx(1.8)
    assert {"remote_over_local", "two_over_one"} <= found.steady_ratios().keys()
    assert "0.90 (0.60 to 0.95) of local files' speed" in render(found)


def test_remote_photos_of_disturbed_turns_are_judged_by_their_cpu_only() -> None:
    turns = [turn(0.3, strangers_cores=1.5), turn(0.4, strangers_cores=1.5), turn(0.95)]
    steady = figures(remote_turns=turns).steady_ratios()
    assert "remote_over_local" not in steady
    assert steady["remote_over_local_cpu"] == pytest.approx(0.5)


def test_two_children_over_one_are_not_judged_where_one_was_disturbed() -> None:
    runs = {"chunks_one": run(strangers_cores=0.5), "chunks_two": run()}
    assert "two_over_one" not in figures(runs=runs).steady_ratios()


def test_speeds_that_other_programs_spoilt_are_not_compared() -> None:
    ratios = figures(runs={"a": run(), "b": run(strangers_cores=0.5)}).steady_ratios()
    assert {"a_over_floor", "a_over_floor_cpu", "b_over_floor_cpu"} <= ratios.keys()
    assert "b_over_floor" not in ratios
    assert "a_over_floor" not in figures(floor_strangers_cores=0.5).steady_ratios()


def test_picture_is_drawn_without_a_display(tmp_path: Path) -> None:
    draw(figures(), tmp_path / "figures.png")
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")


def test_a_ratio_is_lost_only_when_a_third_of_it_is_gone() -> None:
    kept, lost, missing = compare({"a": 0.9, "b": 0.9, "c_cpu": 0.9}, {"a": 0.61, "b": 0.59})
    assert [each.lost for each in (kept, lost, missing)] == [False, True, True]
    assert not Comparison(key="chunks_sqlite_over_floor", then=0.9, now=None).lost
    assert not Comparison(key="better", then=0.5, now=2.0).lost
    text = render_comparison([kept, lost, missing]).splitlines()
    assert [line.endswith("LOST") for line in text[1:]] == [False, True, True]


def test_one_machine_is_bounded_by_its_children_or_by_its_cores() -> None:
    one, two = (on_one_machine(run(), children=each, cores=2) for each in (1, 2))
    assert (one.station, one.images_per_second) == ("children", pytest.approx(200))
    assert (two.station, two.images_per_second) == ("cores", pytest.approx(2000 / 5.8))


def test_more_machines_help_until_another_station_is_full() -> None:
    few = on_machines(run(), machines=2, cores=2, database_cores=4, senders=9)
    assert few.station == "workers"
    machines, bound = breaking_point(run(), cores=2, database_cores=4, senders=9)
    assert bound.station == "database"
    assert bound.images_per_second == pytest.approx(8000)
    # 2,000 ms of cores a second, 5.05 ms an image: 396 a machine.
    assert machines == 20
    assert table(run(), [1, 99], cores=2, database_cores=4)[1].split() == [
        "99",
        "8,000",
        "database",
    ]


def test_counters_of_a_run_are_what_was_added_since(tmp_path: Path) -> None:
    before = Counters(stage_s={"cnn": 1.0}, stage_cpu_s={"cnn": 0.9}, batches={"64.0": 2.0})
    after = Counters(
        stage_s={"cnn": 1.5}, stage_cpu_s={"cnn": 1.3}, batches={"64.0": 2.0, "32.0": 1.0}
    )
    since = after.since(before)
    assert since.stage_s == {"cnn": 0.5}
    assert since.batches == {"32.0": 1.0}
    assert not read_counters(tmp_path, "bulk").stage_s


def test_cpu_and_memory_of_this_process_are_read() -> None:
    import os

    before = own_cpu_s(os.getpid())
    sum(n * n for n in range(2_000_000))
    assert own_cpu_s(os.getpid()) > before
    assert cpu_s(os.getpid()) >= own_cpu_s(os.getpid())
    assert busy_s() > before
    assert memory_mb(os.getpid()) > 10
    assert os.getpid() in children(os.getppid())
