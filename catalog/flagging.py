"""Accept or flag: the rule that decides whether a person looks at a tagging."""

from catalog.bundle import Acceptance, OutOfTaxonomy
from catalog.outcomes import FlagReason
from catalog.sampling import drawn


def flag_reasons(
    *,
    product_id: str,
    label: str,
    confidence: float,
    out_of_taxonomy_score: float,
    declared_label: str | None,
    poor_image: bool,
    acceptance: Acceptance,
    out_of_taxonomy: OutOfTaxonomy,
    audit_share: float,
) -> tuple[FlagReason, ...]:
    """Why a person should look at this tagging; empty when it is accepted.

    A label that the acceptance rule does not name is never accepted. A declared label is compared
    as text: one outside the taxonomy conflicts with whatever the model says.
    """
    reasons = []
    if confidence < acceptance.confidence_min.get(label, 2.0):
        reasons.append(FlagReason.LOW_CONFIDENCE)
    if out_of_taxonomy_score > out_of_taxonomy.threshold:
        reasons.append(FlagReason.OUT_OF_TAXONOMY)
    if declared_label is not None and declared_label.strip().casefold() != label.casefold():
        reasons.append(FlagReason.DECLARED_LABEL_CONFLICT)
    if poor_image:
        reasons.append(FlagReason.POOR_IMAGE)
    if not reasons and drawn(product_id, audit_share):
        reasons.append(FlagReason.AUDIT_SAMPLE)
    return tuple(reasons)
