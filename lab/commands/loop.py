"""`tagger bench loop`."""

from pathlib import Path

import click

from trainer.commands import data_dir_option


@click.command(name="loop")
@click.option(
    "--photos",
    "photo_manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="CSV of path, set, label, mapping: the shop's photos, and what its people say of them.",
)
@click.option("--set", "set_name", help="One of the photos' sets; default: all.")
@click.option("--count", default=1_000, show_default=True, help="Photos of the shop.")
@click.option("--rounds", default=5, show_default=True, help="In which they arrive.")
@click.option(
    "--learner",
    "learners",
    multiple=True,
    type=click.Choice(["head", "network"]),
    default=("head", "network"),
    show_default=True,
    help="Ways of `tagger adapt` to choose from; head alone takes seconds.",
)
@click.option("--seed", default=0, show_default=True, help="Which photos are drawn.")
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the rounds into this PNG or SVG file.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@data_dir_option
def bench_loop(
    photo_manifest: Path,
    set_name: str | None,
    count: int,
    rounds: int,
    learners: tuple[str, ...],
    seed: int,
    plot_file: Path | None,
    as_json: bool,
    data_dir: Path | None,
) -> None:
    """Reviews, export, adapt, shadow, compare, promote, retag: what goes to a person each round.

    A system of its own, with the broker, database, workers and commands that serve; people are the
    labels of the photos. Every figure is of photos as they arrived, before anything was learned
    from them.
    """
    from lab.loop.figures import as_text, plot  # matplotlib, TensorFlow: not for --help
    from lab.loop.running import LoopPlan, run_loop

    plan = LoopPlan(
        photos=count,
        rounds=rounds,
        learners=learners,
        seed=seed,
        data_dir=data_dir,
    )
    figures = run_loop(photo_manifest, set_name, plan, say=lambda line: click.echo(line, err=True))
    if plot_file is not None:
        plot(figures, plot_file)
    click.echo(figures.as_json() if as_json else as_text(figures))
