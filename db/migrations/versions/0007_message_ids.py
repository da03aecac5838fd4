"""The names that the ledger's columns have now: message ids, crashes, reason codes.

Revision: 0007, after 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

RENAMED = (
    ("products", "publication", "message_id"),
    ("products", "settled_publication", "settled_message_id"),
    ("products", "deaths", "crashes"),
    ("products", "last_trouble", "last_reason_code"),
    ("retag_chunks", "publication", "message_id"),
)


def upgrade() -> None:
    for table, before, after in RENAMED:
        op.alter_column(table, before, new_column_name=after)


def downgrade() -> None:
    for table, before, after in RENAMED:
        op.alter_column(table, after, new_column_name=before)
