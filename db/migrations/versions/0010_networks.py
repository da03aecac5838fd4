"""Which network of its model's bundle spoke, beside each tagging.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # All taggings so far are the 28×28 network's word.
    op.add_column(
        "taggings",
        sa.Column("network", sa.String(length=8), nullable=False, server_default="reduced"),
    )


def downgrade() -> None:
    op.drop_column("taggings", "network")
