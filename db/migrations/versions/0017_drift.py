"""What came each day in bins, and what moved beyond chance.

Revision: 0017, after 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# As in db/base.py: SQLite numbers rows by itself only in a column of exactly this type.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "drift_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("items", BIG, nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_drift_days")),
    )
    op.create_table(
        "drift_counts",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("measure", sa.String(length=16), nullable=False),
        sa.Column("bin", sa.String(length=64), nullable=False),
        sa.Column("items", BIG, nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "model_version", "host", "measure", "bin", name=op.f("pk_drift_counts")
        ),
    )
    op.create_table(
        "drift_references",
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("network", sa.String(length=8), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sample", sa.LargeBinary(), nullable=False),
        sa.Column("edges", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("model_version", "network", name=op.f("pk_drift_references")),
    )
    op.create_table(
        "drift_nights",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=True),
        sa.Column("items", BIG, nullable=False),
        sa.Column("comparisons", sa.Integer(), nullable=False),
        sa.Column("compared_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_drift_nights")),
    )
    op.create_table(
        "drift_findings",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("measure", sa.String(length=16), nullable=False),
        sa.Column("items", BIG, nullable=False),
        sa.Column("items_before", BIG, nullable=False),
        sa.Column("moved", sa.Double(), nullable=False),
        sa.Column("p_adjusted", sa.Double(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("day", "host", "measure", name=op.f("pk_drift_findings")),
    )


def downgrade() -> None:
    for table in (
        "drift_findings", "drift_nights", "drift_references", "drift_counts", "drift_days",
    ):  # fmt: skip
        op.drop_table(table)
