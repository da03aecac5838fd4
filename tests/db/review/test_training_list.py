"""What a shop knows of its photos, read from both databases."""

from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason, Outcome
from db.ledger.accepting import accept
from db.ledger.recording import record_model
from db.review import training_list
from db.review.decisions import decide
from db.review.models import Action, Role
from db.review.training_list import (
    DECLARED,
    DECLARED_DISPUTED,
    PEOPLE_DIFFERED,
    PERSON,
    KnownPhoto,
    known_photos,
)
from db.taxonomies.adopting import adopt
from tests.desk import NOON, decision, flag, item, person
from tests.factories import failed, flagged, job, manifest, record, tagged
from tests.taxonomies import taxonomy


def known(session: Session) -> dict[str, KnownPhoto]:
    session.flush()
    return {each.group: each for each in known_photos(session)}


def declaring(label: str, outcome: Outcome) -> Outcome:
    return replace(outcome, job=job(outcome.subject, declared_label=label))


def say(session: Session, who: Any, product_id: str, action: Action, label: str | None) -> None:
    made = decision(session, item(session, product_id).tagging_id, action, label=label)
    decide(session, who, made, NOON, second_share=1.0)


def test_declared_labels_count_before_anything_was_tagged(session: Session) -> None:
    accept(session, [job("p1", declared_label="Hoodie"), job("p2")], NOON)
    (found,) = known(session).values()
    assert (found.label, found.weight, found.declared) == ("Hoodie", DECLARED, True)
    assert (found.group, found.image_uri) == ("p1", job("p1").image_uri)
    assert found.image_sha256 is None


def test_people_win_over_senders_and_say_of_which_picture(session: Session) -> None:
    accept(session, [job(name, declared_label="Dress") for name in ("p1", "p2", "p3")], NOON)
    for name in ("p1", "p2", "p3"):
        flag(session, name, label="coat")
    ada = person(session)
    say(session, ada, "p1", Action.CORRECT, "shirt")
    say(session, ada, "p2", Action.NOT_IN_TAXONOMY, "not_in_taxonomy")
    say(session, ada, "p3", Action.BAD_IMAGE, "bad_image")
    found = known(session)
    assert {name: each.label for name, each in found.items()} == {
        "p1": "shirt",
        "p2": "not_in_taxonomy",
    }
    assert all((each.weight, each.declared) == (PERSON, False) for each in found.values())
    assert found["p1"].taxonomy == "fashion-mnist 1"
    assert len(found["p1"].image_sha256 or "") == 64


def test_what_people_say_differently_counts_less_settled_or_not(session: Session) -> None:
    for name in ("agreed", "open", "settled"):
        flag(session, name, label="coat")
    ada, bob, cleo = (person(session, *who) for who in (("A",), ("B",), ("C", Role.LEAD)))
    for name, second in (("agreed", "shirt"), ("open", "dress"), ("settled", "dress")):
        say(session, ada, name, Action.CORRECT, "shirt")
        say(session, bob, name, Action.CORRECT, second)
    say(session, cleo, "settled", Action.CORRECT, "dress")
    found = {name: (each.label, each.weight) for name, each in known(session).items()}
    assert found == {
        "agreed": ("shirt", PERSON),
        "open": ("shirt", PEOPLE_DIFFERED),
        "settled": ("dress", PEOPLE_DIFFERED),
    }


def test_a_declared_label_that_a_sure_model_disputes_counts_less(session: Session) -> None:
    record_model(session, manifest(), NOON)
    unsure = (FlagReason.LOW_CONFIDENCE, FlagReason.DECLARED_LABEL_CONFLICT)
    conflict = unsure[1:]
    outcomes = [
        declaring("coat", tagged("same", label="coat")),
        declaring("Tops", tagged("parent", label="shirt")),
        declaring("Dress", flagged("other", label="coat", reasons=conflict)),
        declaring("Hoodie", flagged("unknown", label="coat", reasons=conflict)),
        declaring("Dress", flagged("unsure", label="coat", reasons=unsure)),
    ]
    record(session, outcomes, NOON)
    assert {name: each.weight for name, each in known(session).items()} == {
        "same": DECLARED,
        "parent": DECLARED,
        "other": DECLARED_DISPUTED,
        "unknown": DECLARED,  # the model has no such category to tell it from
        "unsure": DECLARED,
    }


def test_what_failed_is_left_out_and_pages_are_walked_to_the_end(
    session: Session, monkeypatch: Any
) -> None:
    monkeypatch.setattr(training_list, "PAGE", 3)
    names = [f"p{number}" for number in range(8)]
    accept(session, [job(name, declared_label="Dress") for name in names], NOON)
    record(session, [declaring("Dress", failed("p4"))], NOON)
    assert sorted(known(session)) == [name for name in names if name != "p4"]


def test_labels_of_people_are_those_of_the_taxonomy_in_force(session: Session) -> None:
    flag(session, "p1", label="coat")
    flag(session, "p2", label="coat")
    ada = person(session)
    say(session, ada, "p1", Action.CORRECT, "shirt")
    say(session, ada, "p2", Action.CORRECT, "bag")
    session.flush()
    new = taxonomy("shirt", "hoodie", name="shop")
    adopt(session, new, by="test", now=NOON)
    found = known(session)
    assert {name: each.label for name, each in found.items()} == {"p1": "shirt"}
    assert found["p1"].taxonomy == "shop 1"
