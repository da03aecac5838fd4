"""Smaller renditions of pictures, from hosts that make them: see TAGGER_IMAGE_VARIANT.

Image CDNs scale by the query (`?width=400`: Shopify, imgix, Fastly, Bunny), or by the path
(`/cdn-cgi/image/width=400/…`: Cloudflare). Only hosts that are named get such addresses: to any
other, and above all to one that signs its URLs, they would be wrong.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

PATH = "{path}"
# A host, or all below one; then the rest of the address, in which {path} stands for the picture's.
_ENTRY = re.compile(
    r"(?P<host>(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)"
    r"(?P<template>[/{][\x21-\x7e]*)"
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What becomes of the addresses of one host.

    host: in lower case; of `*.example.com` what follows the asterisk, all names below it.
    """

    host: str
    template: str

    @classmethod
    def parse(cls, entry: str) -> "Variant":
        """Read an entry such as `cdn.example.com{path}?width=400`.

        Raises:
            ValueError: it is none.
        """
        found = _ENTRY.fullmatch(entry)
        template = found["template"] if found else ""
        plain = template.replace(PATH, "")
        if found is None or template.count(PATH) != 1 or set(plain) & set("{}#"):
            raise ValueError(
                "expected a host and an address with {path}, such as "
                f"cdn.example.com{{path}}?width=400, found {entry!r}"
            )
        return cls(host=found["host"].lower().removeprefix("*"), template=template)

    def is_of(self, host: str) -> bool:
        """Whether the host is this one, or below it."""
        return host.endswith(self.host) if self.host[0] == "." else host == self.host

    def target(self, path: str, query: str | None) -> str:
        """Path and query of the rendition; what the picture's own query says comes last."""
        target = self.template.replace(PATH, path)
        return target if not query else f"{target}{'&' if '?' in target else '?'}{query}"


class Variants:
    """Those of all hosts that make renditions."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Read the entries.

        Raises:
            ValueError: one is none; the message shows it.
        """
        self._variants = tuple(Variant.parse(each) for each in entries)

    def target(self, host: str, path: str, query: str | None) -> str | None:
        """Path and query of a picture's rendition; None where its host makes none."""
        for variant in self._variants:
            if variant.is_of(host):
                return variant.target(path, query)
        return None
