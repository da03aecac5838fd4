"""How much the 28×28 network's word counts beside the photo network's."""

import numpy as np
import pytest
from numpy.typing import NDArray

from catalog.statistics import mixed, negative_log_likelihood, softmax
from catalog.taxonomy.document import drafted
from trainer.photos.mixing import Evidence, fit_mixture

TAXONOMY = drafted(("bag", "shirt", "shoe"))
COUNT, STRANGERS = 1_500, 200


def evidence(reduced_noise: float, photo_noise: float, seed: int = 0) -> Evidence:
    """Two networks that see the truth through noise of their own; strangers come last."""
    rng = np.random.default_rng(seed)
    targets = np.zeros((COUNT + STRANGERS, 4), np.bool_)
    targets[np.arange(COUNT), rng.integers(0, 3, COUNT)] = True
    targets[COUNT:, 3] = True
    signal = 3.0 * targets

    def heard(noise: float) -> NDArray[np.float64]:
        return np.asarray(signal + rng.normal(size=signal.shape) * noise)

    reduced = softmax(heard(reduced_noise)[:, :3])
    return Evidence(reduced=reduced, scores=heard(photo_noise).astype(np.float32), targets=targets)


def test_two_networks_of_one_kind_share_the_word_and_are_right_more_often() -> None:
    found = fit_mixture(evidence(2.0, 2.0), 1.0, TAXONOMY)
    assert 0.3 <= found.share <= 0.7
    assert found.right[found.share] > max(found.right[0.0], found.right[1.0]) + 0.03


def test_a_network_that_knows_nothing_has_hardly_a_word() -> None:
    found = fit_mixture(evidence(30.0, 1.0), 1.0, TAXONOMY)
    assert found.share <= 0.1
    assert fit_mixture(evidence(1.0, 30.0), 1.0, TAXONOMY).share >= 0.9


def test_the_28_network_has_the_larger_share_where_the_evidence_cannot_tell() -> None:
    sure = evidence(0.2, 0.2)
    assert fit_mixture(sure, 1.0, TAXONOMY).share == 1.0


def test_the_product_of_both_is_calibrated_and_its_rule_keeps_the_promise() -> None:
    sample = evidence(1.5, 1.5)
    found = fit_mixture(sample, 1.0, TAXONOMY)
    photo = softmax(sample.scores[:, :3])
    truth = sample.targets[:COUNT].argmax(axis=1)
    losses = [
        negative_log_likelihood(
            mixed(photo, found.photo_weight * by, sample.reduced, found.reduced_weight * by)[
                :COUNT
            ],
            truth,
        )
        for by in (0.6, 1.0, 1.6)
    ]
    assert losses[1] < min(losses[0], losses[2])
    figures = found.rule.figures
    assert figures["accepted_coverage"] > 0.3
    assert figures["accepted_wrong"] <= 0.03 * figures["accepted"]
    assert found.rule.rule.temperature == 1.0


def test_powers_of_nothing_leave_the_other_networks_word() -> None:
    one, two = np.array([[0.7, 0.3]]), np.array([[0.1, 0.9]])
    assert mixed(one, 1.0, two, 0.0) == pytest.approx(one, abs=1e-6)
    assert mixed(one, 1.0, two, 1.0) == pytest.approx(np.array([[0.07, 0.27]]) / 0.34, abs=1e-6)
