"""The figures of `evaluate` as rows for people."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure with its unit, ready to print."""

    name: str
    value: str


def headline(figures: dict[str, Any]) -> list[Row]:
    """The six figures that matter most."""
    selection = figures["selection"]
    return [
        Row(name="test accuracy", value=percent(figures["accuracy"])),
        Row(name="mean over 15 corruptions", value=percent(figures["corruptions"]["mean"])),
        Row(name="calibration error (ECE)", value=f"{figures['calibration']['ece']:.4f}"),
        Row(
            name="coverage at 99 % selective accuracy",
            value=percent(selection["coverage_at_99_percent"]),
        ),
        Row(
            name="agreement of int8 and Keras",
            value=percent(figures["int8_against_keras"]["label_agreement"]),
        ),
        Row(
            name="precision of what is accepted",
            value=percent(selection["rule_precision"]),
        ),
    ]


def sections(figures: dict[str, Any]) -> dict[str, list[Row]]:
    """Every figure, by section."""
    parts: dict[str, Any] = {
        "Network": figures["network"],
        "Accuracy": {"accuracy": figures["accuracy"], "recall": figures["recall"]},
        "Int8 against Keras": figures["int8_against_keras"],
        "Calibration": figures["calibration"],
        "Selective classification": figures["selection"],
        "Corruptions": {"accuracy": figures["corruptions"]},
        "Out of taxonomy": figures["out_of_taxonomy"],
        "Explanation": figures["explanation"],
    }
    if "photos" in figures:
        parts["Photos"] = figures["photos"]
    return {title: list(_rows(values)) for title, values in parts.items()}


def as_text(figures: dict[str, Any]) -> str:
    """A table for the terminal."""
    lines = [f"{figures['model_version']}, {figures['images']:,} test images"]
    for title, rows in sections(figures).items():
        width = max(len(row.name) for row in rows)
        lines += ["", title, *(f"  {row.name:<{width}}  {row.value:>10}" for row in rows)]
    return "\n".join(lines)


def percent(value: float | None) -> str:
    """0.9512 → 95.12 %."""
    return "none" if value is None else f"{100 * value:.2f} %"


# Shares that people read in percent; everything else is printed as a number.
PERCENT = (
    "accuracy",
    "recall",
    "agreement",
    "coverage",
    "precision",
    "flagged",
    "false alarms",
    "level",
)


def _rows(values: dict[str, Any], prefix: str = "") -> Iterator[Row]:
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict) and "interval" in value:
            yield Row(name=name, value=_proportion(value))
        elif isinstance(value, dict):
            yield from _rows(value, f"{name}, ")
        else:
            yield Row(name=name, value=_text(name, value))


def _proportion(value: dict[str, Any]) -> str:
    """61 of 97 right → 62.89 % (53 to 72, of 97): the share and its 95 % interval."""
    low, high = (100 * bound for bound in value["interval"])
    return f"{percent(value['share'])} ({low:.0f} to {high:.0f}, of {value['whole']:,})"


def _text(name: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    if isinstance(value, int):
        return f"{value:,}"
    if value >= 100:
        return f"{value:,.0f}"
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    if any(word in name for word in PERCENT) and "difference" not in name:
        return percent(value)
    return f"{value:.4f}"
