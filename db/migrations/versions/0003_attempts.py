"""Attempts, deaths and publications in the ledger; heartbeats.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def added() -> list[sa.Column[object]]:
    return [
        sa.Column("publication", sa.String(length=64), nullable=True),
        sa.Column("settled_publication", sa.String(length=64), nullable=True),
        sa.Column("queue", sa.String(length=16), nullable=False, server_default="ingest"),
        sa.Column("published_at", INSTANT, nullable=True),
        sa.Column("attempt_by", sa.String(length=64), nullable=True),
        sa.Column("attempt_started_at", INSTANT, nullable=True),
        sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("last_trouble", sa.String(length=32), nullable=True),
    ]


def upgrade() -> None:
    for column in added():
        op.add_column("products", column)
    # What was in the queue when this ran is the reconciler's to watch from now on.
    op.execute(
        "UPDATE products SET published_at = queued_at WHERE status IN ('queued', 'processing')"
    )
    op.create_index("ix_products_published_at", "products", ["published_at"])
    op.create_index("ix_products_next_attempt_at", "products", ["next_attempt_at"])
    op.create_index("ix_taggings_tagged_at", "taggings", ["tagged_at"])
    op.add_column("models", sa.Column("created_at", sa.String(length=40), nullable=True))
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("beat_at", INSTANT, nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeats")),
    )
    op.create_index("ix_heartbeats_kind", "heartbeats", ["kind"])


def downgrade() -> None:
    op.drop_table("heartbeats")
    op.drop_column("models", "created_at")
    op.drop_index("ix_taggings_tagged_at", table_name="taggings")
    op.drop_index("ix_products_next_attempt_at", table_name="products")
    op.drop_index("ix_products_published_at", table_name="products")
    for column in reversed(added()):
        op.drop_column("products", column.name)
