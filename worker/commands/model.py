"""`tagger model`: which bundle serves, and what is being tried out beside it."""

import getpass
import json
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy.orm import Session

from catalog.bundle import Bundle, BundleError
from catalog.bundle_store import BundleStore, deciding_sha256
from catalog.errors import OperatorError
from catalog.settings import settings
from catalog.taxonomy.model import Taxonomy
from db.command_line import looking, writing
from db.ledger.taxonomies import taxonomy_in_force
from db.registry import bundles as registry
from db.registry import shadows as shadow_taggings
from db.registry.bundles import RegistryError
from db.registry.comparison import Comparison
from db.registry.comparison import compare as compare_models
from db.registry.models import Role
from db.taxonomies.adopting import adopt
from db.taxonomies.commands import told
from worker.commands.model_tables import as_json_list, comparison_table, list_tables
from worker.serving import (
    Bundles,
    require_same_preprocessing,
    serving_version,
    settings_version,
)
from worker.tagging.classifier import Classifier
from worker.tagging.model_speed import ms_per_image

HEARTBEAT_NOTE = "Workers take it within seconds, at their next batch after a heartbeat."


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container's user need have no name


SIGNED = click.option(
    "--by", default=_login, show_default="your login", help="Who, for the history."
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


class WorseError(OperatorError):
    """A promotion that the evidence speaks against."""


@click.group()
def model() -> None:
    """Say which bundle serves, try out another, take back what went wrong.

    MODEL is a version, or the first six or more digits of a bundle's sha256.
    """


@model.command("list")
@AS_JSON
def list_(as_json: bool) -> None:
    """Show the bundles, who serves, what workers refuse, and the last changes."""
    with looking() as session:
        version = settings_version(settings())
        text = (
            json.dumps(as_json_list(session, version)) if as_json else list_tables(session, version)
        )
    click.echo(text)


@model.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@SIGNED
def add(folder: Path, by: str) -> None:
    """Verify the bundle in FOLDER and copy it into the store; nothing serves differently."""
    # Before the transaction: nobody need wait for a copy.
    sha256, bundle = BundleStore(settings().models_folder).add(folder)
    manifest = bundle.manifest
    require_same_preprocessing(manifest)
    Classifier(bundle)  # reproduces its check predictions here, or is refused
    with writing() as session:
        new = registry.register(
            session, sha256, manifest, deciding_sha256(manifest), by=by, now=datetime.now(UTC)
        )
    known = "added" if new else "was there already"
    click.echo(f"{manifest.model_version} {known}: sha256 {sha256}")


@model.command()
@click.argument("name", metavar="MODEL")
@click.option("--force", is_flag=True, help="Though the evidence says that it is worse.")
@SIGNED
def promote(name: str, force: bool, by: str) -> None:
    """Let MODEL serve from now on.

    Refused where the exact test of `tagger model compare` shows that it is worse than what serves,
    on audited items or on all reviewed ones. Where nobody has reviewed anything that both have
    seen, there is no such proof: it is promoted, with a warning.
    """
    # Comparing may take a while, and in SQLite whoever may write keeps the workers waiting.
    with looking() as session:
        bundle = registry.find(session, name)
        taxonomy = Bundles(settings()).load(bundle.sha256).manifest.taxonomy
        before = serving_version(session, settings())
        found = compare_models(session, before, bundle.version)
    if found.worse and not force:
        raise WorseError(_why_not(found))
    with writing() as session:
        registry.promote(
            session,
            registry.find(session, bundle.sha256),
            by=by,
            now=datetime.now(UTC),
            forced=found.worse,
            evidence=found.figures(),
        )
        adopted = _adopt_newer(session, taxonomy, by)
    for line in adopted:
        click.echo(line)
    if not found.audited.items and before != bundle.version:
        click.echo(
            f"Warning: no audited item was seen by both {before} and {bundle.version}; nothing "
            "shows which is better. `tagger model shadow` collects what would.",
            err=True,
        )
    click.echo(f"{bundle.version} serves instead of {before}. {HEARTBEAT_NOTE}")


def _adopt_newer(session: Session, taxonomy: Taxonomy, by: str) -> list[str]:
    """Put the taxonomy of what serves in force, unless a later version of it is already."""
    in_force = taxonomy_in_force(session)
    if taxonomy.name == in_force.name and taxonomy.version <= in_force.version:
        return []
    done = adopt(session, taxonomy, by=by, now=datetime.now(UTC))
    return [f"{taxonomy.title} is in force instead of {in_force.title}.", *told(done)]


@model.command()
@SIGNED
def rollback(by: str) -> None:
    """Let that bundle serve again which did before the last promotion."""
    with writing() as session:
        before = serving_version(session, settings())
        registry.rollback(session, by=by, now=datetime.now(UTC))
        after = serving_version(session, settings())
    click.echo(f"{after} serves again instead of {before}. {HEARTBEAT_NOTE}")


@model.command()
@click.argument("name", metavar="MODEL")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=0.1, show_default=True)
@SIGNED
def shadow(name: str, share: float, by: str) -> None:
    """Let MODEL look at a share of the products; what it says changes nothing."""
    _try_out(Role.SHADOW, name, share, by)


