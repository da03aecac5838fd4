"""Each kind of change of a taxonomy, walked on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from catalog.networks import NetworkName
from catalog.taxonomy.model import Replaced, Taxonomy
from db.ledger.accepting import accept
from db.ledger.models import Product, Tagging
from db.ledger.recording import record_model
from db.ledger.taxonomies import taxonomy_in_force
from db.registry.comparison import compare
from db.registry.photo_trust import stream
from db.retag.conditions import condition
from db.retag.selection import Selection, parse_selection
from db.review.decisions import decide, history, undo
from db.review.errors import UnknownLabelError
from db.review.export import corrections, newest_review
from db.review.leases import claim
from db.review.models import Action, Reviewer
from db.taxonomies.adopting import AdoptionError, adopt
from db.taxonomies.commands import told
from tests.desk import decision, item, person
from tests.factories import flagged, job, manifest, record, tagged
from tests.taxonomies import taxonomy

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
LABELS = ("bag", "boot", "jumper", "pullover", "shirt")
FIRST = taxonomy(*LABELS)


def second(*labels: str, **moved: tuple[str, ...]) -> Taxonomy:
    return taxonomy(*labels, version=2, replaces=Replaced(version=1, categories=moved))


@pytest.fixture
def ada(session: Session) -> Reviewer:
    model(session, "m1", FIRST)
    return person(session)


def model(session: Session, version: str, of: Taxonomy, labels: tuple[str, ...] = ()) -> None:
    """A model that has tagged with a taxonomy."""
    chosen = labels or of.ids
    record_model(session, manifest(model_version=version, labels=chosen, taxonomy=of), NOON)


def tag(
    session: Session, product_id: str, label: str, version: str = "m1", **fields: object
) -> None:
    made = {"label": label, "confidences": (0.2,) * len(LABELS), "model_version": version, **fields}
    record(session, [(flagged if made.pop("flag", True) else tagged)(product_id, **made)], NOON)


def judge(session: Session, who: Reviewer, product_id: str, label: str | None = None) -> None:
    """What a person says of a product as it stands; None: the machine is right."""
    action = Action.ACCEPT if label is None else Action.CORRECT
    if label == "not_in_taxonomy":
        action = Action.NOT_IN_TAXONOMY
    tagging_id = item(session, product_id).tagging_id
    decide(session, who, decision(session, tagging_id, action, label=label), LATER)


def in_force(session: Session) -> dict[str, tuple[str | None, str]]:
    rows = session.execute(text("SELECT product_id, label, said_by FROM labels_in_force"))
    return {row[0]: (row[1], row[2]) for row in rows}


def put(session: Session, new: Taxonomy) -> tuple[int, int, int]:
    session.flush()
    done = adopt(session, new, by="test", now=LATER)
    assert taxonomy_in_force(session) == new
    return done.changed, done.asked_again, done.machine_open


def stands(session: Session, product_id: str) -> tuple[str, str | None]:
    row = session.get_one(Product, product_id, populate_existing=True)
    return row.status, row.reviewed_label


def touched(session: Session) -> set[str]:
    selected = condition(
        parse_selection("changed-taxonomy"), model_version="m2", as_of=LATER + timedelta(days=1)
    )
    return set(session.scalars(select(Product.id).where(selected)))


def exported(session: Session) -> dict[str, str | None]:
    rows = corrections(session, after=0, up_to=newest_review(session))
    return {each.product_id: each.label for each in rows}


def test_renamed_category_takes_machines_and_peoples_labels_along(
    session: Session, ada: Reviewer
) -> None:
    tag(session, "machine", "jumper", flag=False)
    tag(session, "waiting", "jumper")
    tag(session, "person", "bag")
    judge(session, ada, "person", "jumper")
    new = second("bag", "boot", "knit", "pullover", "shirt", jumper=("knit",))
    assert put(session, new) == (1, 0, 0)
    assert in_force(session) == {
        "machine": ("knit", "machine"),
        "waiting": ("knit", "machine"),
        "person": ("knit", "person"),
    }
    assert item(session, "waiting").label == "knit"
    assert session.scalars(select(Tagging.label).order_by(Tagging.id)).all() == [
        "jumper", "jumper", "bag",
    ]  # fmt: skip
    judge(session, ada, "waiting")
    said = history(session, item(session, "waiting").tagging_id)[-1]
    assert (said.label, said.machine_label, said.taxonomy_version) == ("knit", "jumper", 2)
    assert exported(session) == {"person": "knit", "waiting": "knit"}
    assert touched(session) == set()


def test_declared_labels_that_name_nothing_any_more_are_told(
    session: Session, ada: Reviewer
) -> None:
    declared = {
        "a": "Jumper",
        "b": "jumper",
        "c": "Bag",
        "d": "Lampshade",
        "e": "JUMPER",
        "f": None,
    }
    jobs = [job(name, declared_label=label) for name, label in declared.items()]
    accept(session, [*jobs, job("g", declared_label="jumper")], LATER)
    session.flush()
    done = adopt(session, second("bag", "boot", "shirt", "pullover", jumper=()), by="t", now=LATER)
    assert dict(done.silent) == {"jumper": 2, "JUMPER": 1, "Jumper": 1}
    (line,) = [each for each in told(done) if "Declared" in each]
    assert "'jumper' (2), 'JUMPER' (1), 'Jumper' (1)" in line
    again = taxonomy("bag", "boot", "shirt", "pullover", "jumper", version=3)
    assert adopt(session, again, by="t", now=LATER).silent == {}


def test_merged_categories_become_one(session: Session, ada: Reviewer) -> None:
    for name, label in (("a", "jumper"), ("b", "pullover")):
        tag(session, name, "bag")
        judge(session, ada, name, label)
    assert put(session, second("bag", "boot", "pullover", "shirt", jumper=("pullover",))) == (
        1, 0, 0,
    )  # fmt: skip
    assert stands(session, "a") == stands(session, "b") == ("reviewed", "pullover")
    assert exported(session) == {"a": "pullover", "b": "pullover"}


def test_opinions_that_a_merge_brings_together_agree(session: Session, ada: Reviewer) -> None:
    ben = person(session, "Ben")
    tag(session, "p1", "bag")
    tagging_id = item(session, "p1").tagging_id
    first = decision(session, tagging_id, Action.CORRECT, label="jumper")
    decide(session, ada, first, LATER, second_share=1.0)
    put(session, second("bag", "boot", "pullover", "shirt", jumper=("pullover",)))
    again = decision(session, tagging_id, Action.CORRECT, label="pullover")
    decide(session, ben, again, LATER, second_share=1.0)
    assert item(session, "p1").waits_for == "nobody"
    assert stands(session, "p1") == ("reviewed", "pullover")


def test_split_category_is_asked_again_and_the_decision_stays_in_the_audit(
    session: Session, ada: Reviewer
) -> None:
    tag(session, "machine", "shirt", flag=False)
    tag(session, "person", "bag")
    judge(session, ada, "person", "shirt")
    tag(session, "accepted", "shirt")
    judge(session, ada, "accepted")
    new = second("bag", "boot", "jumper", "pullover", "formal", "shirt", shirt=("formal", "shirt"))
    assert put(session, new) == (0, 2, 2)
    assert in_force(session) == {
        "machine": (None, "machine"),
        "person": ("bag", "machine"),
        "accepted": (None, "machine"),
    }
    assert stands(session, "person") == ("needs_review", None)
    old = history(session, item(session, "person").tagging_id)
    assert [(each.action, each.label) for each in old] == [("correct", "shirt")]
    assert touched(session) == {"machine", "accepted"}
    claimed = claim(session, ada, LATER, limit=10)
    assert item(session, "person").tagging_id in claimed
    with pytest.raises(UnknownLabelError, match="Choose one"):
        judge(session, ada, "accepted")
    judge(session, ada, "accepted", "formal")
    judge(session, ada, "person", "shirt")
    assert stands(session, "person") == ("reviewed", "shirt")
    assert stands(session, "accepted") == ("reviewed", "formal")
    assert exported(session) == {"person": "shirt", "accepted": "formal"}


def test_undoing_a_decision_of_the_new_taxonomy_brings_no_old_one_back(
    session: Session, ada: Reviewer
) -> None:
    tag(session, "p1", "bag")
    judge(session, ada, "p1", "shirt")
    put(session, second("bag", "boot", "formal", "casual", shirt=("formal", "casual")))
    judge(session, ada, "p1", "formal")
    undo(session, ada, LATER, key="undo")
    assert stands(session, "p1") == ("needs_review", None)


def test_removed_category_is_asked_again(session: Session, ada: Reviewer) -> None:
    tag(session, "machine", "boot", flag=False)
    tag(session, "person", "bag")
    judge(session, ada, "person", "boot")
    assert put(session, second("bag", "jumper", "pullover", "shirt")) == (0, 1, 1)
    assert stands(session, "person") == ("needs_review", None)
    assert in_force(session)["machine"] == (None, "machine")
    assert touched(session) == {"machine"}


def test_added_category_asks_again_what_was_in_none(session: Session, ada: Reviewer) -> None:
    tag(session, "stranger", "bag")
    judge(session, ada, "stranger", "not_in_taxonomy")
    tag(session, "bag", "bag")
    judge(session, ada, "bag")
    assert put(session, second(*LABELS, "belt")) == (0, 1, 0)
    assert stands(session, "stranger") == ("needs_review", None)
    assert stands(session, "bag") == ("reviewed", "bag")
    judge(session, ada, "stranger", "belt")
    assert stands(session, "stranger") == ("reviewed", "belt")


def test_other_names_alone_change_no_row(session: Session, ada: Reviewer) -> None:
    tag(session, "p1", "bag")
    judge(session, ada, "p1", "shirt")
    renamed = Taxonomy(
        name="shop",
        version=2,
        categories=tuple(
            type(each)(id=each.id, name=f"New {each.name}") for each in FIRST.categories
        ),
    )
    assert put(session, renamed) == (0, 0, 0)
    assert stands(session, "p1") == ("reviewed", "shirt")
    assert session.scalar(text("SELECT count(*) FROM moved_labels")) == 0


def test_changes_follow_each_other(session: Session, ada: Reviewer) -> None:
    tag(session, "machine", "jumper", flag=False)
    tag(session, "person", "bag")
    judge(session, ada, "person", "jumper")
    put(session, second("bag", "boot", "knit", "pullover", "shirt", jumper=("knit",)))
    third = taxonomy(
        "bag", "boot", "sweater", "shirt", version=3,
        replaces=Replaced(version=2, categories={"knit": ("sweater",), "pullover": ("sweater",)}),
    )  # fmt: skip
    put(session, third)
    assert in_force(session) == {
        "machine": ("sweater", "machine"),
        "person": ("sweater", "person"),
    }
    assert exported(session) == {"person": "sweater"}


def test_a_model_of_the_new_taxonomy_and_one_of_the_old_tag_side_by_side(
    session: Session, ada: Reviewer
) -> None:
    new = second("bag", "boot", "knit", "pullover", "shirt", jumper=("knit",))
    put(session, new)
    model(session, "m2", new)
    model(session, "m0", FIRST)  # an old one that nobody knew
    tag(session, "old", "jumper", flag=False)
    tag(session, "oldest", "jumper", version="m0", flag=False)
    tag(session, "new", "knit", version="m2", flag=False)
    assert {label for label, _ in in_force(session).values()} == {"knit"}


def test_a_candidates_later_taxonomy_is_read_in_the_one_in_force(
    session: Session, ada: Reviewer
) -> None:
    put(session, second(*LABELS, "belt"))
    third = taxonomy(
        "bag", "boot", "knit", "shirt", "belt", version=3,
        replaces=Replaced(
            version=2, categories={"jumper": ("knit",), "pullover": ("knit",)}
        ),
    )  # fmt: skip
    model(session, "m3", third)
    tag(session, "merged", "knit", version="m3", flag=False)
    tag(session, "same", "bag", version="m3", flag=False)
    assert in_force(session) == {"merged": (None, "machine"), "same": ("bag", "machine")}


@pytest.mark.parametrize(
    ("new", "why"),
    [
        (taxonomy(*LABELS, "belt"), "Count its version up"),
        (
            taxonomy(*LABELS, version=5, replaces=Replaced(version=4, categories={})),
            "what became of shop 1",
        ),
    ],
)
def test_what_does_not_follow_the_one_in_force_is_refused(
    session: Session, ada: Reviewer, new: Taxonomy, why: str
) -> None:
    with pytest.raises(AdoptionError, match=why):
        adopt(session, new, by="test", now=LATER)
    assert taxonomy_in_force(session) == FIRST


def test_adopting_what_is_in_force_changes_nothing(session: Session, ada: Reviewer) -> None:
    assert put(session, FIRST) == (0, 0, 0)
    assert session.scalar(text("SELECT count(*) FROM taxonomy_adoptions")) == 0


def test_changed_taxonomy_narrows_other_selections_down() -> None:
    chosen = parse_selection("older-model,changed-taxonomy")
    assert chosen == Selection(older_model=True, changed_taxonomy=True)
    assert Selection.of_json(chosen.as_json()) == chosen
    assert chosen.text == "older-model,changed-taxonomy"


def test_models_are_compared_in_the_taxonomy_in_force(session: Session, ada: Reviewer) -> None:
    new = second("bag", "boot", "knit", "shirt", jumper=("knit",), pullover=("knit",))
    tag(session, "p1", "jumper")
    tag(session, "p2", "bag")
    judge(session, ada, "p1", "pullover")
    put(session, new)
    model(session, "m2", new)
    for name, label in (("p1", "knit"), ("p2", "shirt")):
        tag(session, name, label, version="m2")
    judge(session, ada, "p2", "shirt")
    found = compare(session, "m1", "m2")
    assert (found.items, found.agreed) == (2, 1)
    assert found.changes == [("bag", "shirt", 1)]
    assert (found.reviewed.items, found.reviewed.first_right, found.reviewed.second_right) == (
        2, 1, 2,
    )  # fmt: skip


def test_trust_counts_a_merged_label_as_right(session: Session, ada: Reviewer) -> None:
    sure = {"photo_temperature": 1.0, "confidences": (0.0, 0.1, 0.8, 0.1, 0.0)}
    tag(session, "p1", "jumper", **sure)
    tag(session, "p2", "jumper", **sure)
    judge(session, ada, "p1", "pullover")
    judge(session, ada, "p2", "boot")
    before = stream(session, "m1", LABELS, 1.0, network=NetworkName.REDUCED).of_class(
        LABELS.index("jumper")
    )
    assert before.right.tolist() == [False, False]
    put(session, second("bag", "boot", "pullover", "shirt", jumper=("pullover",)))
    after = stream(session, "m1", LABELS, 1.0, network=NetworkName.REDUCED).of_class(
        LABELS.index("jumper")
    )
    assert after.right.tolist() == [True, False]
