"""Skipping pictures of a run that the serving model has seen as they are now."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from catalog.failures import FetchFailure
from catalog.jobs import Job
from db.retag.outcomes import Known


def unchanged(
    jobs: Sequence[Job],
    known: Mapping[str, Known],
    model_version: str,
    validator: Callable[[str], str | None],
    threads: Executor,
) -> set[str]:
    """The products whose picture need not be fetched: same model, and the validator says the same.

    What cannot be asked counts as changed: fetching it will tell why.
    """

    def same(job: Job) -> bool:
        try:
            return validator(job.image_uri) == known[job.product_id].image_validator
        except FetchFailure:
            return False

    asked = [
        job
        for job in jobs
        if job.product_id in known and known[job.product_id].model_version == model_version
    ]
    answers = threads.map(same, asked)
    return {job.product_id for job, is_same in zip(asked, answers, strict=True) if is_same}
