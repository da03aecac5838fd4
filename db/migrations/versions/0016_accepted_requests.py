"""Requests that named a key of their own, so that a repeated one is harmless.

Revision: 0016, after 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "accepted_requests",
        sa.Column("service_id", BIG_ID, nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name=op.f("fk_accepted_requests_service_id_services")
        ),
        sa.PrimaryKeyConstraint("service_id", "key", name=op.f("pk_accepted_requests")),
    )
    op.create_index(op.f("ix_accepted_requests_accepted_at"), "accepted_requests", ["accepted_at"])


def downgrade() -> None:
    op.drop_table("accepted_requests")
