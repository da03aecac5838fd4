"""What must not be imported, proved in a process of its own."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.databases import migrated_sqlite

HEAVY = ("tensorflow", "keras", "matplotlib", "sklearn", "scipy")


def imported_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import worker.app, worker.tasks, worker.tagging.process",
        "import worker.client",
        "import review.serve, review.commands.review, review.commands.reviewer",
        "import review.commands.export, lab.commands.review, lab.review",
        "import db.ledger.recording, db.migrate, db.ledger.summary, db.commands",
        "import worker.commands.up, worker.commands.demo, worker.commands.classify",
        "import worker.commands.model, worker.commands.health, lab.models",
        "import worker.commands.enqueue, worker.commands.status, lab.commands.bench",
    ],
)
def test_serving_never_imports_what_training_needs(code: str) -> None:
    assert not imported_by(code) & set(HEAVY)


def test_catalog_imports_no_framework() -> None:
    code = "import catalog.bundle, catalog.jobs, catalog.settings, catalog.images.decode"
    assert not imported_by(code) & {*HEAVY, "celery", "sqlalchemy", "kombu"}


def test_help_imports_no_command() -> None:
    code = "from click.testing import CliRunner; from catalog.cli import main\n"
    code += "assert CliRunner().invoke(main, ['--help']).exit_code == 0"
    loaded = imported_by(code)
    assert not loaded & {*HEAVY, "celery", "sqlalchemy", "pydantic", "numpy", "cv2"}


def test_showing_the_status_loads_neither_a_model_nor_the_queue_nor_all_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated_sqlite(f"sqlite:///{tmp_path}/catalog.db").dispose()
    monkeypatch.setenv("TAGGER_HOME", str(tmp_path))
    loaded = imported_by(
        "from click.testing import CliRunner; from catalog.cli import main\n"
        "done = CliRunner().invoke(main, ['status'])\n"
        "assert 'Products: 0' in done.output, done.output"
    )
    assert not loaded & {
        *HEAVY, "numpy", "cv2", "PIL", "ai_edge_litert", "celery", "kombu", "redis", "alembic",
        "httpx", "prometheus_client", "pydantic", "pydantic_core", "pydantic_settings", "dotenv",
        "sqlalchemy.dialects.postgresql", "psycopg",
    }  # fmt: skip


def test_workers_start_without_alembic_and_the_shell_for_brokers() -> None:
    code = (
        "from worker.local.celery_command import without_shell; without_shell()\n"
        "import celery.bin.celery, worker.tasks, worker.upkeep"
    )
    assert not imported_by(code) & {"alembic", "prompt_toolkit"}


def test_importing_the_worker_reads_no_setting() -> None:
    code = (
        "import os; os.environ['TAGGER_BATCH_SIZE'] = 'unusable'\nimport worker.app, worker.tasks"
    )
    assert "worker.tasks" in imported_by(code)


def test_what_ships_works_without_the_laboratory_and_says_where_it_is() -> None:
    code = (
        "import sys; sys.modules['lab'] = None\n"  # as where it is not installed
        "from click.testing import CliRunner; from catalog.cli import main\n"
        "done = CliRunner().invoke(main, ['bench', 'serve'])\n"
        "assert done.exit_code == 1 and 'Run it in a checkout' in done.output, done.output\n"
        "import worker.tasks, worker.upkeep, worker.commands.up, review.serve"
    )
    assert not {name for name in imported_by(code) if name.startswith("lab.")}


def test_neither_wheel_nor_image_holds_the_laboratory() -> None:
    project = Path(__file__).parents[1]
    wheel = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert wheel["targets"]["wheel"]["packages"] == [
        "catalog", "db", "worker", "trainer", "review"
    ]  # fmt: skip
    copied = {
        line.split()[1] for line in (project / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY")
    }  # fmt: skip
    assert "lab" not in copied
    assert "!lab" not in (project / ".dockerignore").read_text().splitlines()
