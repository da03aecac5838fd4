"""Messages as senders write them, whole but for what a test says."""

import base64
import json
from typing import Any

from catalog.queues import TAG_PRODUCT

JOB = {"product_id": "p1", "image_uri": "https://img.example.com/p1.jpg"}


def encoded(body: Any) -> str:
    return base64.b64encode(json.dumps(body).encode()).decode()


def envelope(call: Any = ([], JOB, {}), **fields: Any) -> dict[str, Any]:
    """As Celery's protocol 2 on Redis; a field of None is left out."""
    whole = {
        "body": encoded(call),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": TAG_PRODUCT, "id": "m1"},
        "properties": {"body_encoding": "base64", "delivery_tag": "t1", "priority": 0},
    } | fields
    return {name: value for name, value in whole.items() if value is not None}


def message(call: Any = ([], JOB, {}), **fields: Any) -> bytes:
    return json.dumps(envelope(call, **fields)).encode()
