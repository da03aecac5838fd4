"""A bundle's row says what decides its taggings under a name that explains itself.

Revision: 0012, after 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("bundles", "behaviour", new_column_name="deciding_sha256")


def downgrade() -> None:
    op.alter_column("bundles", "deciding_sha256", new_column_name="behaviour")
