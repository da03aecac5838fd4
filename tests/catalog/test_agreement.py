import numpy as np
import pytest

from catalog.agreement import overlap


def test_equal_confidences_overlap_wholly_and_certain_different_ones_not_at_all() -> None:
    said = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    found = overlap(said, said)
    np.testing.assert_allclose(np.diag(found), 1.0)
    assert found[1, 2] == 0
    assert found[0, 1] == pytest.approx(np.sqrt(0.7))
    np.testing.assert_allclose(found, found.T)
