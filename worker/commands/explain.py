"""`tagger explain`."""

from pathlib import Path

import click

from catalog.errors import OperatorError
from catalog.failures import ImageFailure
from catalog.settings import settings
from worker.serving import load_serving_bundle
from worker.tagging.classifier import Classifier
from worker.tagging.explanation import draw, explain


@click.command(name="explain")
@click.argument("image", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the PNG; default: NAME-explained.png in the current folder.",
)
@click.option("--stages", is_flag=True, help="With every step from the photo to the model input.")
def explain_command(image: Path, out: Path | None, stages: bool) -> None:
    """Write a picture of why IMAGE got its label.

    It shows the photo, what the network that judges it saw, the Grad-CAM overlays of the three
    best classes and the confidences of all.
    """
    bundle = load_serving_bundle(settings().bundle)
    out = out or Path(f"{image.stem}-explained.png")
    try:
        explanation = explain(image.read_bytes(), Classifier(bundle))
    except ImageFailure as failure:
        raise OperatorError(f"{image}: {failure.code}: {failure.detail}") from failure
    out.write_bytes(draw(explanation, stages=stages))
    label, confidence = explanation.confidences[0]
    poor = f", poor image: {explanation.poor}" if explanation.poor else ""
    judge = explanation.network.spoken
    click.echo(f"{label} {100 * confidence:.1f} % by the {judge}{poor}, {out}")
