import pytest

from lab.jobs import measure, render


@pytest.mark.integration
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_bench_hands_in_jobs_to_a_desk_of_its_own(database: str) -> None:
    figures = measure(70, 2, database)
    assert (figures.database, figures.jobs) == (database, 70)
    assert len(figures.seconds) == len(figures.desk_cpu_s) == len(figures.database_cpu_s) == 2
    assert all(0 < each < 300 for each in figures.seconds)
    assert f"70 jobs in one request on {database}" in render(figures)