@model.command()
@click.argument("name", metavar="MODEL")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True), default=0.05, show_default=True
)
@SIGNED
def canary(name: str, share: float, by: str) -> None:
    """Let MODEL serve a share of the products: always the same ones."""
    _try_out(Role.CANARY, name, share, by)


@model.command()
@click.argument("role", type=click.Choice([Role.CANARY.value, Role.SHADOW.value]))
@click.option("--forget", is_flag=True, help="Delete what the shadow said, too.")
@SIGNED
def retire(role: str, forget: bool, by: str) -> None:
    """End the canary or the shadow."""
    with writing() as session:
        held = registry.roles(session)
        holder = held.canary if role == Role.CANARY else held.shadow
        registry.retire(session, Role(role), by=by, now=datetime.now(UTC))
        if forget and role == Role.SHADOW and holder.version:
            shadow_taggings.forget(session, holder.version)
    click.echo(f"{holder.version} is {role} no longer. {HEARTBEAT_NOTE}")


@model.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@AS_JSON
def compare(first: str, second: str, as_json: bool) -> None:
    """Compare B with A on the pictures that both have seen, and time both here.

    A and B may also be called serving, canary and shadow.
    """
    with looking() as session:
        versions = [_version(session, each) for each in (first, second)]
        found = compare_models(session, versions[0], versions[1])
        bundles = [_bundle(session, each) for each in versions]
    speed = _speed(bundles)
    if as_json:
        click.echo(json.dumps(found.figures() | {"ms_per_image": speed}))
    else:
        click.echo(comparison_table(found, speed))


@model.command()
@click.argument("name", metavar="MODEL", default=Role.SERVING.value)
def path(name: str) -> None:
    """Print the folder of MODEL's bundle, by default of the one that serves.

    As in: tagger adapt --base "$(tagger model path)".
    """
    with looking() as session:
        version = _version(session, name)
        bundle = _bundle(session, version)
    if bundle is None:
        raise RegistryError(f"Expected the bundle of {version} to be at hand, found none.")
    click.echo(bundle.folder)


def _try_out(role: Role, name: str, share: float, by: str) -> None:
    with writing() as session:
        bundle = registry.find(session, name)
        Bundles(settings()).load(bundle.sha256)
        registry.try_out(session, role, bundle, share, by=by, now=datetime.now(UTC))
    click.echo(f"{bundle.version} is {role.value} on {share:.1%}. {HEARTBEAT_NOTE}")


def _why_not(found: Comparison) -> str:
    name, worse = next(
        (name, each)
        for name, each in (("audited", found.audited), ("reviewed", found.reviewed))
        if each.verdict == "worse"
    )
    return (
        f"Expected {found.second} to be no worse than {found.first}, found it worse on {name} "
        f"items: of {worse.items}, {worse.only_first} are right only with {found.first} and "
        f"{worse.only_second} only with {found.second} (exact McNemar p = {worse.p_value:.2g}). "
        "Train a better one, or promote it with --force."
    )


def _version(session: Session, name: str) -> str:
    held = registry.roles(session)
    if name == Role.SERVING:
        return serving_version(session, settings())
    for holder in (held.canary, held.shadow):
        if name == holder.role:
            if holder.version is None:
                raise RegistryError(f"Expected a {name}, found none.")
            return holder.version
    if name == settings_version(settings()) or registry.has_tagged(session, name):
        return name
    return registry.find(session, name).version


def _bundle(session: Session, version: str) -> Bundle | None:
    """Its files, where they can be had: whatever was ever compared may be gone."""
    bundles = Bundles(settings())
    try:
        return bundles.load(registry.find(session, version).sha256)
    except (RegistryError, BundleError):
        bundle = bundles.load(None)
        return bundle if bundle.manifest.model_version == version else None


def _speed(bundles: list[Bundle | None]) -> list[float | None]:
    there = [each for each in bundles if each is not None]
    times = iter(ms_per_image(there, threads=settings().model_threads) if there else ())
    return [next(times) if each else None for each in bundles]
