"""What `tagger model list` and `compare` print."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.registry import bundles as registry
from db.registry.comparison import Comparison
from db.registry.mcnemar import Paired
from worker.commands.tables import table

CHANGES_SHOWN = 10
SHA256_SHOWN = 12


def as_json_list(session: Session, settings_version: str) -> dict[str, Any]:
    """Roles, bundles, refusals and the last changes, for programs."""
    held = registry.roles(session)
    return {
        "serving": held.serving.version or settings_version,
        "serving_from": "registry" if held.serving.sha256 else "settings",
        "canary": _trial(held.canary),
        "shadow": _trial(held.shadow),
        "bundles": [
            {
                "version": each.version,
                "sha256": each.sha256,
                "created_at": each.created_at,
                "added_at": each.added_at.isoformat(),
                "added_by": each.added_by,
            }
            for each in registry.bundles(session)
        ],
        "refused": [
            {
                "sha256": each.sha256,
                "worker": each.worker,
                "reason": each.reason,
                "since": each.refused_at.isoformat(),
            }
            for each in registry.refusals(session)
        ],
        "changes": [
            {
                "at": change.assigned_at.isoformat(),
                "by": change.assigned_by,
                "change": change.change,
                "role": change.role,
                "from": before,
                "to": after,
                "share": change.share,
                "forced": change.forced,
            }
            for change, after, before in registry.history(session, CHANGES_SHOWN)
        ],
    }


def list_tables(session: Session, settings_version: str) -> str:
    """The same for people."""
    return "\n\n".join(
        part
        for part in (
            _bundles(session, settings_version),
            _refusals(session),
            _changes(session, settings_version),
        )
        if part
    )


def comparison_table(found: Comparison, speed: Sequence[float | None]) -> str:
    """A comparison for people."""
    whole = found.items
    rows = [
        ("", found.first, found.second),
        ("flagged", _percent(found.first_flagged, whole), _percent(found.second_flagged, whole)),
        *_paired_rows("audited", found.audited),
        *_paired_rows("reviewed", found.reviewed),
        ("calibration error, reviewed", _ece(found.first_ece), _ece(found.second_ece)),
        ("CPU ms per image, here", *(f"{each:.3f}" if each else "-" for each in speed)),
    ]
    lines = [
        f"{whole} pictures seen by both; the same label on {_percent(found.agreed, whole)}",
        table(rows, right=frozenset({1, 2})),
        _test("audited", found.audited),
        _test("reviewed", found.reviewed),
    ]
    if found.changes:
        lines.append(
            table([("changes", "", "pictures"), *_change_rows(found)], right=frozenset({2}))
        )
    return "\n\n".join(lines)


def _bundles(session: Session, settings_version: str) -> str:
    held = registry.roles(session)
    by_sha256 = {held.serving.sha256: "serves"}
    for each in (held.canary, held.shadow):
        by_sha256[each.sha256 or "-"] = f"{each.role.value} {each.share:.1%}"
    rows = [("version", "sha256", "made", "added", "by", "role")]
    rows += [
        (
            each.version,
            each.sha256[:SHA256_SHOWN],
            each.created_at[:10],
            _day(each.added_at),
            each.added_by,
            by_sha256.get(each.sha256, ""),
        )
        for each in registry.bundles(session)
    ]
    of_settings = "serves" if held.serving.sha256 is None else "the last resort"
    rows.append((settings_version, "TAGGER_BUNDLE", "", "", "", of_settings))
    return table(rows)


def _refusals(session: Session) -> str:
    found = registry.refusals(session)
    return "\n".join(
        f"REFUSED since {_day(each.refused_at)} by {each.worker}: {each.sha256[:SHA256_SHOWN]}: "
        f"{each.reason}"
        for each in found
    )


def _changes(session: Session, settings_version: str) -> str:
    rows = [("when", "who", "what", "from", "to", "share", "forced")]
    for change, after, before in registry.history(session, CHANGES_SHOWN):
        serving = change.role == "serving"
        none = settings_version if serving else "-"
        rows.append(
            (
                _day(change.assigned_at),
                change.assigned_by,
                change.change if serving else f"{change.change} {change.role}",
                before or none,
                after or none,
                "" if serving else f"{change.share:.1%}",
                "forced" if change.forced else "",
            )
        )
    return table(rows) if len(rows) > 1 else ""


def _trial(holder: registry.Holder) -> dict[str, Any] | None:
    return {"version": holder.version, "share": holder.share} if holder.sha256 else None


def _paired_rows(name: str, paired: Paired) -> list[tuple[str, str, str]]:
    shares = (_percent(each, paired.items) for each in (paired.first_right, paired.second_right))
    first, second = shares
    return [(f"right on {paired.items} {name}", first, second)]


def _test(name: str, paired: Paired) -> str:
    if not paired.items:
        return f"On {name} items: no evidence; nobody has judged one that both have seen."
    return (
        f"On {name} items: {paired.verdict} (right only by the first {paired.only_first}, only by "
        f"the second {paired.only_second}, exact McNemar p = {paired.p_value:.2g})."
    )


def _change_rows(found: Comparison) -> list[tuple[str, str, str]]:
    return [(before, f"→ {after}", str(count)) for before, after, count in found.changes]


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _ece(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
