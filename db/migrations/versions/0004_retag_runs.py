"""Re-tagging runs; when and by which model a product was last looked at.

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
INSTANT = sa.DateTime(timezone=True)
OPEN = sa.text("state IN ('planned', 'running', 'paused')")


def added() -> list[sa.Column[object]]:
    return [
        sa.Column("image_validator", sa.String(length=512), nullable=True),
        sa.Column("last_model_version", sa.String(length=64), nullable=True),
        sa.Column("last_tagged_at", INSTANT, nullable=True),
    ]


def upgrade() -> None:
    for column in added():
        op.add_column("products", column)
    op.execute(
        "UPDATE products SET "
        "last_model_version = (SELECT model_version FROM taggings WHERE id = current_tagging_id), "
        "last_tagged_at = (SELECT tagged_at FROM taggings WHERE id = current_tagging_id) "
        "WHERE current_tagging_id IS NOT NULL"
    )
    _create_runs()
    op.create_table(
        "retag_chunks",
        sa.Column("publication", sa.String(length=64), nullable=False),
        sa.Column("run_id", BIG_ID, nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("size", "kept", "changed", "skipped", "failed")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["retag_runs.id"], name=op.f("fk_retag_chunks_run_id")),
        sa.PrimaryKeyConstraint("publication", name=op.f("pk_retag_chunks")),
    )
    op.create_index("ix_retag_chunks_run_id", "retag_chunks", ["run_id"])
    op.create_table(
        "retag_changes",
        sa.Column("run_id", BIG_ID, nullable=False),
        sa.Column("product_id", sa.String(length=128), nullable=False),
        sa.Column("from_label", sa.String(length=32), nullable=True),
        sa.Column("to_label", sa.String(length=32), nullable=True),
        sa.Column("reason_code", sa.String(length=32), nullable=True),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("from_tagging_id", BIG_ID, nullable=True),
        sa.Column("to_tagging_id", BIG_ID, nullable=True),
        sa.Column("person_label", sa.String(length=32), nullable=True),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["retag_runs.id"], name=op.f("fk_retag_changes_run_id")
        ),
        sa.PrimaryKeyConstraint("run_id", "product_id", name=op.f("pk_retag_changes")),
    )
    op.create_index(
        "ix_retag_changes_cell",
        "retag_changes",
        ["run_id", "from_label", "to_label", "reason_code", "confidence"],
    )


def _create_runs() -> None:
    op.create_table(
        "retag_runs",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("selection_key", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("cursor", sa.String(length=128), nullable=False),
        sa.Column("products", sa.Integer(), nullable=False),
        sa.Column("looked", sa.Integer(), nullable=False),
        sa.Column("published", sa.Integer(), nullable=False),
        sa.Column("labels_before", sa.JSON(), nullable=False),
        sa.Column("change_share_max", sa.Double(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("leased_by", sa.String(length=128), nullable=True),
        sa.Column("leased_until", INSTANT, nullable=True),
        sa.Column("paced_at", INSTANT, nullable=True),
        sa.Column("paced_done", sa.Integer(), nullable=False),
        sa.Column("items_per_s", sa.Double(), nullable=True),
        sa.Column("last_error", sa.String(length=2000), nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'running', 'paused', 'cancelled', 'finished')",
            name=op.f("ck_retag_runs_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retag_runs")),
    )
    op.create_index(
        "uq_retag_runs_open_selection",
        "retag_runs",
        ["selection_key"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_index("ix_retag_runs_state", "retag_runs", ["state"])


def downgrade() -> None:
    op.drop_table("retag_changes")
    op.drop_table("retag_chunks")
    op.drop_table("retag_runs")
    for column in reversed(added()):
        op.drop_column("products", column.name)
