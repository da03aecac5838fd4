"""The last night in one line, for `tagger status`."""

from db.drift.nights import Night


def line(night: Night) -> str:
    """How many comparisons moved, and which did most."""
    if not night.findings:
        return f"nothing moved on {night.day} ({night.comparisons} comparisons)"
    largest = night.findings[0]
    return (
        f"{len(night.findings)} of {night.comparisons} comparisons moved on {night.day}, "
        f"most the {largest.sentence}"
    )
