"""Which taxonomy is in force, and what labels of others are in it.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
LABEL = sa.String(length=64)

# What merchandisers read: a person's word where there is one, otherwise the machine's, in the
# taxonomy in force. A label is none where its category was split or removed since.
LABELS_IN_FORCE = """
CREATE VIEW labels_in_force AS
SELECT products.id AS product_id,
       CASE WHEN products.status = 'reviewed' THEN products.reviewed_label
            WHEN moved_labels.label IS NULL THEN taggings.label
            ELSE moved_labels.in_force END AS label,
       CASE WHEN products.status = 'reviewed' THEN 'person' ELSE 'machine' END AS said_by,
       products.status = 'needs_review' AS waits_for_a_person,
       taggings.label AS machine_label,
       taggings.confidence AS machine_confidence,
       taggings.model_version AS model_version,
       products.updated_at AS updated_at
FROM products JOIN taggings ON taggings.id = products.current_tagging_id
JOIN models ON models.version = taggings.model_version
LEFT JOIN moved_labels ON moved_labels.taxonomy_name = models.taxonomy_name
    AND moved_labels.taxonomy_version = models.taxonomy_version
    AND moved_labels.label = taggings.label
WHERE products.status IN ('tagged', 'needs_review', 'reviewed')
"""
FORMER_VIEW = """
CREATE VIEW labels_in_force AS
SELECT products.id AS product_id,
       CASE WHEN products.status = 'reviewed' THEN products.reviewed_label
            ELSE taggings.label END AS label,
       CASE WHEN products.status = 'reviewed' THEN 'person' ELSE 'machine' END AS said_by,
       products.status = 'needs_review' AS waits_for_a_person,
       taggings.label AS machine_label,
       taggings.confidence AS machine_confidence,
       taggings.model_version AS model_version,
       products.updated_at AS updated_at
FROM products JOIN taggings ON taggings.id = products.current_tagging_id
WHERE products.status IN ('tagged', 'needs_review', 'reviewed')
"""


def upgrade() -> None:
    op.create_table(
        "taxonomy_adoptions",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", LABEL, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("adopted_by", LABEL, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_taxonomy_adoptions")),
    )
    op.create_table(
        "moved_labels",
        sa.Column("taxonomy_name", LABEL, nullable=False),
        sa.Column("taxonomy_version", sa.Integer(), nullable=False),
        sa.Column("label", LABEL, nullable=False),
        sa.Column("in_force", LABEL, nullable=True),
        sa.PrimaryKeyConstraint(
            "taxonomy_name", "taxonomy_version", "label", name=op.f("pk_moved_labels")
        ),
    )
    # None: of before, when it was that of the tagging's model.
    op.add_column("reviews", sa.Column("taxonomy_name", LABEL, nullable=True))
    op.add_column("reviews", sa.Column("taxonomy_version", sa.Integer(), nullable=True))
    op.execute("DROP VIEW labels_in_force")
    op.execute(LABELS_IN_FORCE)


def downgrade() -> None:
    op.execute("DROP VIEW labels_in_force")
    op.execute(FORMER_VIEW)
    op.drop_column("reviews", "taxonomy_version")
    op.drop_column("reviews", "taxonomy_name")
    op.drop_table("moved_labels")
    op.drop_table("taxonomy_adoptions")
