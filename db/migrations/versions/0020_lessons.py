"""What people decided about look-alikes stands with what waits.

Revision: 0020, after 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

HINTED = sa.text("hint_from IS NOT NULL")


def upgrade() -> None:
    op.add_column("review_queue", sa.Column("hint", sa.String(length=64), nullable=True))
    op.add_column("review_queue", sa.Column("hint_from", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_review_queue_hint_from",
        "review_queue",
        ["hint_from"],
        postgresql_where=HINTED,
        sqlite_where=HINTED,
    )
    op.drop_index("ix_review_queue_bucket", "review_queue")
    op.create_index("ix_review_queue_bucket", "review_queue", ["bucket", "waits_for"])
    op.create_table(
        "review_lessons",
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("network", sa.String(length=16), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.String(length=128), nullable=False),
        sa.Column("tagging_id", sa.BigInteger(), nullable=False),
        sa.Column("machine_label", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"],
            ["review_queue.product_id"],
            name=op.f("fk_review_lessons_product_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "model_version", "network", "bucket", "slot", name=op.f("pk_review_lessons")
        ),
    )
    op.create_index(op.f("ix_review_lessons_product_id"), "review_lessons", ["product_id"])
    op.create_index(op.f("ix_review_lessons_tagging_id"), "review_lessons", ["tagging_id"])


def downgrade() -> None:
    op.drop_table("review_lessons")
    op.drop_index("ix_review_queue_bucket", "review_queue")
    op.create_index("ix_review_queue_bucket", "review_queue", ["bucket"])
    op.execute("UPDATE review_queue SET value = value - 1 WHERE hint_from IS NOT NULL")
    op.drop_index("ix_review_queue_hint_from", "review_queue")
    op.drop_column("review_queue", "hint_from")
    op.drop_column("review_queue", "hint")
