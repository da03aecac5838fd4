"""Lots drawn by a product's id, not by chance: a message delivered again draws the same one."""

import hashlib


def drawn(product_id: str, share: float, *, purpose: bytes = b"") -> bool:
    """Whether a product is among a share (0-1) of all.

    Each purpose draws its own lots; a smaller share is a part of a larger one.
    """
    digest = hashlib.sha256(purpose + product_id.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < share
