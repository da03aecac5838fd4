import numpy as np
import pytest

from catalog.out_of_taxonomy import (
    SCORES,
    class_gaussian,
    energy,
    nearest_neighbour,
    relative_gaussian,
    two_banks,
)

NOTHING = np.zeros((2, 3), np.float32)


def test_energy_is_minus_the_log_of_the_summed_exponentials() -> None:
    logits = np.array([[0.0, 0.0], [3.0, 1.0]], np.float32)
    expected = -np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(energy(logits, NOTHING, {}), expected, rtol=1e-6)


def test_energy_does_not_overflow() -> None:
    logits = np.array([[1000.0, 999.0]], np.float32)
    assert energy(logits, NOTHING, {})[0] == pytest.approx(-1000.3133, rel=1e-6)


def test_the_gaussian_score_is_the_distance_to_the_nearest_class_mean() -> None:
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(3, 3))
    covariance = spread @ spread.T + np.eye(3)
    values, vectors = np.linalg.eigh(covariance)
    whitening = (vectors / np.sqrt(values)).astype(np.float32)
    means = rng.normal(size=(10, 3)).astype(np.float32)
    embedding = rng.normal(size=(5, 3)).astype(np.float32)
    gaps = embedding[:, None] - means
    expected = np.einsum("nki,ij,nkj->nk", gaps, np.linalg.inv(covariance), gaps).min(axis=1)
    parameters = {"means": means @ whitening, "whitening": whitening}
    found = class_gaussian(np.zeros((5, 10), np.float32), embedding, parameters)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_what_varies_in_every_garment_does_not_make_one_strange() -> None:
    # Garments vary along the second axis, and lie at ±5 on the first: only that one tells.
    by_class = {"means": np.array([[5.0, 0], [-5.0, 0]], np.float32), "whitening": np.eye(2)}
    together = {"all_means": np.zeros((1, 2), np.float32), "all_whitening": np.diag([0.2, 1.0])}
    embedding = np.array([[5.0, 9.0], [0.0, 0.0]], np.float32)
    unusual, between = relative_gaussian(
        np.zeros((2, 10), np.float32), embedding, by_class | together
    )
    assert between > unusual


def test_the_neighbour_score_is_the_distance_to_the_kth_nearest_by_direction() -> None:
    bank = np.array([[1, 0], [0, 1], [-1, 0]], np.float16)
    parameters = {"bank": bank, "neighbours": np.array(2)}
    # Ten times as long and the same direction as the first: the second nearest is at √2.
    embedding = np.array([[10.0, 0.0]], np.float32)
    found = nearest_neighbour(np.zeros((1, 10), np.float32), embedding, parameters)
    assert found[0] == pytest.approx(2.0)


def test_an_embedding_of_zeros_gets_a_finite_score() -> None:
    parameters = {"bank": np.eye(3, dtype=np.float16), "neighbours": np.array(1)}
    found = nearest_neighbour(np.zeros((2, 10), np.float32), NOTHING, parameters)
    assert np.isfinite(found).all()


def test_every_score_gives_one_float32_an_image_whatever_its_batch() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(7, 10)).astype(np.float32)
    embedding = rng.normal(size=(7, 4)).astype(np.float32)
    parameters = {
        "means": rng.normal(size=(10, 4)).astype(np.float32),
        "whitening": np.eye(4, dtype=np.float32),
        "all_means": rng.normal(size=(1, 4)).astype(np.float32),
        "all_whitening": np.eye(4, dtype=np.float32),
        "bank": rng.normal(size=(20, 4)).astype(np.float16),
        "strange_bank": rng.normal(size=(9, 4)).astype(np.float16),
        "neighbours": np.array(3),
        "scale": np.array(10.0),
    }
    for score in SCORES.values():
        together = score(logits, embedding, parameters)
        assert together.shape == (7,)
        assert together.dtype == np.float32
        alone = score(logits[2:3], embedding[2:3], parameters)
        np.testing.assert_allclose(alone[0], together[2], rtol=1e-5)


def test_what_is_like_known_strangers_is_stranger_and_what_is_like_garments_is_not() -> None:
    parameters = {
        "bank": np.array([[1, 0, 0]], np.float16),
        "strange_bank": np.array([[0, 1, 0]], np.float16),
        "neighbours": np.array(3),
    }
    garment, neither, stranger = two_banks(
        np.zeros((3, 10), np.float32), np.array([[2, 0, 0], [0, 0, 3], [0, 4, 0]]), parameters
    )
    assert (garment, neither, stranger) == (-1.0, 0.0, 0.5)
    without = parameters | {"strange_bank": np.empty((0, 3), np.float16)}
    assert two_banks(np.zeros((1, 10), np.float32), np.ones((1, 3)), without)[0] < 0


def test_learned_stranger_is_the_strangers_logit_against_all_categories_together() -> None:
    logits = np.log(np.array([[0.5, 0.25], [0.1, 0.1]], np.float32))
    embedding = np.array([[9.0, -0.2], [9.0, 0.3]], np.float32)
    found = SCORES["learned_stranger"](logits, embedding, {"scale": np.array(10.0, np.float32)})
    np.testing.assert_allclose(found, [-2 - np.log(0.75), 3 - np.log(0.2)], rtol=1e-5)
