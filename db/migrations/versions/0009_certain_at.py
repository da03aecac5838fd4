"""The level at which a tagging is certain: its label, or a parent of it.

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Unknown of taggings made before.
    op.add_column("taggings", sa.Column("certain_at", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("taggings", "certain_at")
