"""Selective classification: how much can be accepted, and how often that is right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """Items sorted by falling confidence: coverage (N,), the share accepted, and risk (N,), the
    error rate among them, both 0-1."""

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]

    @property
    def area(self) -> float:
        """AURC: the mean risk over all coverages, 0-1, lower is better (arXiv 1805.08206)."""
        return float(self.risk.mean())

    def coverage_at(self, accuracy: float) -> float:
        """The largest share that can be accepted with at least this accuracy."""
        good = self.coverage[self.risk <= 1 - accuracy]
        return float(good.max()) if good.size else 0.0


def risk_coverage(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> RiskCoverage:
    """The risk-coverage curve of one set of predictions."""
    order = np.argsort(-confidence, kind="stable")
    accepted = np.arange(1, len(order) + 1)
    return RiskCoverage(coverage=accepted / len(order), risk=np.cumsum(~right[order]) / accepted)
