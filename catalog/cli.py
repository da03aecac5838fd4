"""`tagger`: one command line; each command's module is imported when it is called.

`tagger --help` therefore answers at once, and serving never imports what training needs.
"""

import sys
from collections.abc import Mapping
from typing import Any

import click

from catalog.errors import OperatorError
from catalog.importing import imported
from catalog.leaving import leave
from catalog.redaction import without_secrets

# name: (module, function, what it does)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("worker.commands.up", "up", "Run everything on this machine until Ctrl-C."),
    "demo": ("worker.commands.demo", "demo", "Tag 600 real test pictures and show the result."),
    "enqueue": ("worker.commands.enqueue", "enqueue", "Hand products to the workers."),
    "status": ("worker.commands.status", "status", "Show the ledger and the queues."),
    "health": ("worker.commands.health", "health", "Check that work gets done; for containers."),
    "failures": ("worker.commands.failures", "failures", "Look after what could not be tagged."),
    "retag": ("worker.commands.retag", "retag", "Tag again what is in the ledger, in runs."),
    "model": ("worker.commands.model", "model", "Say which bundle serves; try out another."),
    "drift": ("worker.commands.drift", "drift", "Show what moved beyond chance."),
    "webhook": ("worker.commands.webhook", "webhook", "Post events to other systems."),
    "prune": ("worker.commands.prune", "prune", "Delete old thumbnails and taggings."),
    "metrics": ("worker.commands.metrics", "metrics", "Serve Prometheus metrics."),
    "classify": ("worker.commands.classify", "classify", "Classify files, no queue or database."),
    "explain": (
        "worker.commands.explain",
        "explain_command",
        "Show why an image got its label.",
    ),
    "taxonomy": (
        "catalog.taxonomy.commands",
        "taxonomy",
        "Look at the categories, check, compare, adopt them.",
    ),
    "db": ("db.commands", "db", "Look after the database's schema."),
    "data": ("trainer.commands", "data", "Look at the training data."),
    "train": ("trainer.commands", "train", "Train a network and write its bundle."),
    "join": ("trainer.commands", "join", "Write one bundle of several finished runs."),
    "evaluate": ("trainer.commands", "evaluate", "Measure a bundle on the test set."),
    "trust": ("worker.commands.trust", "trust", "Show what photos are accepted, and why."),
    "recalibrate": (
        "worker.commands.trust",
        "recalibrate_command",
        "Refit what photos are accepted from their reviews.",
    ),
    "adapt": ("trainer.adapt_commands", "adapt", "Learn from what people corrected."),
    "review": ("review.commands.review", "review", "Review flagged items: server and terminal."),
    "reviewer": ("review.commands.reviewer", "reviewer", "Say who may review."),
    "service": ("review.commands.service", "service", "Say which programs may use the HTTP API."),
    "export": ("worker.commands.export", "export", "Write what products are called."),
    "export-corrections": (
        "review.commands.export",
        "export_corrections",
        "Write what people decided as training data.",
    ),
    "export-photos": (
        "review.commands.export",
        "export_photos",
        "Write the photos whose label is known, to train on.",
    ),
    "bench": ("lab.commands.bench", "bench", "Measure speed and memory."),
}

# They only look, and are called often.
SHORT = frozenset({"status"})


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports only the one that runs.

    lazy: name: (module, function, what it does). Commands added as usual stand beside them.
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str, str]] = COMMANDS, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self.lazy]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, function, _ = self.lazy[cmd_name]
        try:
            command = getattr(imported(module), function)
        except ModuleNotFoundError as missing:
            absent = (missing.name or "").split(".")[0]
            if absent == "lab":
                raise click.ClickException(
                    f"`tagger {cmd_name}` belongs to the laboratory, which is not installed with "
                    "the product. Run it in a checkout: `make test-env`, then .venv/bin/tagger."
                ) from missing
            if absent in {"keras", "tensorflow", "matplotlib"}:
                raise click.ClickException(
                    f"`tagger {cmd_name}` needs the training extra; {missing.name} is not "
                    "installed. Run `make train-env`, or pip install 'catalog-tagger[train]'."
                ) from missing
            raise
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, each.get_short_help_str(limit=90)) for name, each in self.commands.items()]
        rows += [(name, help_) for name, (_, _, help_) in self.lazy.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except OperatorError as error:
            raise click.ClickException(without_secrets(str(error))) from error


@click.group(cls=LazyGroup)
@click.version_option(package_name="catalog-tagger")
def main() -> None:
    """Tag fashion product photos, and flag what the model is unsure of."""
    # Piped into `head`, a reader that goes away is no error of ours.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def run() -> None:
    """What `tagger` calls: `main`, and the end of the process."""
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int) and not SHORT.isdisjoint(sys.argv[1:2]):
            leave(end.code)
        raise
