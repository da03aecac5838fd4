"""The main job from end to end, on real pictures with real parts."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from tqdm import tqdm

from catalog.jobs import Job
from catalog.taxonomy.model import Taxonomy
from db.engine import reading
from db.ledger.results import ProductResult, overlays, results, unfinished
from db.ledger.taxonomies import taxonomy_in_force
from worker.client import EnqueueClient
from worker.local.contact_sheet import COLUMNS, Cell, contact_sheet
from worker.local.stack import LocalStack

POLL_S = 0.1
THUMBNAILS_PER_LABEL = COLUMNS


@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """What the run did; seconds count from the first message published to the last commit."""

    results: Sequence[ProductResult]
    known_labels: Mapping[str, str]
    seconds: float
    taxonomy: Taxonomy

    @property
    def by_status(self) -> Counter[str]:
        return Counter(result.status.value for result in self.results)

    @property
    def by_label(self) -> Counter[str]:
        return Counter(result.label for result in self.results if result.label is not None)

    @property
    def flagged(self) -> list[ProductResult]:
        return [result for result in self.results if result.reasons]

    @property
    def by_reason(self) -> Counter[str]:
        return Counter(reason for result in self.results for reason in result.reasons)

    @property
    def failures(self) -> list[ProductResult]:
        return [result for result in self.results if result.failure_code]

    @property
    def items_per_second(self) -> float:
        return len(self.results) / self.seconds

    def share_right(self, results: Sequence[ProductResult]) -> float | None:
        """How many of the results with a known label are right, 0-1; None without any."""
        known = [each for each in results if each.label and each.product_id in self.known_labels]
        right = sum(self.known_labels[each.product_id] == each.label for each in known)
        return right / len(known) if known else None


def run_demo(
    system: LocalStack, engine: Engine, jobs: Sequence[Job], known_labels: Mapping[str, str]
) -> DemoReport:
    """Enqueue half of the jobs one by one and half in chunks; wait until all have an outcome."""
    client = EnqueueClient(engine, broker_url=system.settings.redis_url)
    ids = [job.product_id for job in jobs]
    half = len(jobs) // 2
    with tqdm(total=len(jobs), unit="item", desc="Tagging", smoothing=0) as bar:
        started = time.perf_counter()
        client.enqueue_singles(jobs[:half])
        client.enqueue_many(jobs[half:])
        left = len(jobs)
        while left:
            time.sleep(POLL_S)
            system.require_alive()
            with reading(engine)() as session:
                left = unfinished(session, ids)
            bar.update(len(jobs) - left - bar.n)
    seconds = time.perf_counter() - started
    with reading(engine)() as session:
        found = sorted(results(session, ids), key=lambda result: result.product_id)
        taxonomy = taxonomy_in_force(session)
    return DemoReport(results=found, known_labels=known_labels, seconds=seconds, taxonomy=taxonomy)


def write_contact_sheet(engine: Engine, report: DemoReport, path: Path) -> None:
    """Draw stored thumbnails, a row for each label, the least confident first."""
    chosen: list[ProductResult] = []
    for label in sorted(report.by_label):
        of_label = [result for result in report.results if result.label == label]
        of_label.sort(key=lambda result: result.confidence or 0)
        chosen += of_label[:: max(1, len(of_label) // THUMBNAILS_PER_LABEL)][:THUMBNAILS_PER_LABEL]
    with reading(engine)() as session:
        jpegs = overlays(session, [each.tagging_id for each in chosen if each.tagging_id])
    cells = [_cell(each, jpegs, report) for each in chosen if each.tagging_id in jpegs]
    path.write_bytes(contact_sheet(cells))


def _cell(result: ProductResult, jpegs: Mapping[int, bytes], report: DemoReport) -> Cell:
    assert result.tagging_id is not None
    known = report.known_labels.get(result.product_id)
    name = report.taxonomy.name_of(result.label or "")
    if known is not None and known != result.label:
        note = f"is: {report.taxonomy.name_of(known)}"
    else:
        note = result.reasons[0] if result.reasons else ""
    return Cell(
        overlay_jpeg=jpegs[result.tagging_id],
        caption=f"{name} {100 * (result.confidence or 0):.0f} %",
        note=note,
        flagged=bool(result.reasons),
    )
