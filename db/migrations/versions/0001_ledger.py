"""The ledger, the taggings, their pictures and the dead letters.

Revision: 0001, after None
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_models")),
    )
    op.create_table(
        "products",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("image_uri", sa.String(length=2048), nullable=False),
        sa.Column("declared_label", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("current_tagging_id", BIG_ID, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('queued', 'processing', 'tagged', 'needs_review', 'reviewed', 'failed')",
            name=op.f("ck_products_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_products")),
    )
    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.create_index("ix_products_status_queued_at", ["status", "queued_at"], unique=False)

    op.create_table(
        "failures",
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("product_id", sa.String(length=128), nullable=True),
        sa.Column("reason_code", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.String(length=2000), nullable=False),
        sa.Column("payload", sa.String(length=4000), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_failures_product_id")
        ),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_failures")),
    )
    with op.batch_alter_table("failures", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_failures_reason_code"), ["reason_code"], unique=False)

    op.create_table(
        "taggings",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("product_id", sa.String(length=128), nullable=False),
        sa.Column("image_sha256", sa.String(length=64), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("confidences", sa.JSON(), nullable=False),
        sa.Column("runner_up", sa.String(length=32), nullable=False),
        sa.Column("runner_up_confidence", sa.Double(), nullable=False),
        sa.Column("out_of_taxonomy_score", sa.Double(), nullable=False),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("tagged_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "confidence >= 0 AND confidence <= 1", name=op.f("ck_taggings_confidence")
        ),
        sa.ForeignKeyConstraint(
            ["model_version"], ["models.version"], name=op.f("fk_taggings_model_version")
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_taggings_product_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_taggings")),
        sa.UniqueConstraint(
            "product_id",
            "image_sha256",
            "model_version",
            name=op.f("uq_taggings_product_id_image_sha256_model_version"),
        ),
    )
    with op.batch_alter_table("taggings", schema=None) as batch_op:
        batch_op.create_index(
            "ix_taggings_flagged_confidence", ["flagged", "confidence", "id"], unique=False
        )

    op.create_table(
        "thumbnails",
        sa.Column("tagging_id", BIG_ID, nullable=False),
        sa.Column("overlay_jpeg", sa.LargeBinary(), nullable=False),
        sa.Column("class_map", sa.LargeBinary(), nullable=False),
        sa.Column("class_map_height", sa.Integer(), nullable=False),
        sa.Column("class_map_width", sa.Integer(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tagging_id"], ["taggings.id"], name=op.f("fk_thumbnails_tagging_id")
        ),
        sa.PrimaryKeyConstraint("tagging_id", name=op.f("pk_thumbnails")),
    )


def downgrade() -> None:
    op.drop_table("thumbnails")
    with op.batch_alter_table("taggings", schema=None) as batch_op:
        batch_op.drop_index("ix_taggings_flagged_confidence")

    op.drop_table("taggings")
    with op.batch_alter_table("failures", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_failures_reason_code"))

    op.drop_table("failures")
    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.drop_index("ix_products_status_queued_at")

    op.drop_table("products")
    op.drop_table("models")
