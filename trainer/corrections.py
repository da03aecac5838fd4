"""What people said of pictures, as `tagger export-corrections` writes it: JSONL, one a line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import OperatorError
from catalog.taxonomy.files import shipped
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import BAD_IMAGE, NOT_IN_TAXONOMY

RETRACTION = "retraction"
TAXONOMY = "fashion-mnist"


class CorrectionsError(OperatorError):
    """A file of corrections that nothing can be learned from."""


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One picture and what it shows: a label of the taxonomy, or not_in_taxonomy.

    `image_sha256` is that of the bytes which the person saw, where the line says it.
    """

    image_uri: str
    label: str
    image_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """What stands, one an image, and what each line that was passed over lacks."""

    standing: tuple[Correction, ...]
    replaced: int
    retracted: int
    refused: tuple[str, ...]


def read_corrections(path: Path, taxonomy: Taxonomy | None = None) -> Corrections:
    """Read a file: later lines of an image replace earlier ones, retractions take lines back.

    A line that cannot be understood is named in `refused`, and the others count. taxonomy: whose
    categories the labels are; None: Fashion-MNIST's.

    Raises:
        CorrectionsError: there is no such file, or no line of it stands.
    """
    wanted = taxonomy or shipped(TAXONOMY)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CorrectionsError(
            f"Expected a file of corrections, JSON a line, in {path}, found: {error}. Make one "
            "with `tagger export-corrections --output FILE`."
        ) from error
    said: dict[int, tuple[dict[str, Any], Correction]] = {}
    taken_back: set[object] = set()
    refused = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = _object(line)
            if fields.get("kind") == RETRACTION:
                taken_back.add(fields["retracts"])
            elif fields.get("label") != BAD_IMAGE:
                said[number] = fields, _correction(fields, wanted)
        except (ValueError, KeyError, TypeError) as error:
            refused.append(f"line {number}: {error}")
    kept = [each for fields, each in said.values() if fields.get("review_id") not in taken_back]
    # The dict keeps the last of each image, at the place of the first.
    standing = {each.image_sha256 or each.image_uri: each for each in kept}
    if not standing:
        raise CorrectionsError(
            f"Expected corrections in {path}, found none that stand in {len(lines)} lines"
            + (f" ({refused[0]})" if refused else "")
            + '. A line needs image_uri and label: {"image_uri": "…", "label": "Coat"}.'
        )
    return Corrections(
        standing=tuple(standing.values()),
        replaced=len(kept) - len(standing),
        retracted=len(said) - len(kept),
        refused=tuple(refused),
    )


def _object(line: str) -> dict[str, Any]:
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError(f"expected a JSON object, found {line[:60]!r}")
    return fields


def _correction(fields: dict[str, Any], taxonomy: Taxonomy) -> Correction:
    uri, label, sha256 = (fields.get(name) for name in ("image_uri", "label", "image_sha256"))
    if not isinstance(uri, str) or not uri:
        raise ValueError(f"expected an image_uri, found {uri!r}")
    names = (*taxonomy.ids, NOT_IN_TAXONOMY)
    if isinstance(label, str) and label not in names:
        label = _now_called(label, taxonomy)
    if label not in names:
        found = fields.get("label")
        raise ValueError(f"expected one of {', '.join(names)} as label, found {found!r}")
    return Correction(
        image_uri=uri, label=label, image_sha256=sha256 if isinstance(sha256, str) else None
    )


def _now_called(label: str, taxonomy: Taxonomy) -> str | None:
    """The category that a name, or an older version's id with one successor, means."""
    told = taxonomy.replaces.categories if taxonomy.replaces is not None else {}
    now = told.get(label, ())
    return now[0] if len(now) == 1 else taxonomy.find(label)
