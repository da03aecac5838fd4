"""The model registry: bundles, roles with their history, refusals, shadows' taggings.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
INSTANT = sa.DateTime(timezone=True)
SHA256 = sa.String(length=64)


def upgrade() -> None:
    op.create_table(
        "bundles",
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("behaviour", SHA256, nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("added_at", INSTANT, nullable=False),
        sa.Column("added_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_bundles")),
    )
    op.create_index("ix_bundles_version", "bundles", ["version"])
    _create_assignments()
    op.create_table(
        "bundle_refusals",
        sa.Column("worker", sa.String(length=128), nullable=False),
        sa.Column("sha256", SHA256, nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.Column("refused_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("worker", "sha256", name=op.f("pk_bundle_refusals")),
    )
    _create_shadow_taggings()


def _create_assignments() -> None:
    op.create_table(
        "model_assignments",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("change", sa.String(length=8), nullable=False),
        sa.Column("sha256", SHA256, nullable=True),
        sa.Column("from_sha256", SHA256, nullable=True),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=True),
        sa.Column("assigned_at", INSTANT, nullable=False),
        sa.Column("assigned_by", sa.String(length=64), nullable=False),
        sa.CheckConstraint(
            "role IN ('serving', 'canary', 'shadow')", name=op.f("ck_model_assignments_role")
        ),
        sa.CheckConstraint(
            "change IN ('promote', 'rollback', 'try', 'retire')",
            name=op.f("ck_model_assignments_change"),
        ),
        sa.CheckConstraint("share >= 0 AND share <= 1", name=op.f("ck_model_assignments_share")),
        sa.ForeignKeyConstraint(
            ["sha256"], ["bundles.sha256"], name=op.f("fk_model_assignments_sha256")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_assignments")),
    )
    op.create_index("ix_model_assignments_role", "model_assignments", ["role", "id"])


def _create_shadow_taggings() -> None:
    op.create_table(
        "shadow_taggings",
        sa.Column("product_id", sa.String(length=128), nullable=False),
        sa.Column("image_sha256", SHA256, nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("out_of_taxonomy_score", sa.Double(), nullable=False),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("tagged_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_shadow_taggings_product_id")
        ),
        sa.ForeignKeyConstraint(
            ["model_version"], ["models.version"], name=op.f("fk_shadow_taggings_model_version")
        ),
        sa.PrimaryKeyConstraint(
            "product_id", "image_sha256", "model_version", name=op.f("pk_shadow_taggings")
        ),
    )
    op.create_index("ix_shadow_taggings_model_version", "shadow_taggings", ["model_version"])


def downgrade() -> None:
    op.drop_table("shadow_taggings")
    op.drop_table("bundle_refusals")
    op.drop_table("model_assignments")
    op.drop_table("bundles")
