"""What photos have earned by their reviews; which taggings were of photos.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Unknown of taggings made before: they count neither for trust nor against it.
    op.add_column("taggings", sa.Column("photo_temperature", sa.Double(), nullable=True))
    op.create_table(
        "earned_trust",
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("confidence_min", sa.Double(), nullable=True),
        sa.Column("temperature", sa.Double(), nullable=False),
        sa.Column("reviewed", sa.Integer(), nullable=False),
        sa.Column("right", sa.Integer(), nullable=False),
        sa.Column("error_at_most", sa.Double(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version"],
            ["models.version"],
            name=op.f("fk_earned_trust_model_version"),
        ),
        sa.PrimaryKeyConstraint("model_version", "label", name=op.f("pk_earned_trust")),
    )


def downgrade() -> None:
    op.drop_table("earned_trust")
    op.drop_column("taggings", "photo_temperature")
