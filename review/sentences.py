"""Why an item was flagged, as a person would say it."""

from collections.abc import Sequence

from catalog.outcomes import FlagReason
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import BAD_IMAGE, NOT_IN_TAXONOMY
from db.review.listing import Entry
from db.review.models import Action, Review

FAIRLY_SURE = 0.7


def why(entry: Entry) -> str:
    """A sentence for each flag reason, and the parent that the model is sure of all the same."""
    said = [_sentence(reason, entry) for reason in entry.reasons]
    certain = entry.tagging.certain_at
    if certain is not None and certain != entry.tagging.label:
        said.append(f"It is sure of {entry.taxonomy.name_of(certain)}.")
    hint = entry.item.hint
    if hint is not None:
        said.append(f"People called one that looks like it {readable(hint, entry.to_judge_by)}.")
    return " ".join(said)


def dispute(reviews: Sequence[tuple[Review, str]], taxonomy: Taxonomy) -> str:
    """What two people said of an item that a lead should settle."""
    said = [
        f"{name} said {readable(review.label, taxonomy)}"
        for review, name in reviews
        if review.label is not None and review.action != Action.UNDO
    ]
    return f"{', '.join(said)}. Settle it." if said else ""


def readable(label: str | None, taxonomy: Taxonomy | None = None) -> str:
    """A label as people read it: by its name, where its taxonomy is at hand."""
    if label is None:
        return "nothing"
    reserved = {NOT_IN_TAXONOMY: "not in the taxonomy", BAD_IMAGE: "bad image"}
    return reserved.get(label) or (label if taxonomy is None else taxonomy.name_of(label))


def percent(share: float) -> str:
    """0.4312 as `43 %`; never 100 % for what is not."""
    return f"{min(99, round(100 * share)) if share < 1 else 100} %"


def _sentence(reason: str, entry: Entry) -> str:
    tagging = entry.tagging
    label, runner_up = (entry.taxonomy.name_of(x) for x in (tagging.label, tagging.runner_up))
    sure = percent(tagging.confidence)
    if reason == FlagReason.LOW_CONFIDENCE:
        second = f"{runner_up} follows with {percent(tagging.runner_up_confidence)}"
        if tagging.confidence < FAIRLY_SURE:
            return f"The model is only {sure} sure that this is {_a(label)}; {second}."
        return (
            f"The model is {sure} sure that this is {_a(label)}, and takes more to accept "
            f"one; {second}."
        )
    if reason == FlagReason.OUT_OF_TAXONOMY:
        return "It looks unlike anything in the taxonomy."
    if reason == FlagReason.DECLARED_LABEL_CONFLICT:
        declared = entry.item.declared_label or "something else"
        return f"The shop declared “{declared}”, the model sees {_a(label)}."
    if reason == FlagReason.LABEL_CHANGED_ON_RETAG:
        return f"A newer model has changed its label to {label}."
    if reason == FlagReason.POOR_IMAGE:
        return "The picture shows too little to be trusted."
    if reason == FlagReason.AUDIT_SAMPLE:
        return (
            f"The model was {sure} sure and accepted it; drawn as a sample to check how often "
            "that is right."
        )
    return f"{reason.replace('_', ' ').capitalize()}."


def _a(label: str) -> str:
    article = "an" if label[:1] in "AEIOU" else "a"
    return f"{article} {label}"
