"""The review desk: its queue, its append-only audit, its people; the label in force.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
INSTANT = sa.DateTime(timezone=True)

REFUSE_ON_SQLITE = """
CREATE TRIGGER reviews_no_{event} BEFORE {event} ON reviews
BEGIN SELECT RAISE(ABORT, 'reviews is append-only'); END
"""
REFUSE_ON_POSTGRESQL = """
CREATE FUNCTION refuse_to_change_reviews() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'reviews is append-only'; END $$;
CREATE TRIGGER reviews_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reviews
FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_reviews()
"""
# What merchandisers read: a person's word where there is one, otherwise the machine's.
LABELS_IN_FORCE = """
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
        "reviewers",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("disabled_at", INSTANT, nullable=True),
        sa.CheckConstraint("role IN ('reviewer', 'lead')", name=op.f("ck_reviewers_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviewers")),
        sa.UniqueConstraint("name", name=op.f("uq_reviewers_name")),
    )
    op.create_table(
        "review_sessions",
        sa.Column("cookie_sha256", sa.String(length=64), nullable=False),
        sa.Column("reviewer_id", BIG_ID, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(
            ["reviewer_id"], ["reviewers.id"], name=op.f("fk_review_sessions_reviewer_id")
        ),
        sa.PrimaryKeyConstraint("cookie_sha256", name=op.f("pk_review_sessions")),
    )
    with op.batch_alter_table("review_sessions", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_review_sessions_reviewer_id"), ["reviewer_id"], unique=False
        )

    op.create_table(
        "reviewer_credentials",
        sa.Column("selector", sa.String(length=16), nullable=False),
        sa.Column("reviewer_id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("secret_hash", sa.String(length=255), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.CheckConstraint("kind IN ('token', 'link')", name=op.f("ck_reviewer_credentials_kind")),
        sa.ForeignKeyConstraint(
            ["reviewer_id"], ["reviewers.id"], name=op.f("fk_reviewer_credentials_reviewer_id")
        ),
        sa.PrimaryKeyConstraint("selector", name=op.f("pk_reviewer_credentials")),
    )
    with op.batch_alter_table("reviewer_credentials", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_reviewer_credentials_reviewer_id"), ["reviewer_id"], unique=False
        )

    op.create_table(
        "review_queue",
        sa.Column("product_id", sa.String(length=128), nullable=False),
        sa.Column("tagging_id", BIG_ID, nullable=False),
        sa.Column("waits_for", sa.String(length=8), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("leased_by", BIG_ID, nullable=True),
        sa.Column("leased_until", INSTANT, nullable=True),
        sa.Column("label", sa.String(length=32), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("declared_label", sa.String(length=64), nullable=True),
        sa.Column("reasons", sa.String(length=255), nullable=False),
        sa.Column("tagged_at", INSTANT, nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("embedding", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "waits_for IN ('reviewer', 'lead', 'nobody')", name=op.f("ck_review_queue_waits_for")
        ),
        sa.ForeignKeyConstraint(
            ["leased_by"], ["reviewers.id"], name=op.f("fk_review_queue_leased_by")
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_review_queue_product_id")
        ),
        sa.ForeignKeyConstraint(
            ["tagging_id"], ["taggings.id"], name=op.f("fk_review_queue_tagging_id")
        ),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_review_queue")),
        sa.UniqueConstraint("tagging_id", name=op.f("uq_review_queue_tagging_id")),
    )
    with op.batch_alter_table("review_queue", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_review_queue_bucket"), ["bucket"], unique=False)
        batch_op.create_index(
            "ix_review_queue_counts",
            ["waits_for", "reasons", "label", "model_version", "round", "tagged_at"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_review_queue_declared_label"), ["declared_label"], unique=False
        )
        batch_op.create_index(
            "ix_review_queue_confidence", ["waits_for", "confidence", "tagging_id"], unique=False
        )
        batch_op.create_index(
            "ix_review_queue_label",
            ["waits_for", "label", "confidence", "tagging_id"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_review_queue_leased_by"), ["leased_by"], unique=False)
        batch_op.create_index(
            "ix_review_queue_tagged_at", ["waits_for", "tagged_at", "tagging_id"], unique=False
        )
        batch_op.create_index(
            "ix_review_queue_value", ["waits_for", "value", "tagging_id"], unique=False
        )

    op.create_table(
        "reviews",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("request_key", sa.String(length=64), nullable=False),
        sa.Column("product_id", sa.String(length=128), nullable=False),
        sa.Column("tagging_id", BIG_ID, nullable=False),
        sa.Column("reviewer_id", BIG_ID, nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("label", sa.String(length=32), nullable=True),
        sa.Column("machine_label", sa.String(length=32), nullable=False),
        sa.Column("machine_confidence", sa.Double(), nullable=False),
        sa.Column("model_version", sa.String(length=64), nullable=False),
        sa.Column("image_sha256", sa.String(length=64), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("decided_at", INSTANT, nullable=False),
        sa.Column("undoes_id", BIG_ID, nullable=True),
        sa.CheckConstraint(
            "(action = 'undo') = (undoes_id IS NOT NULL)", name=op.f("ck_reviews_undo")
        ),
        sa.CheckConstraint(
            "action IN ('accept', 'correct', 'not_in_taxonomy', 'bad_image', 'skip', 'undo')",
            name=op.f("ck_reviews_action"),
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_reviews_product_id")
        ),
        sa.ForeignKeyConstraint(
            ["reviewer_id"], ["reviewers.id"], name=op.f("fk_reviews_reviewer_id")
        ),
        sa.ForeignKeyConstraint(
            ["tagging_id"], ["taggings.id"], name=op.f("fk_reviews_tagging_id")
        ),
        sa.ForeignKeyConstraint(["undoes_id"], ["reviews.id"], name=op.f("fk_reviews_undoes_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
        sa.UniqueConstraint("request_key", name=op.f("uq_reviews_request_key")),
        sa.UniqueConstraint("undoes_id", name=op.f("uq_reviews_undoes_id")),
    )
    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reviews_decided_at"), ["decided_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_reviews_product_id"), ["product_id"], unique=False)
        batch_op.create_index("ix_reviews_reviewer_id_id", ["reviewer_id", "id"], unique=False)
        batch_op.create_index(
            "ix_reviews_tagging_id_reviewer_id", ["tagging_id", "reviewer_id"], unique=False
        )

    op.add_column("products", sa.Column("reviewed_label", sa.String(length=32), nullable=True))

    # ### end Alembic commands ###

    if op.get_bind().dialect.name == "postgresql":
        op.execute(REFUSE_ON_POSTGRESQL)
    else:
        for event in ("UPDATE", "DELETE"):
            op.execute(REFUSE_ON_SQLITE.format(event=event))
    op.execute(LABELS_IN_FORCE)


def downgrade() -> None:
    op.execute("DROP VIEW labels_in_force")

    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.drop_index("ix_reviews_tagging_id_reviewer_id")
        batch_op.drop_index("ix_reviews_reviewer_id_id")
        batch_op.drop_index(batch_op.f("ix_reviews_product_id"))
        batch_op.drop_index(batch_op.f("ix_reviews_decided_at"))

    op.drop_table("reviews")
    with op.batch_alter_table("review_queue", schema=None) as batch_op:
        batch_op.drop_index("ix_review_queue_value")
        batch_op.drop_index("ix_review_queue_tagged_at")
        batch_op.drop_index(batch_op.f("ix_review_queue_leased_by"))
        batch_op.drop_index("ix_review_queue_label")
        batch_op.drop_index("ix_review_queue_counts")
        batch_op.drop_index(batch_op.f("ix_review_queue_declared_label"))
        batch_op.drop_index("ix_review_queue_confidence")
        batch_op.drop_index(batch_op.f("ix_review_queue_bucket"))

    op.drop_table("review_queue")
    with op.batch_alter_table("reviewer_credentials", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_reviewer_credentials_reviewer_id"))

    op.drop_table("reviewer_credentials")
    with op.batch_alter_table("review_sessions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_review_sessions_reviewer_id"))

    op.drop_table("review_sessions")
    op.drop_table("reviewers")
    # ### end Alembic commands ###
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_to_change_reviews()")
    op.drop_column("products", "reviewed_label")
