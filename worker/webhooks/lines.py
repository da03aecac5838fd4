"""How a webhook is doing, in a few words and in JSON."""

from dataclasses import asdict

from catalog.redaction import shown_uri
from db.webhooks.models import WebhookState
from db.webhooks.registering import Standing


def line(found: Standing) -> str:
    """Its state, and why it does not go on."""
    if found.state is WebhookState.STOPPED:
        return f"stopped: {found.reason}"
    if found.state is WebhookState.PAUSED:
        return "paused"
    if found.failing_since is None:
        return "active"
    return f"failing since {found.failing_since:%Y-%m-%d %H:%M} UTC: {found.reason}"


def summary(found: list[Standing]) -> str:
    """All of them in one line, for `tagger status`."""
    troubled = [each for each in found if each.reason]
    if not troubled:
        return f"{len(found)}, at most {max(each.behind for each in found)} events behind"
    first = troubled[0]
    return f"{len(troubled)} of {len(found)} in trouble, number {first.id} {line(first)}"


def as_fields(found: Standing) -> dict[str, object]:
    """In JSON's types; the address without what opens a door."""
    return asdict(found) | {
        "url": shown_uri(found.url),
        "state": found.state.value,
        **{
            name: at.isoformat() if (at := getattr(found, name)) else None
            for name in ("delivered_at", "failing_since", "next_attempt_at")
        },
    }
