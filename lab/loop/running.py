"""The loop with every part as it runs: reviews, export, adapt, shadow, compare, promote, retag.

Every photo is tagged at first; a round spends some reviews in the desk's own order and learns from
all so far. What is measured after it are photos that nobody has decided on: nothing was learned
from them.
"""

import json
import tempfile
import time
from collections.abc import Callable, Sequence
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
# Of a round's reviews so many are of photos that the new model, still a shadow, sees as well.
SHADOWED_SHARE = 0.2
PAUSED = "paused"


@dataclass(frozen=True, kw_only=True)
class LoopPlan:
    """photos: how many, drawn with `seed`; rounds of `reviews` decisions each. learners: of `tagger
    adapt`; data_dir: Fashion-MNIST's, None: where it is looked for."""

    photos: int = 1_000
    rounds: int = 5
    reviews: int = 200
    learners: tuple[str, ...] = ("head", "network")
    seed: int = 0
    data_dir: Path | None = None


def run_loop(
    manifest: Path, set_name: str | None, plan: LoopPlan, *, say: Say = lambda line: None
) -> LoopFigures:
    """Run all rounds on a system of its own, and measure before the first and after each.

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
        reviews_per_round=plan.reviews,
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


def _rounds(shop: Shop, home: Path, plan: LoopPlan, say: Say) -> Sequence[Round]:
    say(f"tagging {len(shop.truth)} photos")
    shop.tag()
    base = shop.command("model", "path").strip()
    found = [_measured(shop, 0)]
    say(_line(found[-1]))
    for number in range(1, plan.rounds + 1):
        if not shop.next_products(1):
            say("nothing waits for a person any more")
            break
        found.append(_round(shop, home, base, number, plan, say))
        say(_line(found[-1]))
    return found


def _round(shop: Shop, home: Path, base: str, number: int, plan: LoopPlan, say: Say) -> Round:
    """Spend the round's reviews, learn, try out, and let the better model tag what is left."""
    shadowed = round(plan.reviews * SHADOWED_SHARE)
    shop.review(plan.reviews - shadowed)
    started = time.monotonic()
    learned = _adapt(shop, home, base, number, plan)
    adapt_s = time.monotonic() - started
    version, serving = learned["model_version"], shop.unseen().model_version
    if not _may_serve(learned, version, serving):
        shop.review(shadowed)
        return _measured(shop, number, adapted=_chosen(learned), adapt_s=adapt_s)
    say(f"round {number}: {version} is tried out as a shadow")
    shop.command("model", "add", learned["bundle"])
    shop.command("model", "shadow", version, "--share", "1.0")
    tried = shop.next_products(shadowed)
    shop.tag(tried)
    shop.review_products(tried)
    compared = json.loads(shop.command("model", "compare", "serving", "shadow", "--json"))
    verdict = str(compared["reviewed"]["verdict"])
    promoted = verdict != "worse"
    if promoted:
        shop.command("model", "promote", version)
        _retag(shop)
    else:
        shop.command("model", "retire", "shadow")
    return _measured(
        shop,
        number,
        adapted=_chosen(learned),
        verdict=verdict,
        promoted=promoted,
        adapt_s=adapt_s,
    )


def _adapt(shop: Shop, home: Path, base: str, number: int, plan: LoopPlan) -> dict[str, str]:
    """Learn from all reviews so far, always from the first bundle; what the command said."""
    corrections = home / f"corrections-{number}.jsonl"
    shop.command("export-corrections", "--output", str(corrections))
    arguments = ["--corrections", str(corrections), "--base", base, "--json"]
    arguments += ["--out", str(home / f"adapted-{number}"), "--seed", str(number)]
    for learner in plan.learners:
        arguments += ["--learner", learner]
    if plan.data_dir is not None:
        arguments += ["--data-dir", str(plan.data_dir)]
    found = json.loads(shop.command("adapt", *arguments))
    assert isinstance(found, dict)
    return found


def _may_serve(learned: dict[str, str], version: str, serving: str) -> bool:
    return version != serving and _chosen(learned) != "base"


def _chosen(learned: dict[str, str]) -> str:
    return str(learned["chosen"])


def _retag(shop: Shop) -> None:
    """Tag again what the serving model has not looked at, though it changes many labels."""
    started = json.loads(shop.command("retag", "start", "--older-model", "--json"))
    if started["state"] == PAUSED:
        shop.command("retag", "resume", str(started["id"]), "--any-change", "--json")
    shop.wait()


def _measured(shop: Shop, number: int, **said: object) -> Round:
    stands = shop.unseen()
    return Round(
        number=number,
        model_version=stands.model_version,
        reviews=shop.reviews,
        unseen=stands.unseen,
        flagged=stands.flagged,
        audited=stands.audited,
        accepted=stands.accepted,
        wrong=stands.wrong,
        **said,  # type: ignore[arg-type]
    )


def _line(each: Round) -> str:
    return (
        f"round {each.number}: {each.reviews} reviews, {each.flagged} of {each.unseen} unseen "
        f"photos go to a person, {each.wrong} of {each.accepted} accepted are wrong"
    )
