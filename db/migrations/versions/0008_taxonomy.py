"""Labels are ids of a taxonomy's categories, of up to 64 characters; a model carries its taxonomy.

The rows that hold a label, the audit's too, get the id made of the same name: what was said stays
what it was.

Revision: 0008, after 0007
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Every column that holds a label, and whether it may be empty.
COLUMNS = (
    ("taggings", "label", False),
    ("taggings", "runner_up", False),
    ("products", "reviewed_label", True),
    ("review_queue", "label", False),
    ("reviews", "label", True),
    ("reviews", "machine_label", False),
    ("retag_changes", "from_label", True),
    ("retag_changes", "to_label", True),
    ("retag_changes", "person_label", True),
    ("shadow_taggings", "label", False),
    ("earned_trust", "label", False),
)
FORMER_LENGTH, LENGTH = 32, 64
FASHION_MNIST = (
    "t-shirt-top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip


def upgrade() -> None:
    _widen(FORMER_LENGTH, LENGTH)
    names = _names()
    for column in _added():
        # SQLite adds no column NOT NULL without a default, and rebuilding the table would break
        # the references to it.
        op.add_column("models", column)
    _rename(names)
    _rename_models(names)


def downgrade() -> None:
    names: dict[str, str] = {}
    for _, document in op.get_bind().execute(sa.text("SELECT version, taxonomy FROM models")):
        fields = json.loads(document) if isinstance(document, str) else document
        names |= {each["id"]: each["name"][:FORMER_LENGTH] for each in fields["categories"]}
    _rename(names)
    models = sa.table("models", sa.column("version", sa.String), sa.column("labels", sa.JSON))
    for version, labels in list(op.get_bind().execute(sa.select(models))):
        renamed = [names.get(each, each) for each in labels]
        op.execute(sa.update(models).where(models.c.version == version).values(labels=renamed))
    for column in reversed(_added()):
        op.drop_column("models", column.name)
    _widen(LENGTH, FORMER_LENGTH)


def _added() -> list[sa.Column[object]]:
    return [
        sa.Column("taxonomy", sa.JSON(), nullable=False, server_default="{}"),
        sa.Column("taxonomy_name", sa.String(length=64), nullable=False, server_default=""),
        sa.Column("taxonomy_version", sa.Integer(), nullable=False, server_default="1"),
    ]


def _names() -> dict[str, str]:
    """Each model's label and the id that is made of it."""
    models = sa.table("models", sa.column("labels", sa.JSON))
    found: dict[str, str] = {}
    for (labels,) in op.get_bind().execute(sa.select(models.c.labels)):
        for label in labels:
            if label not in found:
                found[label] = _free(_slug(label), set(found.values()))
    return found


def _slug(name: str) -> str:
    # As catalog/taxonomy/document.py makes them; a migration must not change with it.
    decomposed = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", name))
    plain = unicodedata.normalize("NFKC", decomposed).casefold().encode("ascii", "ignore").decode()
    made = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LENGTH].strip("-")
    return made or "-".join(f"{ord(each):x}" for each in name.strip())[:LENGTH].strip("-")


def _free(wanted: str, taken: Iterable[str]) -> str:
    number, free = 1, wanted
    while free in taken:
        number += 1
        free = f"{wanted[:60]}-{number}"
    return free


def _rename(names: dict[str, str]) -> None:
    """Change what every column holds; one statement each."""
    changed = {old: new for old, new in names.items() if old != new}
    if not changed:
        return
    with _audit_open():
        for table, column, _ in COLUMNS:
            cell = sa.column(column, sa.String)
            renamed = sa.case(changed, value=cell, else_=cell)
            statement = sa.update(sa.table(table, cell)).values({column: renamed})
            op.execute(statement.where(cell.in_(list(changed))))
    _rename_runs(changed)


def _rename_runs(changed: dict[str, str]) -> None:
    runs = sa.table(
        "retag_runs",
        sa.column("id", sa.BigInteger),
        sa.column("selection", sa.JSON),
        sa.column("selection_key", sa.String),
        sa.column("labels_before", sa.JSON),
    )
    for row in list(op.get_bind().execute(sa.select(runs))):
        labels = sorted(changed.get(each, each) for each in row.selection.get("labels", []))
        key = row.selection_key
        for old, new in changed.items():
            key = re.sub(rf"label={re.escape(old)}(?=,|$)", f"label={new}", key)
        before = {changed.get(label, label): count for label, count in row.labels_before.items()}
        op.execute(
            sa.update(runs)
            .where(runs.c.id == row.id)
            .values(
                selection={**row.selection, "labels": labels},
                selection_key=key,
                labels_before=before,
            )
        )


def _rename_models(names: dict[str, str]) -> None:
    models = sa.table(
        "models",
        sa.column("version", sa.String),
        sa.column("labels", sa.JSON),
        sa.column("taxonomy", sa.JSON),
        sa.column("taxonomy_name", sa.String),
        sa.column("taxonomy_version", sa.Integer),
    )
    query = sa.select(models.c.version, models.c.labels)
    for version, labels in list(op.get_bind().execute(query)):
        ids = [names[each] for each in labels]
        name = "fashion-mnist" if sorted(ids) == sorted(FASHION_MNIST) else "drafted"
        categories = [{"id": id_, "name": label} for id_, label in zip(ids, labels, strict=True)]
        document = {"name": name, "version": 1, "categories": categories}
        op.execute(
            sa.update(models)
            .where(models.c.version == version)
            .values(labels=ids, taxonomy=document, taxonomy_name=name, taxonomy_version=1)
        )


class _audit_open:  # noqa: N801 - a context manager that reads as a function
    """The audit takes no UPDATE; for this one, which changes no decision, it does."""

    def __enter__(self) -> None:
        if op.get_bind().dialect.name == "postgresql":
            op.execute("ALTER TABLE reviews DISABLE TRIGGER reviews_append_only")
            return
        self._triggers = list(_triggers())
        for name, _ in self._triggers:
            op.execute(f"DROP TRIGGER {name}")

    def __exit__(self, *raised: object) -> None:
        if op.get_bind().dialect.name == "postgresql":
            op.execute("ALTER TABLE reviews ENABLE TRIGGER reviews_append_only")
            return
        for _, trigger in self._triggers:
            op.execute(trigger)


def _triggers() -> Iterator[tuple[str, str]]:
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'reviews'"
    for row in op.get_bind().execute(sa.text(query)):
        yield row[0], row[1]


def _widen(before: int, after: int) -> None:
    """PostgreSQL holds to the length, and to the views on a column; SQLite to neither."""
    if op.get_bind().dialect.name != "postgresql":
        return
    query = "SELECT pg_get_viewdef('labels_in_force'::regclass, true)"
    view = op.get_bind().execute(sa.text(query)).scalar_one()
    op.execute("DROP VIEW labels_in_force")
    for table, column, nullable in COLUMNS:
        op.alter_column(
            table,
            column,
            existing_type=sa.String(length=before),
            type_=sa.String(length=after),
            existing_nullable=nullable,
        )
    op.execute(f"CREATE VIEW labels_in_force AS {view}")
