"""`tagger classify`."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import click

from catalog.jobs import Job
from catalog.outcomes import Failure, Outcome, Tagging
from catalog.settings import settings
from catalog.taxonomy.model import Taxonomy
from worker.commands.tables import table
from worker.photo_folders import find_pictures, product_id
from worker.serving import load_serving_bundle
from worker.tagging.classifier import Classifier
from worker.tagging.lineup import Lineup
from worker.tagging.process import make_ahead, make_fetcher, make_tagger
from worker.tagging.stages import StageClock

BATCH = 64


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file, one file a line.")
def classify(paths: tuple[Path, ...], as_json: bool) -> None:
    """Classify files and folders of pictures, without queue or database.

    Exit code 0 only if every file could be read.
    """
    chosen = settings()
    bundle = load_serving_bundle(chosen.bundle)
    # Whoever names a file on the command line may read it: no allowed roots here.
    unaudited = {"audit_share": 0.0, "cautious_audit_share": 0.0}
    everywhere = chosen.model_copy(update={"allowed_roots": (Path("/"),), **unaudited})
    fetcher = make_fetcher(everywhere)
    tagger = make_tagger(everywhere, make_ahead(everywhere, fetcher), StageClock())
    lineup = Lineup(serving=Classifier(bundle, threads=chosen.model_threads))
    rows, failed = [], 0
    for batch in _batches(find_pictures(paths)):
        jobs = [_job(path) for path in batch]
        outcomes = tagger.tag_batch(jobs, lineup, fetcher.fetch_validated)
        for path, outcome in zip(batch, outcomes, strict=True):
            failed += isinstance(outcome.result, Failure)
            if as_json:
                click.echo(json.dumps(_as_json(path, outcome, bundle.manifest.labels)))
            else:
                rows.append(_row(path, outcome, bundle.manifest.taxonomy))
    if rows:
        click.echo(table([("path", "label", "confidence", "flagged"), *rows], right=frozenset({2})))
    raise SystemExit(1 if failed else 0)


def _batches(paths: Iterator[Path]) -> Iterator[list[Path]]:
    while batch := list(islice(paths, BATCH)):
        yield batch


def _job(path: Path) -> Job:
    return Job(product_id=product_id(str(path)), image_uri=path.absolute().as_uri())


def _as_json(path: Path, outcome: Outcome, labels: Sequence[str]) -> dict[str, Any]:
    result = outcome.result
    if isinstance(result, Failure):
        return {"path": str(path), "error": result.code.value, "detail": result.detail}
    return {
        "path": str(path),
        "label": result.label,
        "network": result.network.value,
        "certain_at": result.certain_at,
        "confidence": round(result.confidence, 6),
        "confidences": dict(zip(labels, result.confidences, strict=True)),
        "flagged": result.flagged,
        "reasons": [reason.value for reason in result.reasons],
    }


def _row(path: Path, outcome: Outcome, taxonomy: Taxonomy) -> tuple[str, str, str, str]:
    result = outcome.result
    if isinstance(result, Tagging):
        coarse = result.certain_at not in (None, result.label)
        certain = [f"certainly {taxonomy.name_of(result.certain_at or '')}"] if coarse else []
        reasons = ", ".join([*result.reasons, *certain])
        return (
            str(path),
            taxonomy.name_of(result.label),
            f"{100 * result.confidence:.1f} %",
            reasons,
        )
    return str(path), "-", "-", f"{result.code}: {result.detail}"
