"""The loop with every part as it runs: reviews, export, adapt, shadow, compare, promote, retag.

Each round new photos arrive, and what is flagged or audited of them is reviewed. What was learned
from the rounds before looks at the first of them as a shadow; if people's words on these do not
speak against it, it is promoted, tags again what is older, and judges the rest of the round. What
is measured is what the machine made of photos when they arrived: it had learned from none of them.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from catalog.settings import read_settings
from db.engine import make_engine
from lab.loop.figures import LoopFigures, Round
from lab.loop.shop import Shop
from trainer.fashion_mnist.dataset import DatasetError
from trainer.photo_evaluation import Photo, read_photos
from worker.local.stack import running

Say = Callable[[str], None]
# Of a round's photos so many are seen by the new model while it is still a shadow.
SHADOWED_SHARE = 0.2
PAUSED, WORSE = "paused", "worse"


@dataclass(frozen=True, kw_only=True)
class LoopPlan:
    """photos: how many in all, drawn with `seed`; they arrive in `rounds`. learners: of `tagger
    adapt`; data_dir: Fashion-MNIST's, None: where it is looked for."""

    photos: int = 1_000
    rounds: int = 5
    learners: tuple[str, ...] = ("head", "network")
    seed: int = 0
    data_dir: Path | None = None


def run_loop(
    manifest: Path, set_name: str | None, plan: LoopPlan, *, say: Say = lambda line: None
) -> LoopFigures:
    """Run all rounds on a system of its own, and measure each.

    Raises:
        DatasetError: the manifest has no photo of that set.
        LoopError: a step did not do what it is for.
    """
    photos = drawn_photos(manifest, set_name, plan)
    with tempfile.TemporaryDirectory(prefix="tagger-loop-") as name:
        home = Path(name)
        chosen = read_settings(
            home=home / "home",
            allowed_roots=(manifest.parent.resolve(),),
            database_url=None,
            redis_url=None,
            second_opinion_share=0.0,
        )
        with running(chosen) as system:
            engine = make_engine(system.settings.database)
            try:
                rounds = list(_rounds(Shop(engine, system.settings, photos), home, plan, say))
            finally:
                engine.dispose()
    return LoopFigures(
        photos=len(photos),
        ways=plan.learners,
        rounds=tuple(rounds),
    )


def drawn_photos(manifest: Path, set_name: str | None, plan: LoopPlan) -> list[Photo]:
    """Photos of the set, or of all, in no order.

    Raises:
        DatasetError: there are none.
    """
    listed = [each for each in read_photos(manifest) if set_name in (None, each.set)]
    if not listed:
        raise DatasetError(f"Expected photos of the set {set_name!r} in {manifest}, found none.")
    order = np.random.default_rng(plan.seed).permutation(len(listed))
    return [listed[place] for place in order[: plan.photos]]


def _rounds(shop: Shop, home: Path, plan: LoopPlan, say: Say) -> Iterator[Round]:
    base = shop.command("model", "path").strip()
    learned = None
    for number, products in enumerate(np.array_split(list(shop.truth), plan.rounds), start=1):
        done = _round(shop, [str(each) for each in products], number, learned, say)
        say(_line(done))
        yield done
        if number < plan.rounds:
            learned = _adapt(shop, home, base, number, plan)
            say(f"learned from {shop.reviews} reviews: {learned.chosen}")


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What `tagger adapt` said; chosen: `base` where nothing was better than it."""

    folder: str
    version: str
    chosen: str
    seconds: float


def _round(
    shop: Shop, products: Sequence[str], number: int, learned: Learned | None, say: Say
) -> Round:
    """Let the photos arrive, with a new model at their side or in the lead, and review them."""
    serving, verdict, promoted, before = shop.serving(), None, False, shop.reviews
    rest = list(products)
    arrived = None
    if learned is not None and learned.version != serving:
        first = rest[: round(len(rest) * SHADOWED_SHARE)]
        rest = rest[len(first) :]
        say(f"round {number}: {learned.version} is tried out as a shadow on {len(first)} photos")
        shop.command("model", "add", learned.folder)
        shop.command("model", "shadow", learned.version, "--share", "1.0")
        arrived = shop.arrive(first)
        shop.review()
        verdict = _compared(shop)
        promoted = verdict != WORSE
        if promoted:
            shop.command("model", "promote", learned.version)
            _retag(shop)
        else:
            shop.command("model", "retire", "shadow")
    later = shop.arrive(rest)
    shop.review()
    arrived = later if arrived is None else arrived + later
    return Round(
        number=number,
        model_version=shop.serving(),
        reviews=shop.reviews - before,
        reviews_so_far=shop.reviews,
        photos=arrived.photos,
        flagged=arrived.flagged,
        audited=arrived.audited,
        accepted=arrived.accepted,
        wrong=arrived.wrong,
        adapted=None if learned is None else learned.chosen,
        verdict=verdict,
        promoted=promoted,
        adapt_s=None if learned is None else learned.seconds,
    )


def _compared(shop: Shop) -> str:
    figures = json.loads(shop.command("model", "compare", "serving", "shadow", "--json"))
    return str(figures["reviewed"]["verdict"])


def _adapt(shop: Shop, home: Path, base: str, number: int, plan: LoopPlan) -> Learned:
    """Learn from all reviews so far, always from the first bundle."""
    started = time.monotonic()
    corrections = home / f"corrections-{number}.jsonl"
    shop.command("export-corrections", "--output", str(corrections))
    arguments = ["--corrections", str(corrections), "--base", base, "--json"]
    arguments += ["--out", str(home / f"adapted-{number}"), "--seed", str(number)]
    for learner in plan.learners:
        arguments += ["--learner", learner]
    if plan.data_dir is not None:
        arguments += ["--data-dir", str(plan.data_dir)]
    found = json.loads(shop.command("adapt", *arguments))
    return Learned(
        folder=found["bundle"],
        version=found["model_version"],
        chosen=found["chosen"],
        seconds=time.monotonic() - started,
    )


def _retag(shop: Shop) -> None:
    """Tag again what the serving model has not looked at, though it changes many labels."""
    started = json.loads(shop.command("retag", "start", "--older-model", "--json"))
    if started["state"] == PAUSED:
        shop.command("retag", "resume", str(started["id"]), "--any-change", "--json")
    shop.wait()


def _line(each: Round) -> str:
    return (
        f"round {each.number}: {each.flagged} of {each.photos} photos go to a person, {each.wrong} "
        f"of {each.accepted} accepted are wrong, {each.reviews_so_far} reviews so far"
    )
