"""Services: programs that send jobs and read results, and their tokens.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "services",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_services")),
        sa.UniqueConstraint("name", name=op.f("uq_services_name")),
    )
    op.create_table(
        "service_tokens",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("service_id", BIG_ID, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(
            ["service_id"], ["services.id"], name=op.f("fk_service_tokens_service_id_services")
        ),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_service_tokens")),
    )
    op.create_index(op.f("ix_service_tokens_service_id"), "service_tokens", ["service_id"])


def downgrade() -> None:
    op.drop_table("service_tokens")
    op.drop_table("services")
