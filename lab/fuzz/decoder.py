"""`tagger bench fuzz`: thousands of broken pictures against the decoder."""

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np
from tqdm import tqdm

from catalog.failures import ImageFailure
from catalog.images.decode import decode
from lab.fuzz.corpus import make_corpus, mutate
from lab.fuzz.pool import Hunt, hunt

DECODED = "decoded"


@click.command()
@click.option("--files", default=20_000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True, help="Another seed, other files.")
@click.option("--processes", default=os.cpu_count() or 1, show_default=True)
@click.option("--hang-s", default=10.0, show_default=True, help="Longer than this is a hang.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs/fuzz"),
    show_default=True,
    help="Folder for the files that crashed or hung.",
)
def fuzz(files: int, seed: int, processes: int, hang_s: float, keep: Path) -> None:
    """Decode mutated pictures of every format; exit code 0 only without a crash or a hang.

    The same seed makes the same files. What is found is kept as a file to look at.
    """
    corpus = make_corpus()
    with tqdm(total=files, unit="file", disable=not sys.stderr.isatty()) as bar:
        found = hunt(
            partial(try_file, corpus, seed),
            files,
            processes=processes,
            hang_s=hang_s,
            on_progress=bar.update,
        )
    _report(found, files, seed, len(corpus))
    if found.findings:
        _keep(found, corpus, seed, keep)
        sys.exit(1)


def try_file(corpus: Sequence[bytes], seed: int, index: int) -> str:
    """Decode one broken file: the reason code, or "decoded" with pixels as promised."""
    try:
        image = decode(mutate(corpus, seed, index), size_px_min=128)
    except ImageFailure as failure:
        return str(failure.code)
    height, width, channels = image.pixels.shape
    if image.pixels.dtype != np.uint8 or channels != 3 or not height or not width:
        raise AssertionError(f"pixels of {image.pixels.dtype} {image.pixels.shape}")
    return DECODED


def _report(found: Hunt, files: int, seed: int, sound: int) -> None:
    click.echo(f"{files:,} files made from {sound} sound ones with seed {seed}")
    for word, count in found.outcomes.most_common():
        click.echo(f"{count:>9,}  {word}")
    click.echo(f"slowest file {found.slowest_s:.2f} s")
    kinds = [finding.kind for finding in found.findings]
    click.echo(
        f"{kinds.count('crashed')} crashes, {kinds.count('hung')} hangs, "
        f"{kinds.count('escaped')} unforeseen exceptions"
    )


def _keep(found: Hunt, corpus: Sequence[bytes], seed: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for finding in found.findings:
        path = folder / f"{finding.kind}-seed{seed}-{finding.index}.bin"
        path.write_bytes(mutate(corpus, seed, finding.index))
        click.echo(f"{path}: {finding.detail}", err=True)
