"""The benchmark itself: real broker, real workers, few photos."""

import pytest

from lab.pipeline.suite import Plan, measure

pytestmark = pytest.mark.integration


def test_a_small_benchmark_counts_every_photo_and_where_its_time_went() -> None:
    plan = Plan(
        images=48,
        distinct_photos=8,
        databases=("sqlite",),
        modes=("chunks",),
        tutorial=False,
        latency=False,
        scaling=False,
        remote=False,
        warm_up=8,
        turns=2,
        attempts=1,
    )
    said: list[str] = []
    figures = measure(plan, said.append)
    run = figures.runs["chunks_sqlite"]
    assert run.images == 48
    assert sum(run.batches.values()) == 1
    assert {
        "begin",
        "read",
        "decode",
        "model_input",
        "cnn",
        "overlay",
        "store",
    } <= run.stage_ms.keys()
    assert run.cpu_ms["bulk children"] > 0
    assert 0 < run.latency_s["p50"] <= run.latency_s["p99"] <= run.seconds + 1
    assert figures.first_item_s["sqlite"] > 0
    assert figures.floor > 0
    assert [turn.over > 0 for turn in figures.turns["chunks_sqlite"]] == [True, True]
    assert len(said) >= 3
