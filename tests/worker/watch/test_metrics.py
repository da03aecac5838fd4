import os
import socket
import subprocess
import sys
from pathlib import Path

from catalog.settings import read_settings
from worker.watch.metrics import clear, directory


def test_start_of_a_worker_forgets_the_dead_and_keeps_the_living() -> None:
    chosen = read_settings()
    folder = directory(chosen)
    folder.mkdir(parents=True)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    kept = {f"counter_ingest-{host}-{os.getpid()}.db", f"counter_bulk-{host}-{dead.pid}.db"}
    for name in (*kept, f"counter_ingest-{host}-{dead.pid}.db"):
        (folder / name).touch()
    clear(chosen, "ingest")
    assert {path.name for path in folder.iterdir()} == kept


def test_two_children_are_summed() -> None:
    """Each child is a process of its own, as the library counts by process."""
    code = (
        "from catalog.settings import settings\n"
        "from tests.factories import flagged, failed, tagged\n"
        "from worker.watch.metrics import WorkerMetrics\n"
        "metrics = WorkerMetrics(settings(), 'ingest')\n"
        "told = [tagged('a'), flagged('b'), failed('c')]\n"
        "metrics.batch(told, [], {'cnn': 0.01}, {'cnn': 0.01})\n"
    )
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    once = "from catalog.cli import main; main(['metrics', '--once'])"
    done = subprocess.run(
        [sys.executable, "-c", once], env=environment, capture_output=True, text=True, check=True
    )
    assert 'tagger_items_total{outcome="tagged",queue="ingest"} 2.0' in done.stdout
    assert 'tagger_failures_total{queue="ingest",reason="not_found"} 2.0' in done.stdout
    assert 'tagger_flags_total{queue="ingest",reason="low_confidence"} 2.0' in done.stdout
    assert 'tagger_stage_seconds_count{queue="ingest",stage="cnn"} 2.0' in done.stdout
    assert "tagger_database_up 0.0" in done.stdout
    assert "tagger_broker_up 0.0" in done.stdout
